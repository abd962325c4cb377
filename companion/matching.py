"""Matching: pictures and captions as vectors of one space, where a caption lies close to its picture.

`MatchingModel` is an image encoder's grid and a recurrent network of words, each pooled into one vector; `info_nce` is
the loss that it is trained with, and `ranks` says how well one finds the other. Explained in the chapter on pictures
and words in one space.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from companion import attention
from companion.decoders.base import InputProjection
from companion.encoders import Grid
from companion.vocabulary import Vocabulary

MAX_SCALE = 100.0  # of the logits, as in CLIP


class MatchingModel(nn.Module):
    """Two encoders with one space: a picture's grid and a caption's words each become a vector of length one.

    The places of the grid are pooled by an attention mechanism whose query is their mean, as in CLIP's network of
    convolutions (Radford et al. 2021, section 2.4). A caption's vector is made from the state of a GRU after `<end>`
    (Faghri et al. 2018, section 3.1), which depends on the order of the words.

    Args:
        channels: of the grid.
        vocab: number of words.
        pooling: a name in `attention.MECHANISMS`; "mean_pooling" weighs all places alike.
        hidden: width of all layers, and of the space.
    """

    def __init__(self, channels: int, vocab: int, pooling: str = "multi_head", hidden: int = 128):
        super().__init__()
        self.input_proj = InputProjection(channels, hidden, 0.0, positions=True)
        self.pooling = attention.build(pooling, hidden, hidden, hidden)
        self.image_proj = nn.Linear(hidden, hidden, bias=False)
        self.embed = nn.Embedding(vocab, hidden, padding_idx=Vocabulary.pad)
        self.words = nn.GRU(hidden, hidden, batch_first=True)
        self.text_proj = nn.Linear(hidden, hidden, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def pool(self, grid: Grid) -> tuple[Float[Tensor, "image hidden"], Float[Tensor, "image place"]]:
        """Return the pooled values of each picture, and the weights of its places."""
        values = self.input_proj(grid)
        context, weights = self.pooling(values.mean(1, keepdim=True), values, values)
        return context[:, 0], weights[:, 0]

    def image_vectors(self, grid: Grid) -> Float[Tensor, "image hidden"]:
        """Return a vector of length one for each picture."""
        return F.normalize(self.image_proj(self.pool(grid)[0]), dim=-1)

    def text_vectors(self, tokens: Int[Tensor, "caption word"]) -> Float[Tensor, "caption hidden"]:
        """Return a vector of length one for each caption, given as ids between `<start>` and `<end>`, then padding."""
        states, _ = self.words(self.embed(tokens))
        last = (tokens != Vocabulary.pad).sum(1) - 1
        return F.normalize(self.text_proj(states[torch.arange(len(tokens)), last]), dim=-1)

    def scale(self) -> Float[Tensor, ""]:
        """Return the factor of the cosines, one over the temperature."""
        return self.log_scale.exp().clamp(max=MAX_SCALE)

    def forward(self, grid: Grid, tokens: Int[Tensor, "caption word"]) -> Float[Tensor, "image caption"]:
        """Return the logits of all pairs: the cosines of pictures and captions, times the scale."""
        return self.scale() * self.image_vectors(grid) @ self.text_vectors(tokens).T


def info_nce(logits: Float[Tensor, "image caption"]) -> Float[Tensor, ""]:
    """Return the symmetric contrastive loss in nats; caption i belongs to picture i, further captions to none.

    The mean of two cross-entropies (van den Oord et al. 2018, equation 4; Radford et al. 2021, figure 3): of each
    picture among the captions, and of each caption among the pictures. Captions beyond the number of pictures are
    additional negatives: only the first of the two sees them (Yuksekgonul et al. 2023).
    """
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits[:, : len(logits)].T, target)) / 2


def ranks(similarity: Float[Tensor, "query candidate"], target: Int[Tensor, "query"]) -> Float[Tensor, "query"]:
    """Return the rank of each query's candidate, from 1; equal candidates share their mean rank."""
    own = similarity.gather(1, target[:, None])
    better, equal = (similarity > own).sum(1), (similarity == own).sum(1)
    return better + (equal + 1) / 2
