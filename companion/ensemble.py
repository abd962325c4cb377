"""Several decoders in, one out: before every word each says how likely it finds all words, and the mean decides.

Explained in chapter 16.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from jaxtyping import Int
from torch import Tensor, nn

from companion.decoders import LSTMDecoder, State, Step, TransformerDecoder
from companion.encoders import Grid


class Ensemble(nn.Module):
    """Decoders of one kind that say one caption together, with the `start`, `step` and `forward` of a single one.

    The logits are the mean of the decoders' log-probabilities, so a word that one of them finds impossible is not said;
    the weights are the mean of where they look. The state holds the decoders' own states one after the other. Sutskever
    et al. (2014, table 1) translate with five decoders so.
    """

    def __init__(self, decoders: Iterable[LSTMDecoder | TransformerDecoder]):
        super().__init__()
        self.decoders = nn.ModuleList(decoders)

    def start(self, grid: Grid) -> State:
        """Every decoder's state before the first word."""
        return joined([cast(LSTMDecoder, decoder).start(grid) for decoder in self.decoders])

    def step(self, tokens: Int[Tensor, "batch beam"], state: State) -> Step:
        """The next word's logits, after `tokens`."""
        parts = zip(self.decoders, parted(state, len(self.decoders)), strict=True)
        return agreed([cast(LSTMDecoder, decoder).step(tokens, part) for decoder, part in parts])

    def forward(self, grid: Grid, tokens: Int[Tensor, "batch beam word"]) -> Step:
        """Teacher forcing: the logits after every prefix of `tokens`."""
        return agreed([decoder(grid, tokens) for decoder in self.decoders])


def agreed(steps: Sequence[Step]) -> Step:
    """The mean of the decoders' log-probabilities and of their weights."""
    logits = torch.stack([step.logits.log_softmax(-1) for step in steps]).mean(0)
    return Step(logits, torch.stack([step.weights for step in steps]).mean(0), joined([step.state for step in steps]))


def joined(states: Sequence[State]) -> State:
    """The decoders' states as one."""
    return State(sum((state.memory for state in states), ()), sum((state.carry for state in states), ()))


def parted(state: State, decoders: int) -> list[State]:
    """The state of each decoder: `joined`, backwards."""
    memory, carry = len(state.memory) // decoders, len(state.carry) // decoders
    return [
        State(state.memory[i * memory : (i + 1) * memory], state.carry[i * carry : (i + 1) * carry])
        for i in range(decoders)
    ]
