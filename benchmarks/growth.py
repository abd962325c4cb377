"""How the time and the memory of one step of a decoder grow with the places of the picture and the words said."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import measure
import torch
from torch import Tensor

from companion.decoders import LSTMDecoder, TransformerDecoder
from companion.encoders import Grid

PLACES = (49, 100, 196, 400, 784)
WORDS = (10, 20, 40, 80)
DECODERS = {"LSTM": LSTMDecoder, "transformer": TransformerDecoder}


@torch.inference_mode()
def rows(batch: int = 16, beam: int = 5, hidden: int = 512, vocab: int = 3000, turns: int = 9) -> list[dict[str, Any]]:
    """For each decoder and each of the two sizes: milliseconds and megabytes a step, and the exponents fitted."""
    found = []
    for name, kind in DECODERS.items():
        torch.manual_seed(0)
        decoder = kind(vocab, hidden, hidden).eval()
        tokens = torch.randint(4, vocab, (batch, beam))
        for against, sizes in {"places": PLACES, "words": WORDS}.items():
            several = [(n, WORDS[0]) if against == "places" else (PLACES[2], n) for n in sizes]
            steps = [
                step_after(decoder, Grid(torch.rand(batch, places, hidden), 1, places), tokens, words)
                for places, words in several
            ]
            seconds, memory = in_turn(steps, turns), [step.held + measure.work(step.run).peak for step in steps]
            found.append(
                {
                    "decoder": name,
                    "against": against,
                    "sizes": list(sizes),
                    "milliseconds": [round(1e3 * x, 1) for x in seconds],
                    "megabytes": [round(x / measure.MEGABYTE, 1) for x in memory],
                    "time_exponent": round(measure.exponent(sizes, seconds), 2),
                    "memory_exponent": round(measure.exponent(sizes, memory), 2),
                }
            )
    return found


class Later(NamedTuple):
    """A step of a decoder that has said some words."""

    run: Callable[[], Any]
    held: int  # bytes of the state that it starts from


def step_after(decoder: Any, grid: Grid, tokens: Tensor, words: int) -> Later:
    """The step after `words` words."""
    state = decoder.start(grid).reorder(torch.zeros_like(tokens))
    for _ in range(words):
        state = decoder.step(tokens, state).state
    held = sum(x.numel() * x.element_size() for x in (*state.memory, *state.carry))
    return Later(lambda: decoder.step(tokens, state), held)


def in_turn(steps: Sequence[Later], turns: int) -> list[float]:
    """Median seconds of each step, all of them once in every turn, so that what disturbs one disturbs all."""
    times = [[measure.seconds(step.run) for step in steps] for _ in range(turns)]
    return [statistics.median(column) for column in zip(*times, strict=True)]
