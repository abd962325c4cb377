"""What all decoders share: the records `State` and `Step`, the protocols, and a few layers.

The axis `beam` holds the captions that share a picture: the hypotheses of a beam search, or in training the reference
captions of one image. Explained in the chapter on the attention decoder.
"""

from collections.abc import Collection
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from companion.encoders import POSITION_CHANNELS, Grid, grid_positions

POSITION_SCALE = 1.5  # of the encoding beside learned channels, whose size after training is about one


class State(NamedTuple):
    """Everything a decoder remembers between two words.

    `memory` depends on the picture alone (prepared keys and values; leading axis batch). `carry` depends on the words
    so far (an LSTM's hidden and cell state, a transformer's past keys and values; leading axes batch beam).
    """

    memory: tuple[Tensor, ...]
    carry: tuple[Tensor, ...]

    def reorder(self, parents: Int[Tensor, "batch beam"]) -> "State":
        """Return the state in which hypothesis i continues the old one `parents[:, i]`; the beam may change width."""
        rows = torch.arange(len(parents), device=parents.device)[:, None]
        return self._replace(carry=tuple(x[rows, parents] for x in self.carry))

    def select(self, pictures: Int[Tensor, "kept"]) -> "State":
        """Return the state of the pictures with these indices."""
        return State(tuple(x[pictures] for x in self.memory), tuple(x[pictures] for x in self.carry))


class Step(NamedTuple):
    """A decoder's output after reading one word: logits of the next word, the attention weights, and the new state.

    After a whole caption (`forward`), logits and weights have an axis `word`. A decoder that attends to tags, too, also
    returns the weights of these.
    """

    logits: Float[Tensor, "batch beam *word vocab"]
    weights: Float[Tensor, "batch beam *word place"]
    state: State
    tag_weights: Float[Tensor, "batch beam *word tag"] | None = None


class Reading(NamedTuple):
    """What a decoder read of a picture for one word: the context, and the attention weights that made it.

    The context of several memories is theirs in a row.
    """

    context: Float[Tensor, "batch beam channel"]
    weights: Float[Tensor, "batch beam place"]
    tag_weights: Float[Tensor, "batch beam tag"] | None = None


@runtime_checkable
class Decoder(Protocol):
    """What a captioner needs of its decoder.

    Stepping through a caption gives the same logits and weights as the teacher-forced pass.
    """

    def start(self, grid: Grid) -> State:
        """Return the state before the first word, with one hypothesis per picture."""

    def step(self, tokens: Int[Tensor, "batch beam"], state: State) -> Step:
        """Read one token per hypothesis and return the logits of the next."""

    def __call__(self, grid: Grid, tokens: Int[Tensor, "batch beam word"]) -> Step:
        """Run known captions in one pass (teacher forcing): logits after every prefix of `tokens`."""


class DecoderClass(Protocol):
    """What `DECODERS` registers: a class whose instances are `Decoder` modules."""

    @property
    def mechanisms(self) -> Collection[str]:
        """The names of the attention mechanisms that it can be built with."""

    @property
    def default_attention(self) -> str:
        """The mechanism that it has if none is named."""

    @property
    def supports_alignment(self) -> bool:
        """Whether its instances have `input_proj` and `context_logits`, which the alignment loss needs."""

    def __call__(
        self, vocab: int, channels: int, hidden: int, *, attention: str, dropout: float, positions: bool
    ) -> nn.Module:
        """Build a decoder for a vocabulary of `vocab` words and a grid of `channels` channels.

        With `positions`, its values hold a positional encoding (`InputProjection`).
        """


def expand_beams(state: State, beams: int) -> State:
    """Return the state of one hypothesis per picture, copied to `beams` hypotheses."""
    pictures = len(state.carry[0])
    return state.reorder(torch.zeros(pictures, beams, dtype=torch.long, device=state.carry[0].device))


class InputProjection(nn.Sequential):
    """The layers that turn the encoder's features into the decoder's values, one vector of width `hidden` per place.

    With `positions`, the last `POSITION_CHANNELS` of a value are not learned: they are the positional encoding of its
    place (`grid_positions`), times `POSITION_SCALE`. The features of a convolution hardly say where a place
    lies, and a decoder that does not know it cannot tell left from right.

    Args:
        channels: channels of the encoder's grid.
        hidden: width of a value.
        dropout: of the decoder; half of it is applied to the learned channels.
        positions: whether values hold a positional encoding.
    """

    def __init__(self, channels: int, hidden: int, dropout: float, *, positions: bool = False):
        learned = hidden - POSITION_CHANNELS if positions else hidden
        super().__init__(nn.LayerNorm(channels), nn.Linear(channels, learned), nn.ReLU(), nn.Dropout(dropout / 2))
        self.positions = positions

    def forward(self, grid: Grid) -> Float[Tensor, "batch place hidden"]:  # type: ignore[override]  # a grid, no tensor
        """Return the values of a grid's places."""
        values = super().forward(grid.features)
        if not self.positions:
            return values
        encoding = POSITION_SCALE * grid_positions(grid.rows, grid.cols).to(values)
        return torch.cat([values, encoding.expand(values.shape[0], -1, -1)], dim=-1)


def tied_output_proj(embed: nn.Embedding) -> nn.Linear:
    """Return a layer from hidden to vocab that shares its matrix with the embedding (Press and Wolf 2017, section 3).

    The embedding is initialised so that the first logits have a variance of about one.
    """
    nn.init.normal_(embed.weight, std=embed.embedding_dim**-0.5)
    output_proj = nn.Linear(embed.embedding_dim, embed.num_embeddings)
    output_proj.weight = embed.weight
    return output_proj
