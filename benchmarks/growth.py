"""How time and memory of one decoding step grow with the places of the picture and the words generated so far."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import measure
from companion.decoders import LSTMDecoder, TransformerDecoder
from companion.encoders import Grid

PLACES = (49, 100, 196, 400, 784)
WORDS = (10, 20, 40, 80)
DECODERS = {"LSTM": LSTMDecoder, "transformer": TransformerDecoder}


@torch.inference_mode()
def rows(
    batch: int = 16, beam: int = 5, hidden: int = 512, *, vocab: int = 3000, turns: int = 9
) -> list[dict[str, Any]]:
    """Return, for each decoder and each of the two sizes, milliseconds and megabytes per step and fitted exponents."""
    table = []
    for name, decoder_class in DECODERS.items():
        torch.manual_seed(0)
        decoder = decoder_class(vocab, hidden, hidden).eval()
        tokens = torch.randint(4, vocab, (batch, beam))
        for against, sizes in {"places": PLACES, "words": WORDS}.items():
            pairs = [(n, WORDS[0]) if against == "places" else (PLACES[2], n) for n in sizes]
            steps = [
                step_after(decoder, Grid(torch.rand(batch, places, hidden), 1, places), tokens, words=words)
                for places, words in pairs
            ]
            seconds = median_seconds(steps, turns)
            memory = [step.state_bytes + measure.count_work(step.run).peak for step in steps]
            table.append(
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
    return table


class LaterStep(NamedTuple):
    """A step of a decoder that has generated some words already."""

    run: Callable[[], Any]
    state_bytes: int  # of the state that it starts from


def step_after(decoder: Any, grid: Grid, tokens: Tensor, *, words: int) -> LaterStep:
    """Return the step that follows `words` words."""
    state = decoder.start(grid).reorder(torch.zeros_like(tokens))
    for _ in range(words):
        state = decoder.step(tokens, state).state
    state_bytes = sum(x.numel() * x.element_size() for x in (*state.memory, *state.carry))
    return LaterStep(lambda: decoder.step(tokens, state), state_bytes)


def median_seconds(steps: Sequence[LaterStep], turns: int) -> list[float]:
    """Return the median seconds of each step. Each turn runs all of them, so that what disturbs one disturbs all."""
    times = [[measure.seconds(step.run) for step in steps] for _ in range(turns)]
    return [statistics.median(column) for column in zip(*times, strict=True)]
