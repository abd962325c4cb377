"""The decoder with two memories: it computes the same stepped or in one pass, with either memory withheld, and points.

The vocabulary, the tags and the pictures are toys; what the photographs' own tags are is tested in `test_tags`.
"""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from companion import attention, checkpoints, datasets, decoders, decoding, plots
from companion.decoders import Ensemble, TwoMemoryDecoder
from companion.decoding import Caption, Tag
from companion.encoders import EfficientNetLite0, Grid, TaggedEncoder, Tags
from companion.models import build
from companion.tags import TAG_WORDS
from companion.training import feature_cache
from companion.vocabulary import SPECIALS, Vocabulary
from tests.albums import write_album
from tests.helpers import run_steps
from tests.test_feature_cache import CountingEncoder, contents, interrupt

# Every size is another number.
BATCH, BEAMS, WORDS, PLACES, CHANNELS, HIDDEN, VOCAB, TAGS = 2, 3, 5, 6, 7, 16, 11, 4
TAG_IDS = torch.tensor([4, Vocabulary.unk, 5, 6, 7, 8, 9, 10])  # of eight words that tags may have, one is not known
MECHANISMS = sorted(attention.MECHANISMS)


def make(mechanism="additive", seed=0, **options):
    torch.manual_seed(seed)
    decoder = TwoMemoryDecoder(VOCAB, CHANNELS, HIDDEN, tag_ids=TAG_IDS, attention=mechanism, **options)
    return decoder.double().eval().requires_grad_(False)


