"""Hard attention learnt by REINFORCE: a loss for captioners whose attention draws one place for every word.

`benchmarks.looking` and the study "hard_attention" of `benchmarks.mechanisms` train with it. Explained in the chapter
on hard and adaptive attention.
"""

from typing import NamedTuple, cast

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import Categorical

from companion.attention import AdditiveAttention
from companion.decoders import LSTMDecoder
from companion.encoders import Grid
from companion.models import Captioner
from companion.training import Batch, TrainConfig, token_log_probs
from companion.vocabulary import Vocabulary

DRAWS = 2  # passes over each caption; each is the baseline of the other
ENTROPY_WEIGHT = 0.05  # most truth on validation scenes of 0, 0.02, 0.05 and 0.1: 500 steps on frozen grids, one seed


class Drawn(NamedTuple):
    """What a pass over captions with drawn places gives for every word; for padding the first is 0."""

    word: Float[Tensor, "row word"]  # log-probability of the target, in nats
    place: Float[Tensor, "row word"]  # log-probability of the place that was drawn
    entropy: Float[Tensor, "row word"]  # of the distribution that it was drawn from


def draw(decoder: LSTMDecoder, grid: Grid, pictures: Int[Tensor, "row"], tokens: Int[Tensor, "row word"]) -> Drawn:
    """Run known captions; for every word draw a place from the softmax of the scores, and read its value alone.

    The decoder's attention has additive scores. `pictures` are indices of the grid, one for each row of `tokens`.
    """
    attention = cast(AdditiveAttention, decoder.attention)
    state = decoder.start(grid).select(pictures)
    keys, values = state.memory
    outputs, places, entropies = [], [], []
    for embedded in decoder.embed_tokens(tokens[:, None, :-1]).unbind(2):
        query = state.carry[0] + decoder.word_to_query(embedded)
        choice = Categorical(logits=attention.scores(attention.query_proj(query), keys)[:, 0])
        place = choice.sample()
        places.append(choice.log_prob(place))
        entropies.append(choice.entropy())
        index = rearrange(place, "row -> row 1 1")
        alone = state._replace(memory=(keys.take_along_dim(index, 1), values.take_along_dim(index, 1)))
        output, _, state = decoder.attend_and_update(embedded, alone)
        outputs.append(output)
    logits = decoder.next_logits(torch.stack(outputs, 2), state)
    word = token_log_probs(logits, tokens[:, None, 1:])[:, 0]
    return Drawn(word, torch.stack(places, 1), torch.stack(entropies, 1))


def reinforce(model: nn.Module, captioner: Captioner, batch: Batch, config: TrainConfig) -> Float[Tensor, ""]:
    """Return the loss of captions whose places are drawn, per word: cross-entropy, and REINFORCE for the places.

    The reward of a place is the log-likelihood of the words from its own on (Xu et al. 2015, equation 11, has that of
    the whole caption), less that of another draw over the same caption (Kool et al. 2019, section 3.1; Xu et al. have a
    moving average). The entropy of the places is added, as in their equation 12. One process only.
    """
    decoder = cast(LSTMDecoder, captioner.decoder)
    captions = batch.tokens.shape[1]
    tokens = rearrange(batch.tokens.unsqueeze(1).expand(-1, DRAWS, -1, -1), "b draw beam word -> (b draw beam) word")
    pictures = torch.arange(len(batch.tokens), device=tokens.device).repeat_interleave(DRAWS * captions)
    sampled = draw(decoder, captioner.encode(batch.source), pictures, tokens)
    words = tokens[:, 1:] != Vocabulary.pad
    reward = sampled.word.detach().flip(1).cumsum(1).flip(1)  # of the words from this one on
    own = rearrange(reward, "(b draw beam) word -> b draw beam word", draw=DRAWS, beam=captions)
    baseline = (own.sum(1, keepdim=True) - own) / (DRAWS - 1)
    advantage = rearrange(own - baseline, "b draw beam word -> (b draw beam) word")
    gain = sampled.word + (advantage * sampled.place + ENTROPY_WEIGHT * sampled.entropy) * words
    return -gain.sum() / words.sum()
