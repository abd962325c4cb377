"""What attention costs: time and memory against places and words, and what it saves to make keys once.

    python -m benchmarks.cost

Each part measures what is compared in turn, in one run and on one thread, and is added to cost.json when it is done; a
part that is there is not measured again. The chapter on what attention costs shows the tables.

- growth: self-attention over more and more places, by the table of scores and by four ways without it
- resident: how much more memory the process needs, each way in a process of its own
- keys: a caption of an attention module that makes its keys once, and of one that makes them at every word
- words: captions of a transformer that keeps its keys and values, and of one that runs every prefix anew
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks import measure
from benchmarks.run import processor
from companion import attention
from companion.decoders import TransformerDecoder
from companion.encoders import Grid
from companion.files import atomic_write

RESULTS = Path(__file__).with_name("cost.json")
PLACES = (256, 512, 1024, 2048, 4096)
CHANNELS = 64
RADIUS = 32
RESIDENT_PLACES = 8192
MODULES = ("scaled_dot", "additive", "multi_head")
CAPTION = 12  # words, in "keys"
WORDS = (8, 16, 32, 64)
TURNS = 15


def table(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return the context by way of the table of all scores."""
    return attention.scaled_dot_product(query, keys, values)[0]


def fused(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return the context from PyTorch's fused kernel, which wants axes of batch and head."""
    return F.scaled_dot_product_attention(query[None, None], keys[None, None], values[None, None])[0, 0]


WAYS: dict[str, Callable[..., torch.Tensor]] = {
    "table": table,
    "fused": fused,
    "blockwise": attention.blockwise,
    "windowed": partial(attention.windowed, radius=RADIUS),
    "linear": attention.linear,
}


def interval(values: Sequence[float], seed: int = 0) -> list[float]:
    """Return the mean of the turns, and the ends of its 95 % bootstrap interval."""
    draws = np.random.default_rng(seed).choice(values, (2000, len(values))).mean(1)
    return [round(float(x), 3) for x in (np.mean(values), *np.quantile(draws, (0.025, 0.975)))]


def slopes(sizes: Sequence[int], turns: Sequence[Sequence[float]]) -> list[float]:
    """Return the exponent with which the seconds grow, fitted in each turn: its mean and its interval."""
    return interval([measure.exponent(sizes, seconds) for seconds in turns])


def growth(places: Sequence[int] = PLACES, turns: int = TURNS) -> dict[str, Any]:
    """Return, for each way, the milliseconds, the peak of allocated bytes, and the exponents of both."""
    inputs = [torch.randn(3, n, CHANNELS).unbind() for n in places]
    seconds: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    for _ in range(turns + 1):
        for name, attend in WAYS.items():
            seconds[name].append([measure.seconds(partial(attend, *x)) for x in inputs])
    results = {}
    for name, attend in WAYS.items():
        work = [measure.count_work(partial(attend, *x)) for x in inputs]
        kept = seconds[name][1:]  # the first turn warms up
        results[name] = {
            "milliseconds": [round(1e3 * statistics.median(column), 3) for column in zip(*kept, strict=True)],
            "time_exponent": slopes(places, kept),
            "peak_bytes": [w.peak for w in work],
            "memory_exponent": round(measure.exponent(places, [w.peak for w in work]), 3),
        }
    return {"places": list(places), "channels": CHANNELS, "radius": RADIUS, "ways": results}


def resident_megabytes(name: str, places: int) -> float:
    """Return by how much the memory of this process grows during one call, at the most, in megabytes. Linux alone."""
    inputs = torch.randn(3, places, CHANNELS).unbind()
    WAYS[name](*(x[:256] for x in inputs))  # what PyTorch loads with the first call is not counted
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew, at what is in use now
    before = peak_kilobytes()
    WAYS[name](*inputs)
    return (peak_kilobytes() - before) / 1024


def peak_kilobytes() -> int:
    """Return the largest resident memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def resident(places: int = RESIDENT_PLACES) -> dict[str, Any]:
    """Return `resident_megabytes` of each way, each in a process of its own."""
    root = RESULTS.parents[1]
    program = "import sys; from benchmarks import cost; cost.quiet(); print(cost.resident_megabytes(sys.argv[1], {}))"
    megabytes = {}
    for name in WAYS:
        command = [sys.executable, "-c", program.format(places), name]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        megabytes[name] = round(float(done.stdout), 1)
    return {"places": places, "table_megabytes": places**2 * 4 / measure.MEGABYTE, "megabytes": megabytes}


def keys(words: int = CAPTION, places: int = 196, hidden: int = 512, *, turns: int = TURNS) -> dict[str, Any]:
    """Return, for each mechanism, how many times as long a caption takes with keys that are made at every word."""
    values, queries = torch.randn(1, places, hidden), torch.randn(words, 1, 1, hidden)
    results = {}
    for name in MODULES:
        module = attention.build(name, hidden, hidden, hidden).eval()

        def once(module: attention.Attention = module) -> None:
            prepared = module.prepare(values, values)
            for query in queries:
                module.attend(query, *prepared)

        def every_word(module: attention.Attention = module) -> None:
            for query in queries:
                module(query, values, values)

        times = measure.alternate(once, every_word, turns)
        flops = [measure.count_work(run).flops for run in (once, every_word)]
        results[name] = {"time_ratio": interval(times.ratios), "flops": flops}
    return {"words": words, "places": places, "hidden": hidden, "mechanisms": results}


def words(counts: Sequence[int] = WORDS, places: int = 49, hidden: int = 256, *, turns: int = TURNS) -> dict[str, Any]:
    """Return what captions of 8 to 64 words cost a transformer, with and without the keys and values of earlier words.

    Both keep the keys and values of the picture.
    """
    torch.manual_seed(0)
    decoder = TransformerDecoder(1000, hidden, hidden).eval()
    start = decoder.start(Grid(torch.randn(1, places, hidden), 1, places))

    def stepwise(tokens: torch.Tensor) -> None:
        state = start
        for token in tokens.unbind(-1):
            state = decoder.step(token, state).state

    def anew(tokens: torch.Tensor) -> None:
        for count in range(1, tokens.shape[-1] + 1):
            decoder.decode_chunk(tokens[..., :count], start)

    captions = [torch.randint(4, 1000, (1, 1, count)) for count in counts]
    pairs = [[measure.alternate(partial(stepwise, x), partial(anew, x), 1) for x in captions] for _ in range(turns)]
    with_cache, without = ([[getattr(t, side)[0] for t in turn] for turn in pairs] for side in ("ours", "partner"))
    return {
        "words": list(counts),
        "places": places,
        "hidden": hidden,
        "flops": {
            run.__name__: [measure.count_work(partial(run, x)).flops for x in captions] for run in (stepwise, anew)
        },
        "time_ratio": [interval([turn[i].ratios[0] for turn in pairs]) for i in range(len(counts))],
        "time_exponent": {"stepwise": slopes(counts, with_cache), "anew": slopes(counts, without)},
    }


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "growth": growth,
    "resident": resident,
    "keys": keys,
    "words": words,
}


def quiet() -> None:
    """Use one thread and keep no gradients, as everything here does."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)


def main() -> None:
    """Measure what is missing in cost.json, and print every part."""
    quiet()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name, part in PARTS.items():
        if name not in results:
            torch.manual_seed(0)
            results[name] = {"machine": processor(), "torch": torch.__version__, "load": os.getloadavg()[0], **part()}
            atomic_write(RESULTS, json.dumps(results, indent=1).encode() + b"\n")
        print(name, json.dumps(results[name]))


if __name__ == "__main__":
    main()
