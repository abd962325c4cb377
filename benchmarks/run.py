"""`make bench`: measures every pair in turn, prints one table of ratios, and writes it as JSON.

python benchmarks/run.py [--out FILE] [--only NAME]      all rows, or those of which NAME is a part
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

import command
import growth
import measure
import pairs
import torch

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
    bound: str  # which part of the work takes longest at the least
    distance: float  # how many times as long as that least it takes
    detail: dict[str, Any]


class Goal(NamedTuple):
    """What a pair has to reach."""

    name: str
    pair: Callable[[], pairs.Pair]
    turns: int
    ratio: float
    tolerance: float  # of the difference of the results


GOALS = (
    Goal("training step, against keys and vocabulary at every word", pairs.training, 3, 5.0, 1e-5),
    Goal("beam search of 200 photographs, against one at a time", pairs.beam_photos, 3, 8.0, 0),
    Goal("beam search of 200 scenes, against one at a time", pairs.beam_scenes, 3, 8.0, 0),
    Goal("multi-head attention, against the fused kernel by hand", pairs.multi_head, 25, 1 / 1.1, 1e-5),
    Goal("BLEU and CIDEr-D of 5,000 captions, against the formulae", pairs.scores, 5, 3.0, 1e-9),
)


def compare(goal: Goal, limits: measure.Machine) -> Row:
    """Both sides of a pair in turn, on one thread, in seconds of the processor."""
    pair = goal.pair()
    difference = pair.difference(pair.ours(), pair.theirs())
    times = measure.in_turn(pair.ours, pair.theirs, goal.turns)
    ours, ratio = statistics.median(times.ours), statistics.median(times.ratios)
    floors = {"Python": measure.best(pair.floor)} if pair.floor else measure.floors(measure.work(pair.ours), limits)
    bound = max(floors, key=lambda part: floors[part])
    return Row(
        goal.name, ours, statistics.median(times.theirs), "s", ratio, f"≥ {goal.ratio:.2g}", ratio >= goal.ratio,
        difference, difference <= goal.tolerance, bound, ours / floors[bound],
        {"ratios": times.ratios, "floors": floors},
    )  # fmt: skip


def answer(name: str, times: measure.Times, limit: float | None) -> Row:
    """How soon a command answers. Its partner is what Python needs before the command can begin."""
    ours, least = (statistics.median(seconds) for seconds in times)
    return Row(
        name, ours, least, "s", least / ours, f"≤ {limit} s" if limit else "", ours <= limit if limit else None,
        0.0, True, "Python", ours / least, {"all": times.ours},
    )  # fmt: skip


def photographs() -> Row:
    """Photographs captioned from disk; encoding and searching are what cannot be hidden behind anything else."""
    with tempfile.TemporaryDirectory() as folder:
        found = command.photographs(Path(folder))
    ours, partner = (found.count / statistics.median(seconds) for seconds in found.times)
    model = found.stages["encode"] + found.stages["search"]
    return Row(
        "photographs captioned from disk, against one at a time", ours, partner, "/s",
        statistics.median(found.times.ratios), "", None, found.unequal, found.unequal == 0,
        "arithmetic", statistics.median(found.times.ours) / model,
        {f"{stage}_a_second": found.count / seconds for stage, seconds in found.stages.items()},
    )  # fmt: skip


def measured(only: str) -> dict[str, Any]:
    """All rows whose name holds `only`, with the machine and what else it was doing."""
    load, threads = os.getloadavg(), torch.get_num_threads()
    soon = {"companion --help, against Python that does nothing": (command.help_answers, 0.5),
            "first caption, against Python that imports PyTorch": (command.first_caption, None)}  # fmt: skip
    # What a person waits for first, with all threads.
    rows = [answer(name, run(), limit) for name, (run, limit) in soon.items() if only in name]
    if only in "photographs captioned from disk":
        rows.append(photographs())
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
    """Its name, if the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ", 1)[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    machine = results["machine"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, torch {machine['torch']}; matrix products at "
        f"{machine['flops'] / 1e9:.0f} GFLOP a second, at {machine['few_rows'] / 1e9:.0f} with five rows; "
        f"load {machine['load_before'][0]:.1f} before, {machine['load_after'][0]:.1f} after.",
        "",
        "| what | ours | partner | ratio | goal | same result | bound by | times the bound |",
        "|---|--:|--:|--:|--:|---|---|--:|",
    ]
    for row in (Row(**found) for found in results["rows"]):
        goal = row.goal + {True: "", False: " **missed**", None: ""}[row.reached]
        cells = [row.name, shown(row.ours, row.unit), shown(row.partner, row.unit), f"{row.ratio:.2f}", goal]
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


def shown(value: float, unit: str) -> str:
    """A number with its unit."""
    return f"{1e3 * value:.1f} ms" if unit == "s" and value < 1 else f"{value:.2f} {unit}"


def main() -> None:
    options = argparse.ArgumentParser(description="Measure, print the table, write it as JSON.")
    options.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="the JSON (default: %(default)s)")
    options.add_argument("--only", default="", metavar="NAME", help="only the rows whose names hold NAME")
    chosen = options.parse_args()
    began = time.perf_counter()
    results = measured(chosen.only)
    print(table(results))
    chosen.out.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{time.perf_counter() - began:.0f} s; written to {chosen.out}")


if __name__ == "__main__":
    main()
