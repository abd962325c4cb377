"""A project that was handed in: its texts are read here, its pictures and weights in the box (`boxed`).

Whatever is missing or cannot be read is a `Mistake` that names the file, so a check reads as if all were there.
Entry points: `opened` and `Project`.
"""

import csv
import io
import json
import math
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from companion.classroom.box import Box, Limits
from companion.classroom.mistake import Mistake
from companion.classroom.projects import boxed
from companion.classroom.projects.page import Page, read_page
from companion.classroom.projects.unpacking import FACTS, unpack

MODELS = ("baseline", "change")
MEASURES = {"scenes": ("truth", 1.0), "photos": ("cider_d", 10.0)}  # by the task: what the table shows, and its maximum
TEXT_LIMIT = 32 * 2**20  # bytes of a page, whose pictures may be inside it
ROW_LIMIT = 2000  # of a CSV
LIMITS = Limits(cell_s=60.0, call_s=600.0, memory_gb=6.0, cpu_s=3600.0)  # of the box


class Run(NamedTuple):
    """A training run by the name of its folder, with what its card says."""

    folder: str
    card: dict[str, Any]

    @property
    def seed(self) -> int:
        """The seed of weights and batches."""
        return self.card["seed"]


class Score(NamedTuple):
    """A line of `results.csv`; `seed` is a number, or "mean"."""

    model: str
    seed: str
    split: str
    score: float
    low: float
    high: float


class Project:
    """What was handed in.

    Args:
        folder: where it is unpacked.
        ask: calls a function of `boxed` by its name, with these arguments.
    """

    def __init__(self, folder: Path, ask: Callable[..., Any]):
        self.folder = folder
        self.ask = ask

    def text(self, name: str) -> str:
        """Return the text of a file of the project. Raises Mistake if it has none."""
        path = self.folder / name
        if not is_inside(name) or not path.is_file():
            raise Mistake(f"{name} is missing.")
        if path.stat().st_size > TEXT_LIMIT:
            raise Mistake(f"{name} has more than {TEXT_LIMIT // 2**20} MB.")
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise Mistake(f"{name} is no text in UTF-8.") from None
        if not text.strip():
            raise Mistake(f"{name} is empty.")
        return text

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What stands in `project.toml`."""
        try:
            return tomllib.loads(self.text(FACTS))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise Mistake(f"{FACTS} cannot be read: {str(error)[:200]}.") from None

    def fact(self, name: str) -> str:
        """Return a text of `project.toml`, such as "title" or "data.licence". Raises Mistake if it is not filled in."""
        value: Any = self.facts
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, str) or not value.strip():
            raise Mistake(f"{FACTS} does not say `{name}`.")
        return value.strip()

    def names(self, name: str) -> list[str]:
        """Return a list of texts of `project.toml`, such as "runs.baseline". Raises Mistake if it is none."""
        value: Any = self.facts
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise Mistake(f"{FACTS} has no list `{name}`.")
        return value

    def rows(self, name: str, columns: Sequence[str], least: int) -> list[dict[str, str]]:
        """Return the lines of a CSV by their columns. Raises Mistake for a missing column or fewer than `least`."""
        reader = csv.DictReader(io.StringIO(self.text(name)))
        try:
            lines = [{key: (line.get(key) or "").strip() for key in columns} for line in reader]
        except csv.Error as error:
            raise Mistake(f"{name} cannot be read as CSV: {error}.") from None
        head = [title.strip() for title in reader.fieldnames or []]
        missing = [column for column in columns if column not in head]
        if missing:
            raise Mistake(f"{name} has no column {', '.join(missing)}.")
        if len(lines) < least:
            raise Mistake(f"{name} has {len(lines)} lines below its head, fewer than {least}.")
        if len(lines) > ROW_LIMIT:
            raise Mistake(f"{name} has more than {ROW_LIMIT} lines.")
        return lines

    @cached_property
    def runs(self) -> dict[str, list[Run]]:
        """The runs of each of `MODELS`, by the folders that `project.toml` lists; at least one of each."""
        runs = {model: [self._run(name) for name in self.names(f"runs.{model}")] for model in MODELS}
        for model, some in runs.items():
            if not some:
                raise Mistake(f"{FACTS} lists no run of {model}.")
        return runs

    def _run(self, folder: str) -> Run:
        """Return a run with its card. Raises Mistake if the card is none that training wrote."""
        name = f"{folder.rstrip('/')}/card.json"
        try:
            card = json.loads(self.text(name))
        except (ValueError, RecursionError):
            raise Mistake(f"{name} is no card: it is not JSON.") from None
        wanted = {
            "seed": int, "sha256": str, "command": str, "config": dict, "train_config": dict,
            "data": dict, "metrics": dict, "intervals": dict, "log": list,
        }  # fmt: skip
        for key, kind in wanted.items():
            if not isinstance(card, dict) or not isinstance(card.get(key), kind) or isinstance(card.get(key), bool):
                raise Mistake(f"{name} has no {key}: it is not the card that training wrote.")
        return Run(folder.rstrip("/"), card)

    @cached_property
    def model(self) -> tuple[str, Run]:
        """The run whose checkpoint is handed in, and which of `MODELS` it belongs to."""
        folder = self.fact("model").rstrip("/")
        for model, runs in self.runs.items():
            for run in runs:
                if run.folder == folder:
                    return model, run
        raise Mistake(f"{FACTS}: the model {folder} is none of the runs.")

    @property
    def task(self) -> str:
        """What the handed-in model captions, "scenes" or "photos", by its card."""
        task = self.model[1].card["config"].get("task")
        if task not in MEASURES:
            raise Mistake(f"{self.model[1].folder}/card.json: the task is neither scenes nor photos.")
        return task

    @cached_property
    def scores(self) -> list[Score]:
        """The lines of `results.csv`."""
        largest = MEASURES[self.task][1]
        scores = []
        for number, line in enumerate(self.rows("results.csv", Score._fields, 1), start=2):
            place = f"results.csv, line {number}"
            if line["model"] not in MODELS or line["split"] not in ("dev", "test"):
                raise Mistake(f"{place}: the model is {' or '.join(MODELS)}, and the split dev or test.")
            values = [_number(line[key], f"{place}, {key}") for key in ("score", "low", "high")]
            if values[0] > largest:
                raise Mistake(f"{place}: {values[0]:g} is more than {largest:g}, the largest score there is.")
            scores.append(Score(line["model"], line["seed"], line["split"], *values))
        return scores

    def scores_of(self, model: str, split: str) -> dict[str, Score]:
        """Return the lines of the three runs of a model on a split by seed. Raises Mistake if they are others."""
        rows = [row for row in self.scores if (row.model, row.split) == (model, split) and row.seed != "mean"]
        seeds = sorted(str(run.seed) for run in self.runs[model])
        found = sorted(row.seed for row in rows)
        if found != seeds:
            raise Mistake(
                f"results.csv has {', '.join(found) or 'no seeds'} for {model} on {split}; "
                f"its runs have the seeds {', '.join(seeds)}."
            )
        return {row.seed: row for row in rows}

    @cached_property
    def page(self) -> Page:
        """What `page.html` shows."""
        return read_page(self.text("page.html"))

    @cached_property
    def data(self) -> dict[str, Any]:
        """What `boxed.read_data` says of the folder `data`."""
        if not (self.folder / "data").is_dir():
            raise Mistake("The folder data is missing.")
        return _without_fault(self.ask("read_data", str(self.folder / "data")), "data")

    @cached_property
    def checkpoint(self) -> dict[str, Any]:
        """What `boxed.read_checkpoint` says of the model."""
        folder = self.model[1].folder
        for name in ("weights.safetensors", "vocabulary.json"):
            if not (self.folder / folder / name).is_file():
                raise Mistake(f"{folder}/{name} is missing.")
        return _without_fault(self.ask("read_checkpoint", str(self.folder / folder)), folder)

    def held_out_pictures(self) -> set[str]:
        """Return the names of the pictures of the splits dev and test."""
        return {name for split in ("dev", "test") for name in self.data["splits"].get(split, {})}

    def captions(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return what the model says of pictures of the splits dev and test: text, words, and the peak of each word."""
        unknown = sorted(set(names) - self.held_out_pictures())
        if unknown:
            raise Mistake(f"{unknown[0]} is no picture of the splits dev and test of the data.")
        self.checkpoint  # noqa: B018  raises if it does not load
        wanted = sorted(set(names))
        folders = str(self.folder / self.model[1].folder), str(self.folder / "data")
        return dict(zip(wanted, self.ask("caption", *folders, wanted), strict=True))

    def measured(self, seed: int, count: int, shifts: Sequence[int]) -> dict[str, Any]:
        """Return the score of the model and those of its captions dealt to other pictures, as `boxed` measures them.

        A model of scenes is measured on `count` scenes of this seed, one of photographs on the split test of the data.
        """
        self.checkpoint  # noqa: B018  raises if it does not load
        checkpoint = str(self.folder / self.model[1].folder)
        if self.task == "scenes":
            return self.ask("measure_scenes", checkpoint, seed, count, list(shifts))
        if not self.data["splits"].get("test"):
            raise Mistake("data has no split test.")
        return self.ask("score_photos", checkpoint, str(self.folder / "data"), list(shifts))


