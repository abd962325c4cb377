"""Measure every pair alternately, print one table of ratios, and write it as JSON (`make bench`).

python -m benchmarks.run [--out FILE] [--only NAME]      all rows, or those whose name holds NAME
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

if not __package__:  # run by its path, from which the package `benchmarks` cannot be imported
    raise SystemExit("run it from the root of the repository: python -m benchmarks.run")

import torch

from benchmarks import command, growth, measure, pairs

RESULTS = Path(__file__).with_name("results.json")


class Row(NamedTuple):
    """One line of the table."""

    name: str
    ours: float
    partner: float
    unit: str
    ratio: float  # above 1: the partner is that much slower
    goal: str
    reached: bool | None  # None: there is no goal
    difference: float  # of the results
    same: bool
    bound: str  # the part of the work with the largest lower bound
    distance: float  # how many times as long as that bound it takes
    detail: dict[str, Any]


class Goal(NamedTuple):
    """The ratio that a pair has to reach."""

    name: str
    pair: Callable[[], pairs.Pair]
    turns: int
    ratio: float
    tolerance: float  # largest difference of the results


GOALS = (
    Goal("training step, against keys and vocabulary at every word", pairs.training, 3, 5.0, 1e-5),
    Goal("beam search of 200 photographs, against one at a time", pairs.beam_photos, 3, 8.0, 0),
    Goal("beam search of 200 scenes, against one at a time", pairs.beam_scenes, 3, 8.0, 0),
    Goal("multi-head attention, against the fused kernel by hand", pairs.multi_head, 25, 1 / 1.1, 1e-5),
    Goal("BLEU and CIDEr-D of 5,000 captions, against the formulae", pairs.scores, 5, 3.0, 1e-9),
)


def compare(goal: Goal, limits: measure.Machine) -> Row:
    """Measure both sides of a pair alternately, on one thread, in seconds of processor time."""
    pair = goal.pair()
    difference = pair.difference(pair.ours(), pair.partner())
    times = measure.alternate(pair.ours, pair.partner, goal.turns)
    ours, ratio = statistics.median(times.ours), statistics.median(times.ratios)
    if pair.lower_bound:
        bounds = {"Python": measure.best(pair.lower_bound)}
    else:
        bounds = measure.lower_bounds(measure.count_work(pair.ours), limits)
    bound = max(bounds, key=lambda part: bounds[part])
    return Row(
        goal.name, ours, statistics.median(times.partner), "s", ratio, f"≥ {goal.ratio:.2g}", ratio >= goal.ratio,
        difference, difference <= goal.tolerance, bound, ours / bounds[bound],
        {"ratios": times.ratios, "lower_bounds": bounds},
    )  # fmt: skip


def response_row(name: str, times: measure.Times, limit: float | None) -> Row:
    """Return how soon a command answers. Its partner is what Python needs before the command can begin."""
    ours, least = (statistics.median(seconds) for seconds in times)
    return Row(
        name, ours, least, "s", least / ours, f"≤ {limit} s" if limit else "", ours <= limit if limit else None,
        0.0, True, "Python", ours / least, {"all": times.ours},
    )  # fmt: skip


def photographs_row() -> Row:
    """Return the rate of captioning photographs from disk; encoding and search are the lower bound."""
    with tempfile.TemporaryDirectory() as folder:
        measured = command.time_photographs(Path(folder))
    ours, partner = (measured.images / statistics.median(seconds) for seconds in measured.times)
    model = measured.stages["encode"] + measured.stages["search"]
    return Row(
        "photographs captioned from disk, against one at a time", ours, partner, "/s",
        statistics.median(measured.times.ratios), "", None, measured.unequal, measured.unequal == 0,
        "arithmetic", statistics.median(measured.times.ours) / model,
        {f"{stage}_a_second": measured.images / seconds for stage, seconds in measured.stages.items()},
    )  # fmt: skip


def measure_all(only: str) -> dict[str, Any]:
    """Return all rows whose name holds `only`, with the machine and its load."""
    load, threads = os.getloadavg(), torch.get_num_threads()
    responses = {"companion --help, against Python that does nothing": (command.time_help, 0.5),
                 "first caption, against Python that imports PyTorch": (command.time_first_caption, None)}  # fmt: skip
    # First what a person waits for, with all threads.
    rows = [response_row(name, run(), limit) for name, (run, limit) in responses.items() if only in name]
    if only in "photographs captioned from disk":
        rows.append(photographs_row())
    torch.set_num_threads(1)
    limits = measure.machine()
    rows += [compare(goal, limits) for goal in GOALS if only in goal.name]
    return {
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": threads,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "load_before": load,
            "load_after": os.getloadavg(),
            **limits._asdict(),
        },
        "rows": [row._asdict() for row in rows],
        "growth": growth.rows() if only in "growth" else [],
    }


def processor() -> str:
    """Return the name of the processor, as far as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ", 1)[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    machine = results["machine"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, torch {machine['torch']}; matrix products at "
        f"{machine['flops'] / 1e9:.0f} GFLOP a second, at {machine['few_rows'] / 1e9:.0f} with five rows; "
        f"load {machine['load_before'][0]:.1f} before, {machine['load_after'][0]:.1f} after.",
        "",
        "| what | ours | partner | ratio | goal | same result | bound by | times the bound |",
        "|---|--:|--:|--:|--:|---|---|--:|",
    ]
    for row in (Row(**fields) for fields in results["rows"]):
        goal = row.goal + {True: "", False: " **missed**", None: ""}[row.reached]
        cells = [row.name, with_unit(row.ours, row.unit), with_unit(row.partner, row.unit), f"{row.ratio:.2f}", goal]
        cells += ["yes" if row.same else f"no: {row.difference:.2g}", row.bound, f"{row.distance:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| step of | against | | | time ~ | | memory ~ |", "|---|---|---|---|---|---|---|"]
    for row in results["growth"]:
        listed = [" ".join(map(str, row[key])) for key in ("sizes", "milliseconds", "megabytes")]
        sizes, times, memory = listed[0], f"{listed[1]} ms", f"{listed[2]} MB"
        powers = (f"{row['against']}^{row[key]}" for key in ("time_exponent", "memory_exponent"))
        cells = [row["decoder"], row["against"], sizes, times, next(powers), memory, next(powers)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def with_unit(value: float, unit: str) -> str:
    """Return a number with its unit."""
    return f"{1e3 * value:.1f} ms" if unit == "s" and value < 1 else f"{value:.2f} {unit}"


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measure, print and write the table.")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="the JSON (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="NAME", help="only the rows whose names hold NAME")
    options = parser.parse_args()
    start = time.perf_counter()
    results = measure_all(options.only)
    print(table(results))
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{time.perf_counter() - start:.0f} s; written to {options.out}")


if __name__ == "__main__":
    main()
