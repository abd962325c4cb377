"""A decoder with a prefix computes what one pass over places and words computes, and its map is a share of that pass.

The laws of all decoders are in tests/test_decoders.py.
"""

import math

import pytest
import torch

from benchmarks import on_picture
from companion import datasets, models, scenes
from companion.decoders import PrefixDecoder, QueryDecoder, State, expand_beams, sinusoidal_positions
from companion.encoders import Grid
from companion.tasks.run import build_vocabulary
from companion.tasks.scene_batches import to_examples

# Every size is another number; the hidden width is a multiple of the number of heads.
BATCH, BEAMS, WORDS, PLACES, CHANNELS, HIDDEN, VOCAB, HEADS = 2, 3, 5, 6, 7, 16, 11, 8
CLASSES = [PrefixDecoder, QueryDecoder]


def make(cls):
    torch.manual_seed(0)
    return cls(VOCAB, CHANNELS, HIDDEN, dropout=0.4).double().eval().requires_grad_(False)


def inputs():
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(BATCH, PLACES, CHANNELS, generator=generator, dtype=torch.float64)
    return Grid(features, 2, 3), torch.randint(4, VOCAB, (BATCH, BEAMS, WORDS), generator=generator)


def attend_in_a_loop(attention, x, prefix):
    """Return the context and the mean weights of a sequence (position hidden), head by head and row by row."""
    n, width = len(x), HIDDEN // HEADS
    q, k, v = attention.query_proj(x), attention.key_proj(x), attention.value_proj(x)
    contexts, weights = torch.zeros(n, HIDDEN, dtype=x.dtype), torch.zeros(n, n, dtype=x.dtype)
    for head in range(HEADS):
        own = slice(head * width, (head + 1) * width)
        for i in range(n):
            seen = max(prefix, i + 1)
            w = (k[:seen, own] @ q[i, own] / math.sqrt(width)).softmax(0)
            contexts[i, own] = w @ v[:seen, own]
            weights[i, :seen] += w / HEADS
    return attention.out_proj(contexts), weights


def run_as_one_sequence(decoder, prefix, tokens):
    """Return logits and weights (word position) of one caption, run behind its prefix without a cache."""
    words = decoder.embed(tokens) * HIDDEN**0.5 + sinusoidal_positions(0, len(tokens), HIDDEN, tokens.device)
    x, n = torch.cat([prefix, words]), len(prefix)
    for block in decoder.blocks:
        context, weights = attend_in_a_loop(block.self_attention, block.norms[0](x), n)
        x = x + context
        x = x + block.feed_forward(block.norms[1](x))
    return decoder.output_proj(decoder.norm(x[n:])), weights[n:]


def prefix_of(decoder, grid):
    """Return the vectors before the words (batch prefix hidden), and the map of each (batch prefix place)."""
    values = decoder.input_proj(grid)
    if isinstance(decoder, QueryDecoder):
        attention, queries = decoder.query_attention, decoder.queries.expand(BATCH, -1, -1)
        context, weights = attention(queries, values, values)
        return decoder.projector(queries + context), weights
    return decoder.projector(values), torch.eye(PLACES, dtype=torch.float64).expand(BATCH, -1, -1)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_caption_behind_its_prefix_equals_one_sequence_computed_row_by_row(cls):
    decoder, (grid, tokens) = make(cls), inputs()
    step = decoder(grid, tokens)
    prefix, maps = prefix_of(decoder, grid)
    for picture in range(BATCH):
        for caption in range(BEAMS):
            logits, weights = run_as_one_sequence(decoder, prefix[picture], tokens[picture, caption])
            torch.testing.assert_close(step.logits[picture, caption], logits)
            on_prefix = weights[:, : len(maps[picture])]
            expected = on_prefix / on_prefix.sum(-1, keepdim=True) @ maps[picture]
            torch.testing.assert_close(step.weights[picture, caption], expected)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_joint_weights_of_a_word_sum_to_one_over_prefix_and_words_and_are_zero_for_later_words(cls):
    decoder, (grid, tokens) = make(cls), inputs()
    state = expand_beams(decoder.start(grid), BEAMS)
    weights = decoder.read_words(tokens, state).weights
    prefix = state.memory[0].shape[-2]
    assert weights.shape == (BATCH, BEAMS, WORDS, prefix + WORDS)
    torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, BEAMS, WORDS, dtype=torch.float64))
    for word in range(WORDS):
        assert (weights[:, :, word, prefix + word + 1 :] == 0).all()
        assert (weights[:, :, word, : prefix + word + 1] > 0).all()


@pytest.mark.parametrize("cls", CLASSES)
def test_the_prefix_passes_the_blocks_once_and_each_word_once(cls):
    decoder, (grid, tokens) = make(cls), inputs()
    counted = []
    decoder.blocks[1].feed_forward.register_forward_hook(lambda _, x, __: counted.append(x[0][..., 0].numel()))
    state: State = expand_beams(decoder.start(grid), BEAMS)
    for word in tokens.unbind(2):
        state = decoder.step(word, state).state
    prefix = PLACES if cls is PrefixDecoder else 4
    assert counted == [BATCH * prefix, *[BATCH * BEAMS] * WORDS]


def test_the_maps_of_a_caption_through_four_queries_have_at_most_four_dimensions():
    grid, tokens = inputs()
    ranks = [int(torch.linalg.matrix_rank(make(cls)(grid, tokens).weights[0, 0], rtol=1e-9)) for cls in CLASSES]
    assert ranks == [WORDS, 4]


def test_with_equal_scores_the_share_on_the_picture_is_the_share_of_the_prefix():
    world = scenes.make_dataset("validation", 5)
    vocabulary = build_vocabulary(to_examples(world), min_count=1)
    captioner = models.build("scenes", vocabulary, "tiny", decoder="queries").eval()
    attention = captioner.decoder.blocks[1].self_attention
    for parameter in attention.query_proj.parameters():
        parameter.data.zero_()
    shares = on_picture.measure(captioner, to_examples, "validation", 5)
    expected: dict[str, list[float]] = {"on_picture_objects": [], "on_picture_others": []}
    words = datasets.caption_tensor(to_examples(world), vocabulary, per_image=1)[:, 0, 1:]
    for row in words.tolist():
        for position, token in enumerate(row):
            word = vocabulary.words[token]
            if word not in ("<pad>", "<end>"):
                kind = scenes.words.word_class(word)
                key = "on_picture_others" if kind in ("other", "relation", "count") else "on_picture_objects"
                expected[key].append(4 / (4 + position + 1))
    assert shares == {key: pytest.approx(sum(x) / len(x), abs=1e-5) for key, x in expected.items()}


def test_a_decoder_without_a_prefix_has_no_share():
    world = scenes.make_dataset("validation", 2)
    vocabulary = build_vocabulary(to_examples(world), min_count=1)
    captioner = models.build("scenes", vocabulary, "tiny", decoder="transformer")
    assert on_picture.measure(captioner, to_examples, "validation", 2) == {}
