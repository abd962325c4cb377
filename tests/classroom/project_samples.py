"""A project as a student hands it in: data of drawn scenes, cards of six runs, one checkpoint, tables and a page.

Nothing is trained. The checkpoint is the captioner of scenes that ships, each weight changed at random by a twentieth;
the cards are those that ship, with other seeds and scores.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from companion import checkpoints, scenes
from companion.classroom import assignments, checking, variants
from companion.classroom.projects import Project, boxed
from companion.metrics import grounding
from tests.classroom.helpers import KEY

SPLITS = {"train": 60, "dev": 20, "test": 20}
DEV = {"baseline": (0.70, 0.72, 0.71), "change": (0.73, 0.78, 0.75)}  # by seed, 1 to 3
TEST = {"baseline": (0.71, 0.70, 0.72), "change": (0.74, 0.77, 0.80)}
MODEL = "runs/change-2"
NAMES = [f"{i:03}.png" for i in range(sum(SPLITS.values()))]
HELD_OUT = NAMES[SPLITS["train"] :]
PROJECT = f"""
title = "Shapes on my desk"
question = "Does a captioner need to forget words while it learns?"
change = "No word is dropped from the input."
expected = "Fewer true captions, because it will trust its own words too much."
differs = ["word_dropout"]
model = "{MODEL}"
rebuild = "sh rebuild.sh"

[data]
source = "Drawn and described by me, November 2026"
licence = "CC BY 4.0"

[runs]
baseline = ["runs/baseline-1", "runs/baseline-2", "runs/baseline-3"]
change = ["runs/change-1", "runs/change-2", "runs/change-3"]
"""
REBUILD = """#!/bin/sh
set -e
for seed in 1 2 3; do
  companion train scenes --out runs/baseline-$seed --size tiny --seed $seed
  python train_change.py --seed $seed
