"""Run `companion caption`: find the photographs, caption them, and write each caption where it was asked for."""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from companion.cli.arguments import printable, report_error, report_note
from companion.cli.figures import Figures

SECONDS_BETWEEN = 10.0  # lines of progress, where they do not go to a terminal


def caption(options: argparse.Namespace) -> int:
    """Caption every photograph that can be read, and report every other on standard error."""
    from companion import apps, checkpoints
    from companion.metrics import calibration

    result_path = options.csv or options.jsonl
    outputs = [path for path in (options.csv, options.jsonl, options.coco) if path]
    paths, names, failed = list_photographs(options.photos, figures=options.attention)
    check_outputs(outputs, paths)
    results = apps.ResultFile(result_path, as_csv=bool(options.csv)) if result_path else None
    figures = Figures(options.attention, names, apart=bool(results)) if options.attention else None
    captions: dict[Path, str] = {}
    if results:
        paths = list(names)  # each once
        captions = {path: results.done[str(path)] for path in paths if str(path) in results.done}
        if captions:
            report_note(f"{result_path}: has {len(captions):,} of {len(paths):,} captions already")
    waiting = [path for path in paths if path not in captions]
    answers: Iterable[Any] = ()
    confidence = None
    if waiting:
        answers = apps.caption_files(checkpoints.load(options.checkpoint), waiting, beam=options.beam)
        confidence = calibration.confidence_of(checkpoints.card(options.checkpoint))
    has_folder = any(path.is_dir() for path in options.photos)
    if outputs or has_folder or (figures and figures.paths):
        answers = show_progress(answers, len(paths), len(captions))
    is_alone = len(paths) == 1 and not has_folder
    form = "json" if options.json else "nothing" if outputs else "text" if is_alone else "named text"
    with contextlib.closing(results) if results else contextlib.nullcontext():
        failed |= write_captions(answers, captions, results=results, figures=figures, form=form, confidence=confidence)
    if options.coco:
        write_coco(options.coco, {path: captions[path] for path in paths if path in captions}, names)
    return failed


def write_captions(
    answers: Iterable[Any],
    captions: dict[Path, str],
    *,
    results: Any,
    figures: Figures | None,
    form: str,
    confidence: Any = None,
) -> int:
    """Write each answer where it was asked for and add its caption to `captions`; return 1 if one is an error, else 0.

    Args:
        answers: each photograph with its caption, or with the ValueError that says why it has none.
        captions: the caption of each photograph.
        results: the file to which each caption is appended, or None.
        figures: the figures to which each photograph is added, or None.
        form: what is printed: "json", the "text" alone, "named text", that is with its photograph, or "nothing".
        confidence: the `metrics.calibration.Confidence` that marks captions as unsure, or None, which marks nothing.
    """
    failed = 0
    for path, result in answers:
        if isinstance(result, ValueError):
            failed = report_error(result)
            continue
        if figures:
            figures.add(path, result)
        record = caption_record(path, result, confidence)
        if results:
            results.append(record)
        captions[path] = result.text
        line = result.text if record.get("sure", True) else f"{result.text} (unsure)"
        if form == "json":
            print(json.dumps(record), flush=True)
        elif form == "text":
            print(line, flush=True)
        elif form == "named text":
            print(f"{printable(path)}: {line}", flush=True)
    if figures:
        figures.finish()
    return failed


def write_coco(out: Path, captions: Mapping[Path, str], names: Mapping[Path, str]) -> None:
    """Write the captions as COCO results, each by the photograph's short name, or by its path where two share one."""
    from companion import apps

    labels = [names[path] for path in captions]
    labels = labels if len(set(labels)) == len(labels) else [str(path) for path in captions]
    apps.write_coco_results(out, dict(zip(labels, captions.values(), strict=True)))


def list_photographs(given: Sequence[Path], *, figures: Path | None) -> tuple[list[Path], dict[Path, str], int]:
    """Return the photographs that were named or lie in folders; a short name of each; 1 if a folder failed, else 0.

    Where the figures go, nothing is looked for. The short name is the file's own name, or its path inside the folder.
    """
    from companion import apps

    paths: list[Path] = []
    names: dict[Path, str] = {}
    failed = 0
    for place in given:
        if not place.is_dir():
            paths.append(place)
            names.setdefault(place, place.name)
            continue
        found = apps.find_pictures(place, [figures, figures.with_suffix("")] if figures else [])
        for line in found.unreadable:
            failed = report_error(line)
        passed_over = found.passed_over()
        if not found.paths:
            failed = report_error(f"{place}: there is no picture in this folder ({passed_over or 'it is empty'})")
        elif passed_over:
            report_note(f"{place}: passed over {passed_over}")
        paths += found.paths
        for path in found.paths:
            names.setdefault(path, path.relative_to(place).as_posix())
    return paths, names, failed


def check_outputs(outputs: Sequence[Path], photographs: Sequence[Path]) -> None:
    """Raise ValueError if a file of captions cannot be written, or would overwrite one of the photographs."""
    # Unlike `Path.resolve`, this takes a link to itself.
    known = set(map(os.path.realpath, photographs)) if outputs else set()
    for path in outputs:
        for wrong, reason in (
            (path.is_dir(), "is a folder"),
            (not path.parent.is_dir(), f"there is no folder {path.parent}"),
            (os.path.realpath(path) in known, "is one of the photographs"),
            ([*map(os.path.realpath, outputs)].count(os.path.realpath(path)) > 1, "is to hold two kinds of results"),
        ):
            if wrong:
                raise ValueError(f"{path}: {reason}; choose another name for the captions")


def show_progress(answers: Iterable[Any], total: int, done: int) -> Iterator[Any]:
    """Yield the answers with their progress on standard error: a bar on a terminal, else a line now and then."""
    from tqdm import tqdm

    if not sys.stderr.isatty():
        reported = time.monotonic()
        for count, answer in enumerate(answers, start=done + 1):
            yield answer
            if count == total or time.monotonic() - reported > SECONDS_BETWEEN:
                report_note(f"{count:,} of {total:,} photographs are done")
                reported = time.monotonic()
        return
    with tqdm(total=total, initial=done, desc="captioning", unit="photograph") as bar:
        for answer in answers:
            with bar.external_write_mode():  # other lines appear above the bar
                yield answer
            bar.update()


def caption_record(path: Path, caption: Any, confidence: Any = None) -> dict[str, Any]:
    """Return a caption as JSON: one grid of attention weights (rows of columns) for each word.

    With `confidence` it has the probability that the caption is right, and whether that is enough; of a caption with
    tags, each tag and its attention weights, one for each word.
    """
    record = {
        "image": str(path),
        "caption": caption.text,
        "log_probability": round(caption.log_probability, 4),
        "words": list(caption.words),
        "attention": [[[round(x, 5) for x in row] for row in grid] for grid in caption.weights.tolist()],
    }
    if confidence is not None:
        (probability,), (sure,) = confidence.probabilities([caption]), confidence.are_sure([caption])
        record |= {"probability": round(probability, 4), "sure": sure}
    if caption.tag_weights is not None:
        columns = zip(caption.tags, caption.tag_weights.T.tolist(), strict=True)
        record["tags"] = [
            {
                "word": tag.word,
                "confidence": round(tag.confidence, 3),
                "box": [round(side, 4) for side in tag.box],
                "attention": [round(x, 5) for x in weights],
            }
            for tag, weights in columns
        ]
    return record
