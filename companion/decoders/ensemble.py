"""An ensemble: several decoders that generate one caption together, from the mean of their log-probabilities.

Explained in the chapter on real photographs.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from jaxtyping import Int
from torch import Tensor, nn

from companion.attention import at_least_single
from companion.decoders.base import Decoder, State, Step
from companion.encoders import Grid


class Ensemble(nn.Module):
    """Decoders of one kind whose predictions are averaged, with the interface of a single decoder.

    The logits are the mean of the decoders' log-probabilities, so a word to which one of them gives a probability near
    zero is not generated. The weights are the mean of their attention weights. The state holds the decoders' states one
    after the other. Sutskever et al. (2014, table 1) combine five decoders.
    """

    def __init__(self, decoders: Iterable[nn.Module]):
        super().__init__()
        self.decoders = nn.ModuleList(decoders)

    def _members(self) -> list[Decoder]:
        return [cast(Decoder, decoder) for decoder in self.decoders]

    def start(self, grid: Grid) -> State:
        """Return the merged states before the first word."""
        return merge_states([decoder.start(grid) for decoder in self._members()])

    def step(self, tokens: Int[Tensor, "batch beam"], state: State) -> Step:
        """Read one token per hypothesis and return the averaged prediction of the next."""
        parts = zip(self._members(), split_states(state, len(self.decoders)), strict=True)
        return mean_prediction([decoder.step(tokens, part) for decoder, part in parts])

    def forward(self, grid: Grid, tokens: Int[Tensor, "batch beam word"]) -> Step:
        """Run known captions (teacher forcing): averaged predictions after every prefix of `tokens`."""
        return mean_prediction([decoder(grid, tokens) for decoder in self.decoders])


def mean_prediction(steps: Sequence[Step]) -> Step:
    """Return the mean of the decoders' log-probabilities and of their attention weights."""
    logits = torch.stack([at_least_single(step.logits).log_softmax(-1) for step in steps]).mean(0)
    weights = torch.stack([step.weights for step in steps]).mean(0)
    tag_weights = [step.tag_weights for step in steps if step.tag_weights is not None]
    state = merge_states([step.state for step in steps])
    return Step(logits, weights, state, torch.stack(tag_weights).mean(0) if tag_weights else None)


def merge_states(states: Sequence[State]) -> State:
    """Return the decoders' states as one: their memories in a row, and their carries in a row."""
    return State(sum((state.memory for state in states), ()), sum((state.carry for state in states), ()))


def split_states(state: State, decoders: int) -> list[State]:
    """Return the state of each decoder: the inverse of `merge_states`."""
    memory, carry = len(state.memory) // decoders, len(state.carry) // decoders
    return [
        State(state.memory[i * memory : (i + 1) * memory], state.carry[i * carry : (i + 1) * carry])
        for i in range(decoders)
    ]