class Refused(Project):
    """A project that could not be opened: whatever a check asks is the mistake that says why."""

    def __init__(self, fault: str):
        self.fault = fault

    @property
    def folder(self) -> Path:  # type: ignore[override]
        """There is none. Raises Mistake."""
        raise Mistake(f"Nothing could be graded: {self.fault}.")


@contextmanager
def opened(path: Path, *, fenced: bool) -> Iterator[Project]:
    """Yield the project in a folder or a zip file: a copy, which is gone afterwards, with a box that reads it.

    Raises:
        ValueError: it is refused, see `unpacking.unpack`.
    """
    with tempfile.TemporaryDirectory(prefix="companion-project-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        unpack(path, folder)
        with Box([boxed.SET_UP], fenced=fenced, limits=LIMITS, readable=[str(folder)]) as box:
            yield Project(folder, lambda function, *arguments: box.call(function, arguments))


def is_inside(name: str) -> bool:
    """Return whether a name that a student wrote is that of a file inside the project."""
    path = PurePosixPath(name)
    return bool(name) and name.isprintable() and not path.is_absolute() and ".." not in path.parts and ":" not in name


def _number(text: str, place: str) -> float:
    """Return the number in a cell. Raises Mistake if there is none."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Mistake(f"{place}: {text!r} is no number." if text else f"{place} is empty.")
    return number


def _without_fault(found: dict[str, Any], place: str) -> dict[str, Any]:
    """Return what the box said. Raises Mistake if it is a fault."""
    if "fault" in found:
        raise Mistake(f"{place} cannot be read: {found['fault'][:300]}")
    return found