def make_tags(seed=1, batch=BATCH, tags=TAGS):
    """Return random tags: different words for each picture, and boxes within it."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.stack([torch.randperm(len(TAG_IDS), generator=generator)[:tags] for _ in range(batch)])
    numbers = torch.randn(batch, tags, 5, generator=generator, dtype=torch.float64)
    source = torch.randint(2, (batch, tags), generator=generator)
    return Tags(words, 2 * numbers[..., 0], source, numbers[..., 1:].sigmoid())


def inputs(seed=1):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(BATCH, PLACES, CHANNELS, generator=generator, dtype=torch.float64)
    return Grid(features, 2, 3, make_tags()), torch.randint(4, VOCAB, (BATCH, BEAMS, WORDS), generator=generator)


WITHOUT = {
    "both memories": lambda grid: grid,
    "without the grid": Grid.without_places,
    "without tags": lambda grid: grid._replace(tags=None),
    "without either": lambda grid: grid.without_places()._replace(tags=None),
}
each_memory = pytest.mark.parametrize("without", WITHOUT.values(), ids=WITHOUT.keys())


def stepwise(decoder, grid, tokens):
    steps = run_steps(decoder, grid, tokens)
    return [torch.stack([getattr(s, name) for s in steps], 2) for name in ("logits", "weights", "tag_weights")]


@each_memory
@pytest.mark.parametrize("mechanism", ["additive", "coverage", "adaptive", "multi_head"])
def test_stepping_equals_teacher_forcing(mechanism, without):
    decoder, (grid, tokens) = make(mechanism), inputs()
    grid = without(grid)
    whole = decoder(grid, tokens)
    for stepped, expected in zip(
        stepwise(decoder, grid, tokens), (whole.logits, whole.weights, whole.tag_weights), strict=True
    ):
        torch.testing.assert_close(stepped, expected)
    assert whole.logits.isfinite().all()
    assert whole.weights.shape == (BATCH, BEAMS, WORDS, grid.features.shape[1])
    assert whole.tag_weights.shape == (BATCH, BEAMS, WORDS, TAGS if grid.tags else 0)


def test_an_ensemble_steps_as_it_is_taught_and_averages_the_weights_of_the_tags():
    members = [make(seed=seed) for seed in (0, 1)]
    grid, tokens = inputs()
    whole = Ensemble(members)(grid, tokens)
    for stepped, expected in zip(
        stepwise(Ensemble(members), grid, tokens), (whole.logits, whole.weights, whole.tag_weights), strict=True
    ):
        torch.testing.assert_close(stepped, expected)
    one, other = (member(grid, tokens).tag_weights for member in members)
    torch.testing.assert_close(whole.tag_weights, (one + other) / 2)
    assert not torch.allclose(one, other)


def test_the_tokens_contexts_and_logits_are_those_of_the_formulas():
    """A slow second way for one tag at a time: its token, the attention to it, and what the pointer adds."""
    decoder, (grid, tokens) = make(), inputs()
    p, tags = dict(decoder.named_parameters()), grid.tags
    state = decoders.expand_beams(decoder.start(grid), BEAMS)
    step = decoder.step(tokens[..., 0], state)
    for picture, beam in itertools.product(range(BATCH), range(BEAMS)):
        known = [i for i in range(TAGS) if TAG_IDS[tags.words[picture, i]] != Vocabulary.unk]
        token = {}
        for i in known:
            numbers = (tags.confidence[picture, i], tags.source[picture, i], *tags.boxes[picture, i])
            facts = torch.tensor([float(number) for number in numbers], dtype=torch.float64)
            token[i] = p["embed.weight"][TAG_IDS[tags.words[picture, i]]] * p["embed_scale"]
            token[i] = token[i] + p["tag_facts.weight"] @ facts + p["tag_facts.bias"]
        hidden, word = state.carry[0][picture, beam], p["embed.weight"][tokens[picture, beam, 0]] * p["embed_scale"]
        query = p["tag_attention.query_proj.weight"] @ (hidden + p["word_to_query.weight"] @ word)
        vector = p["tag_attention.score_vector"]
        scores = [vector @ torch.tanh(query + p["tag_attention.key_proj.weight"] @ token[i]) for i in known]
        weights = torch.stack(scores).softmax(0)
        torch.testing.assert_close(step.tag_weights[picture, beam, known], weights)
        assert step.tag_weights[picture, beam].sum() == pytest.approx(1)
        plain, output = logits_without_pointer(decoder, tokens[..., 0], state)
        expected = plain[picture, beam].clone()
        for i in known:
            match = (p["pointer.weight"] @ torch.tanh(output[picture, beam])) @ token[i]
            bonus = p["pointer_confidence"] * tags.confidence[picture, i] + p["pointer_bias"]
            expected[TAG_IDS[tags.words[picture, i]]] += match + bonus
        torch.testing.assert_close(step.logits[picture, beam], expected)


def logits_without_pointer(decoder, tokens, state):
    output, _, _ = decoder.attend_and_update(decoder.embed_tokens(tokens), state)
    return decoder.project_to_vocab(output), output


def test_a_tag_whose_word_is_not_in_the_vocabulary_has_no_weight_and_changes_nothing():
    decoder, (grid, tokens) = make(), inputs()
    unknown = grid.tags.words == 1
    assert unknown.any()
    boxes = torch.where(unknown[..., None], grid.tags.boxes / 2, grid.tags.boxes)
    other = grid._replace(tags=grid.tags._replace(confidence=grid.tags.confidence + 3 * unknown, boxes=boxes))
    before, after = decoder(grid, tokens), decoder(other, tokens)
    assert (before.tag_weights[unknown[:, None, None].expand(before.tag_weights.shape)] == 0).all()
    torch.testing.assert_close(after.logits, before.logits)


def test_pictures_of_which_no_tag_is_known_are_captioned_as_without_tags():
    decoder, (grid, tokens) = make(), inputs()
    nothing = grid._replace(tags=grid.tags._replace(words=torch.ones_like(grid.tags.words)))
    torch.testing.assert_close(decoder(nothing, tokens).logits, decoder(grid._replace(tags=None), tokens).logits)


def test_shuffling_the_tags_shuffles_their_weights_and_leaves_the_logits_alone():
    decoder, (grid, tokens) = make(), inputs()
    order = torch.tensor([2, 0, 3, 1])
    before = decoder(grid, tokens)
    after = decoder(grid._replace(tags=Tags(*(x[:, order] for x in grid.tags))), tokens)
    torch.testing.assert_close(after.logits, before.logits)
    torch.testing.assert_close(after.tag_weights, before.tag_weights[..., order])


CHANGES = {
    "words": lambda words: words.flip(0),
    "confidence": lambda confidence: confidence + 1,
    "source": lambda source: 1 - source,
    "boxes": lambda boxes: 1 - boxes,
}


@pytest.mark.parametrize("field", CHANGES)
def test_the_logits_depend_on_all_that_is_known_of_a_tag(field):
    decoder, (grid, tokens) = make(), inputs()
    other = grid._replace(tags=grid.tags._replace(**{field: CHANGES[field](getattr(grid.tags, field))}))
    assert not torch.allclose(decoder(other, tokens).logits, decoder(grid, tokens).logits)


@each_memory
def test_every_parameter_of_a_memory_that_is_there_has_a_gradient(without):
    decoder, (grid, tokens) = make(dropout=0.0).requires_grad_(True).train(), inputs()
    grid = without(grid)
    F.cross_entropy(decoder(grid, tokens).logits.flatten(0, 2), tokens.roll(-1, 2).flatten()).backward()
    without = {name for name, x in decoder.named_parameters() if x.grad is None or x.grad.abs().max() < 1e-12}
    of_grid = ("input_proj", "attention", "gate") if not grid.rows else ()
    of_tags = ("tag_", "pointer") if grid.tags is None else ()
    of_both = ("word_to_query", "init_state.weight", "from_context") if of_grid and of_tags else ()
    expected = {name for name, _ in decoder.named_parameters() if name.startswith(of_grid + of_tags + of_both)}
    assert without == expected
    assert all(x.grad is not None for x in decoder.parameters())  # zero, not None: processes then agree on what to send


def test_a_grid_moves_selects_and_withholds_with_its_tags():
    grid, _ = inputs()
    moved = grid.cast_like(torch.zeros((), dtype=torch.float32))
    assert (moved.features.dtype, moved.tags.boxes.dtype, moved.tags.words.dtype) == (
        torch.float32, torch.float32, torch.int64,
    )  # fmt: skip
    chosen = grid.select(torch.tensor([1]))
    assert torch.equal(chosen.features, grid.features[1:])
    assert all(torch.equal(one, both[1:]) for one, both in zip(chosen.tags, grid.tags, strict=True))
    assert grid._replace(tags=None).select(torch.tensor([1])).tags is None
    assert grid.without_places().features.shape == (BATCH, 0, CHANNELS)


# --- searches -----------------------------------------------------------------------------------------------------

VOCABULARY = Vocabulary([*SPECIALS, *"abcdefg"])


@each_memory
def test_every_search_carries_the_weights_of_the_tags(without):
    """The witness is the teacher-forced pass over the caption that was found."""
    decoder, (grid, _) = make(), inputs()
    decoder.output_proj.bias[Vocabulary.end] -= 2  # so that captions are long
    grid = without(grid)
    captions = {
        "greedy": decoding.greedy(decoder, grid, VOCABULARY, max_words=6),
        "beam": decoding.beam_search(decoder, grid, VOCABULARY, 4, max_words=6),
        "sample": [
            c[1]
            for c in decoding.sample(
                decoder, grid, VOCABULARY, count=3, max_words=6, generator=torch.Generator().manual_seed(0)
            )
        ],
    }
    for search, of_pictures in captions.items():
        assert max(len(caption.words) for caption in of_pictures) > 2, search
        for i, caption in enumerate(of_pictures):
            ids = torch.tensor([[[VOCABULARY.start, *map(VOCABULARY.id, caption.words)]]])
            step = decoder(grid.select(torch.tensor([i])), ids)
            words = len(caption.words)
            torch.testing.assert_close(caption.weights, step.weights[0, 0, :words])
            if grid.tags is None:
                assert caption.tag_weights is None
            else:
                torch.testing.assert_close(caption.tag_weights, step.tag_weights[0, 0, :words])


def test_a_decoder_without_tags_gives_captions_without_tags():
    torch.manual_seed(0)
    decoder = decoders.LSTMDecoder(VOCAB, CHANNELS, HIDDEN).double().eval()
    grid, _ = inputs()
    for caption in decoding.beam_search(decoder, grid, VOCABULARY, 3, max_words=5):
        assert (caption.tag_weights, caption.tags) == (None, ())


# --- the pointer --------------------------------------------------------------------------------------------------


def test_the_pointer_names_a_tag_that_no_caption_of_the_training_had():
    """Captions are "a <the surest tag>". Two words are never a tag in training, and are named all the same."""
    torch.manual_seed(0)
    words = [f"thing{i}" for i in range(30)]
    vocabulary = Vocabulary([*SPECIALS, "a", *words])
    ids = torch.tensor([vocabulary.id(word) for word in words])
    decoder = TwoMemoryDecoder(len(vocabulary), CHANNELS, 32, tag_ids=ids, dropout=0.0)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)

    def draw(count, first, last):
        """Return pictures of noise with three tags, and the captions that name the first of these."""
        chosen = torch.stack([torch.randperm(last - first, generator=generator)[:3] + first for _ in range(count)])
        confidence = torch.tensor([2.0, -1.0, -2.0]) + 0.5 * torch.randn(count, 3, generator=generator)
        tags = Tags(chosen, confidence, torch.zeros_like(chosen), torch.tensor([0.0, 0, 1, 1]).expand(count, 3, 4))
        captions = torch.stack([torch.tensor([1, 4, int(ids[word]), 2]) for word in chosen[:, 0]])
        return Grid(torch.randn(count, 4, CHANNELS, generator=generator), 2, 2, tags), captions[:, None]

    for _ in range(200):
        grid, captions = draw(32, 0, 25)
        loss = F.cross_entropy(decoder(grid, captions[..., :-1]).logits.flatten(0, 2), captions[..., 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    decoder.eval()
    grid, captions = draw(40, 25, 30)
    made = decoding.greedy(decoder, grid, vocabulary, max_words=3)
    expected = [("a", vocabulary.words[ids[0, 2]]) for ids in captions]
    assert np.mean([caption.words == words for caption, words in zip(made, expected, strict=True)]) > 0.9
    withheld = decoding.greedy(decoder, grid._replace(tags=None), vocabulary, max_words=3)
    assert np.mean([caption.words == words for caption, words in zip(withheld, expected, strict=True)]) < 0.3


# --- the encoder with tags, and the cache -------------------------------------------------------------------------


class BrightestColumn(nn.Module):
    """A tagger whose only detection is the brighter half of a picture; it counts the images that it tags."""

    def __init__(self):
        super().__init__()
        self.tagged = 0

    def forward(self, images, class_logits):
        self.tagged += len(images)
        halves = images.float().mean((1, 2)).unflatten(-1, (2, -1)).mean(-1)
        left = halves.argmax(-1, keepdim=True) / 2
        boxes = torch.stack([left, torch.zeros_like(left), left + 0.5, torch.ones_like(left)], -1)
        number = class_logits.argmax(-1, keepdim=True) % 500
        return Tags(number, class_logits.amax(-1, keepdim=True) / 10, torch.ones_like(number), boxes)


def test_the_encoder_with_tags_runs_its_network_once_and_gives_the_tagger_the_logits_of_classify(monkeypatch):
    network, calls = EfficientNetLite0(), []
    tagged = TaggedEncoder(network, BrightestColumn()).eval().requires_grad_(False)
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    expected, logits = network(images), network.classify(images)
    monkeypatch.setattr(network, "_maps", lambda x, maps=network._maps: (calls.append(len(x)), maps(x))[1])
    monkeypatch.setattr(tagged.tagger, "forward", lambda images, class_logits: class_logits)
    grid = tagged(images)
    assert calls == [2]
    torch.testing.assert_close(grid.features, expected.features)
    torch.testing.assert_close(grid.tags, logits, atol=1e-4, rtol=1e-4)


class TaggedCountingEncoder(CountingEncoder):
    """The quick encoder of the cache's tests, with a tagger."""

    def __init__(self):
        super().__init__()
        self.tagger = BrightestColumn()

    def forward(self, images):
        grid = super().forward(images)
        return grid._replace(tags=self.tagger(images, grid.features.flatten(1)))