done
python measure.py  # writes results.csv
jupyter nbconvert --to html page.ipynb
"""


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    path.write_text(text.getvalue(), encoding="utf-8")


def write_project(folder: Path) -> None:
    """Write the whole project."""
    folder.mkdir()
    world = dict(zip(NAMES, scenes.make_dataset("train", len(NAMES), 7), strict=True))
    write_data(folder / "data", world)
    write_runs(folder)
    (folder / "project.toml").write_text(PROJECT, encoding="utf-8")
    (folder / "rebuild.sh").write_text(REBUILD, encoding="utf-8")
    rows = list(results())
    write_csv(folder / "results.csv", ("model", "seed", "split", "score", "low", "high"), rows)
    said = boxed.caption(str(folder / MODEL), str(folder / "data"), HELD_OUT[:20])
    captions = dict(zip(HELD_OUT, said, strict=False))
    graded = list(graded_words(captions, world))
    write_csv(folder / "maps.csv", ("picture", "word", "left", "top", "right", "bottom", "hit"), graded)
    reasons = ("the star is missing", "the circle is red", "there are two of them", "it is on the left", "it is small")
    failures = [(name, captions[name]["text"], reason) for name, reason in zip(HELD_OUT, reasons, strict=False)]
    write_csv(folder / "failures.csv", ("picture", "caption", "wrong"), failures)
    (folder / "page.html").write_text(page([row for row in rows if row[2] == "test"], failures), encoding="utf-8")


def write_data(folder: Path, world: dict[str, scenes.Scene]) -> None:
    """Write pictures, captions and licence."""
    (folder / "images").mkdir(parents=True)
    splits = [split for split, count in SPLITS.items() for _ in range(count)]
    rows = []
    for (name, scene), split in zip(world.items(), splits, strict=True):
        Image.fromarray(scene.image).save(folder / "images" / name)
        rows += [(name, text, split) for text in dict.fromkeys(caption.text for caption in scene.captions)]
    write_csv(folder / "captions.csv", ("image", "caption", "split"), rows)
    (folder / "LICENSE").write_text("Pictures and captions: Creative Commons Attribution 4.0.\n", encoding="utf-8")


def write_runs(folder: Path) -> None:
    """Write six cards, and the checkpoint of the model that is handed in."""
    captioner = perturbed("scenes")
    for model in DEV:
        for seed in (1, 2, 3):
            place, card = folder / "runs" / f"{model}-{seed}", checkpoints.card("scenes")
            dev, test = DEV[model][seed - 1], TEST[model][seed - 1]
            card |= {"seed": seed, "command": f"companion train scenes --out {place.name} --seed {seed}"}
            card["train_config"] |= {"seed": seed, "word_dropout": 0.1 if model == "baseline" else 0.0}
            card["metrics"]["truth"], card["intervals"]["truth"] = test, [test - 0.03, test + 0.03]
            card["log"][-1]["truth"] = dev
            if f"runs/{place.name}" == MODEL:
                own = {key: value for key, value in card.items() if not key.endswith("sha256")}
                checkpoints.save(captioner, place, own)
            else:
                place.mkdir(parents=True)
                card["sha256"] = f"{model}{seed}"
                (place / "card.json").write_text(json.dumps(card), encoding="utf-8")


def perturbed(task: str, share: float = 0.05) -> Any:
    """Return the captioner that ships for a task with weights changed by a share of themselves, at random."""
    captioner = checkpoints.load(task)
    generator = torch.Generator().manual_seed(0)
    weights = checkpoints.trained_weights(captioner)
    changed = {
        name: x * (1 + share * torch.randn(x.shape, generator=generator)) if x.is_floating_point() else x.clone()
        for name, x in weights.items()
    }
    checkpoints.set_weights(captioner, changed)
    return captioner


def results() -> Iterable[tuple[str, object, str, float, float, float]]:
    """Yield the lines of the table."""
    for split, scores in (("dev", DEV), ("test", TEST)):
        for model, values in scores.items():
            for seed, score in enumerate(values, start=1):
                yield model, seed, split, score, round(score - 0.03, 3), round(score + 0.03, 3)
            yield model, "mean", split, round(sum(values) / 3, 3), min(values), max(values)


def graded_words(
    captions: dict[str, dict[str, Any]], world: dict[str, scenes.Scene]
) -> Iterable[tuple[str, str, float, float, float, float, int]]:
    """Yield the words for shapes with the box of their object, and whether the peak of the map meets it."""
    for name, found in captions.items():
        for word, peak in dict(zip(found["words"], found["peaks"], strict=True)).items():
            objects = grounding.referents(word, world[name])
            if scenes.word_class(word) != "shape" or len(objects) != 1 or found["words"].count(word) > 1:
                continue
            rows, cols = np.nonzero(world[name].masks[objects[0]])
            left, top, right, bottom = cols.min() / 64, rows.min() / 64, (cols.max() + 1) / 64, (rows.max() + 1) / 64
            apart = peak[2] <= left or right <= peak[0] or peak[3] <= top or bottom <= peak[1]
            yield name, word, float(left), float(top), float(right), float(bottom), int(not apart)


def page(rows: Sequence[Sequence[object]], failures: Sequence[Sequence[str]]) -> str:
    """Return the page."""
    head = "".join(f"<th>{title}</th>" for title in ("model", "seed", "score", "low", "high"))
    lines = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in (row[0], row[1], *(f"{x:.2f}" for x in row[3:]))) + "</tr>\n"  # type: ignore[str-format]
        for row in rows
    )
    figures = "".join(
        f'<figure><img src="data/images/{name}" alt="{caption}"><figcaption>{caption}: {wrong}</figcaption></figure>\n'
        for name, caption, wrong in failures
    )
    body = f"<h1>Shapes on my desk</h1>\n<table><tr>{head}</tr>\n{lines}</table>\n{figures}"
    return f"<!DOCTYPE html>\n<html><head><title>Shapes</title></head><body>{body}</body></html>\n"


def ask_here(name: str, *arguments: Any) -> Any:
    """Call a function of `boxed` in this process."""
    return getattr(boxed, name)(*arguments)


def run_checks(project: Any, question: str | None = None, *, hidden: bool = False) -> dict[str, str | None]:
    """Return what each check says of a project, None if it passes: those of one question, or all."""
    checks = assignments.public_checks("A6")
    if hidden:
        checks = assignments.checks_of(assignments.course_module("A6", "hidden"))
    texts: dict[str, str | None] = {}
    for name, check in checks.items():
        if question in (None, check.points[1]):  # type: ignore[attr-defined]
            draw = variants.generator(KEY, "A6", name)
            sentences = checking.run_check(check, {"project": project, "draw": draw})
            texts[name] = sentences[0] if sentences else None
    return texts


def project_of(folder: Path, ask: Callable[..., Any] = ask_here) -> Project:
    """Return a project whose pictures and weights are opened in this process, or by `ask`."""
    return Project(folder, ask)