@pytest.fixture
def photographs(tmp_path):
    """Five photographs, each unlike its mirror image and unlike the others."""
    examples = datasets.read(write_album(tmp_path / "album", splits=["train"] * 5)).splits["train"]
    assert len(examples) == 5
    return examples


@pytest.fixture
def cache_path(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "train.npy"


def test_the_cache_holds_the_tags_of_each_view_and_those_of_a_mirror_image_have_mirrored_boxes(photographs, cache_path):
    cache = feature_cache.cache_features(TaggedCountingEncoder(), photographs, cache_path, batch_size=2).grids
    plain_cache = feature_cache.cache_features(CountingEncoder(), photographs, cache_path.with_name("plain.npy")).grids
    ids = torch.tensor([3, 0, 4])
    images = datasets.load_images([photographs[i] for i in ids])
    for view, pixels in enumerate((images, images.flip(-1))):
        views = torch.full_like(ids, view)
        grid, expected = feature_cache.cached_grid(cache, ids, views), TaggedCountingEncoder()(pixels)
        assert torch.equal(grid.features, feature_cache.cached_grid(plain_cache, ids, views).features)
        for cached, fresh in zip(grid.tags, expected.tags, strict=True):
            assert cached.dtype == fresh.dtype
            assert torch.equal(cached, fresh)
    left, _, right, _ = feature_cache.cached_grid(cache, ids).tags.boxes.unbind(-1)
    mirrored = feature_cache.cached_grid(cache, ids, torch.ones_like(ids)).tags.boxes
    torch.testing.assert_close(mirrored[..., [0, 2]], torch.stack([1 - right, 1 - left], -1))
    assert feature_cache.cached_grid(plain_cache, ids).tags is None


def test_a_cache_with_tags_that_is_stopped_anywhere_is_continued(photographs, cache_path, monkeypatch):
    photographs[1].image.write_bytes(b"no picture")
    fresh = feature_cache.cache_features(
        TaggedCountingEncoder(), photographs, cache_path.with_name("fresh.npy"), batch_size=2
    )
    assert list(fresh.left_out) == [1]
    stops = 0
    while (
        before := interrupt(monkeypatch, photographs, cache_path, stops, encoder=TaggedCountingEncoder(), batch_size=2)
    ) is not None:
        encoder = TaggedCountingEncoder()
        grids, left_out = feature_cache.cache_features(encoder, photographs, cache_path, batch_size=2)
        assert (grids.tobytes(), left_out) == (fresh.grids.tobytes(), fresh.left_out)
        assert 0 <= before + encoder.encoded - 8 <= 4  # a batch has two views of two
        assert encoder.tagger.tagged == encoder.encoded
        assert {name for name in contents(cache_path.parent) if name.startswith(".")} == set()
        cache_path.unlink()
        cache_path.with_suffix(".sha256").unlink()
        stops += 1
    assert stops > 15


# --- captioners and checkpoints -----------------------------------------------------------------------------------

IMAGES = torch.randint(0, 256, (2, 3, 96, 96), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
WORDS_WITH_TAGS = Vocabulary([*SPECIALS, *"a on the".split(), *TAG_WORDS[:20]])


def make_captioner(decoders=1):
    torch.manual_seed(0)
    return build("photos", WORDS_WITH_TAGS, "tiny", decoders=decoders, tags=True).eval()


def test_images_are_encoded_with_their_tags_and_captions_have_these():
    captioner = make_captioner()
    with torch.no_grad():
        captioner.decoder.output_proj.bias[Vocabulary.end] -= 2  # so that captions have words
    grid = captioner.encode(IMAGES)
    for i, caption in enumerate(captioner.caption(IMAGES, beam=2)):
        assert len(caption.words) > 1
        assert caption.weights.shape == (len(caption.words), 3, 3)
        assert caption.tag_weights.shape == (len(caption.words), len(caption.tags))
        assert [tag.word for tag in caption.tags] == [TAG_WORDS[word] for word in grid.tags.words[i]]
        assert [tag.confidence for tag in caption.tags] == grid.tags.confidence[i].tolist()
        assert [tag.detected for tag in caption.tags] == [source == 1 for source in grid.tags.source[i]]
        assert [list(tag.box) for tag in caption.tags] == grid.tags.boxes[i].tolist()
    last = grid.select(torch.tensor([1]))
    (withheld,) = captioner.caption(last.without_places(), beam=2)
    assert withheld.weights.shape == (len(withheld.words), 0, 0)
    assert withheld.tags == caption.tags
    (untagged,) = captioner.caption(last._replace(tags=None), beam=2)
    assert (untagged.tags, untagged.tag_weights) == ((), None)


@pytest.mark.parametrize("decoders", [1, 2])
def test_a_checkpoint_brings_the_captioner_back_and_holds_no_weight_of_the_encoder_or_the_tagger(decoders, tmp_path):
    captioner = make_captioner(decoders)
    stored = checkpoints.quantize(checkpoints.trained_weights(captioner))
    assert {name.partition(".")[0] for name in stored} == {"decoder"}
    checkpoints.set_weights(captioner, checkpoints.dequantize(stored))
    checkpoints.save(captioner, tmp_path / "run", {})
    loaded = checkpoints.load(tmp_path / "run")
    assert loaded.config == captioner.config
    assert loaded.config["tags"] is True
    for before, after in zip(captioner.caption(IMAGES), loaded.caption(IMAGES), strict=True):
        assert before[:2] == after[:2]
        assert torch.equal(before.tag_weights, after.tag_weights)


def test_a_config_says_tags_only_where_there_are_some():
    assert "tags" not in build("photos", WORDS_WITH_TAGS, "tiny").config
    for task, decoder in (("scenes", "lstm"), ("photos", "transformer")):
        with pytest.raises(ValueError, match="tags are for photographs and the decoder 'lstm'"):
            build(task, WORDS_WITH_TAGS, "tiny", decoder=decoder, tags=True)


# --- the figure ---------------------------------------------------------------------------------------------------


def test_the_figure_has_a_frame_and_bars_for_the_tags_and_for_every_word():
    boxes = [(0.1, 0.2, 0.5, 0.6), (0.0, 0.0, 1.0, 1.0)]
    tags = (Tag("cat", 2.0, True, boxes[0]), Tag("$mat$", -1.0, False, boxes[1]))
    weights = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.01, 0.99]])
    caption = Caption(("a", "cat", "sits"), -2.0, torch.rand(3, 2, 2), tag_weights=weights, tags=tags)
    image = np.full((40, 60, 3), 120, dtype=np.uint8)
    axes = plots.two_memories(image, caption, columns=2)
    assert axes.shape == (4, 2)
    frames, bars = axes[0::2].flatten(), axes[1::2].flatten()
    assert [ax.get_title() for ax in frames] == ["tags", "a", "cat", "sits"]
    for ax, row in zip(bars[1:], weights.tolist(), strict=True):
        assert [bar.get_width() for bar in ax.patches] == pytest.approx(row)
    assert [bar.get_width() for bar in bars[0].patches] == pytest.approx([0.8808, 0.2689], abs=1e-4)
    assert [len(ax.patches) for ax in frames] == [1, 1, 1, 0]  # the box of a detection, unless it has no attention
    (box,) = frames[0].patches
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == pytest.approx((5.5, 7.5, 24, 16))
    colours = [[bar.get_facecolor() for bar in ax.patches] for ax in bars]
    assert colours[2][0] != colours[2][1]  # the tag that is the word
    assert colours[1][0] == colours[1][1]
    plots.png(axes)
    with pytest.raises(ValueError, match="has no tags"):
        plots.two_memories(image, caption._replace(tag_weights=None))


def test_several_photographs_share_a_figure_of_both_memories():
    """Each has its frames and bars, one photograph below the other."""
    tags = (Tag("cat", 2.0, True, (0.1, 0.2, 0.5, 0.6)), Tag("mat", -1.0, False, (0.0, 0.0, 1.0, 1.0)))
    captions = [
        Caption(words, -1.0, torch.rand(len(words), 2, 2), tag_weights=torch.rand(len(words), 2), tags=tags)
        for words in (("a", "cat"), ("a", "dog", "runs"))
    ]
    images = np.random.default_rng(0).integers(256, size=(2, 40, 60, 3), dtype=np.uint8)
    areas = plots.two_memories_each([*zip(images, captions, strict=True)], columns=3)
    figure = areas.flat[0].figure
    titles = [ax.get_title() for ax in figure.axes if ax.images]
    assert titles == ["tags", "a", "cat", "tags", "a", "dog", "runs"]
    assert sum(len(ax.texts) == len(tags) for ax in figure.axes) == len(titles)  # a row of bars below each frame
    tops = [ax.get_position().y1 for ax in figure.axes if ax.get_title() == "tags"]
    assert tops[0] > tops[1]
    plots.png(areas)
