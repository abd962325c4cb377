"""The attention explorer: a caption, its picture and its attention weights as one figure that answers to the reader.

Point at a word, tap it or reach it by the arrow keys, and the picture shows where the model looked; point at a place,
and the words that it had much weight for are marked. The figure is HTML, SVG and a script, complete in itself: it works
on a page of the book, in Jupyter and in Colab, without a network. Where scripts do not run it is a filmstrip. Maps are
rounded to 32 levels, so that the figure is the same on every machine. First used on the opening page of the book.
"""

import base64
import html
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image

from companion.decoding import Tag
from companion.metrics import grounding
from companion.plots.images import OPACITY, PALE, picture_array
from companion.plots.memories import FAINTEST, WHOLE_PICTURE

LEVELS = 32
DIGITS = "0123456789abcdefghijklmnopqrstuv"  # a level each
SIDE = 400  # pixels: the longer side of a photograph in the figure
DRAWN_SIDE = 128  # a picture with no longer side is stored without loss, and its pixels stay sharp
QUALITY = 80  # of JPEG


@dataclass(frozen=True)
class Explorer:
    """A figure in HTML. The last line of a notebook's cell displays it."""

    html: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return "an attention explorer"


def explorer(
    image: Any,
    words: Sequence[str],
    weights: ArrayLike,
    *,
    alt: str,
    masks: Sequence[ArrayLike | None] = (),
    tags: Sequence[Tag] = (),
    tag_weights: ArrayLike | None = None,
    verdict: str = "",
) -> Explorer:
    """Return a figure in which a reader explores the attention of a caption, word by word and place by place.

    Each map is divided by its largest weight, as in `plots.overlay`, so two words can be compared in where the
    attention lies, not in how much there is.

    Args:
        image: the picture, as in `plots.picture`; a photograph is stored with a longer side of `SIDE` pixels.
        words: of the caption.
        weights: a map for each word (word row col).
        alt: a description of the picture, for readers who do not see it.
        masks: for each word the pixels (row col) of the objects that it refers to, or None if it is not graded; the
            grade is that of `plots.graded_filmstrip`.
        tags: what else the decoder could attend to.
        tag_weights: for each word the weights of the tags (word tag), each from 0 to 1.
        verdict: a line below the caption, for example whether it is true.

    Raises:
        ValueError: a word without a map, without an entry in `masks` where there are masks, or without weights of the
            tags where there are tags; or weights that are negative or not finite.
    """
    words = [_valid(word) for word in words]
    maps, graded = np.asarray(weights, dtype=float), list(masks) or [None] * len(words)
    shares = np.zeros((len(words), 0)) if tag_weights is None else np.asarray(tag_weights, dtype=float)
    _check(words, maps, graded, shares, tags)
    rows, cols = maps.shape[1:]
    levels = _levels(maps)
    flat = levels.reshape(len(words), -1)
    grades = [None if mask is None else _grade(weight, mask) for weight, mask in zip(maps, graded, strict=True)]
    probabilities = 1 / (1 + np.exp(-np.array([[tag.confidence for tag in tags]], dtype=float)))
    percent = np.rint(100 * np.vstack([probabilities, shares])).astype(int)  # of no word, then of each
    data = {
        "alt": _valid(alt),
        "rows": rows,
        "cols": cols,
        "words": words,
        "levels": ["".join(DIGITS[level] for level in line) for line in flat],
        "peaks": [int(weight.argmax()) for weight in maps],
        "grades": grades,
        "tags": [_valid(tag.word) for tag in tags],
        "tagShares": percent.tolist(),
    }
    data["first"] = _first(data, flat)
    layers = [_boxes(tags, percent[0], cols, rows)]
    for level, numbers, mask, weight, grade in zip(levels, percent[1:], graded, maps, grades, strict=True):
        read = np.where(np.arange(len(tags)) == numbers.argmax(), numbers, 0) if tags else numbers
        layers.append(_cells(level) + _boxes(tags, read, cols, rows) + _outline(mask, weight, grade))
    head = f'<svg viewBox="0 0 {cols} {rows}" preserveAspectRatio="none" aria-hidden="true">'
    return Explorer(_figure(picture_array(image), data, [f"{head}{layer}</svg>" for layer in layers], _valid(verdict)))


def beside(*explorers: Explorer) -> Explorer:
    """Return explorers side by side where the page is wide enough, and otherwise one below the other."""
    return Explorer(f'<div class="attention-explorers">{"".join(each.html for each in explorers)}</div>')


def _figure(picture: np.ndarray, data: dict[str, Any], layers: list[str], verdict: str) -> str:
    """Return the HTML of the figure: the filmstrip with its layers, the verdict, the table, the data and the script."""
    name = html.escape(data["alt"])
    uri, width, height = _data_uri(picture)
    rendering = "pixelated" if uri.startswith("data:image/bmp") else "auto"
    tiles = [f'<li><div class="tile" role="img" aria-label="{name}">{layers[0]}</div></li>']
    for word, svg, small in zip(data["words"], layers[1:], _notes(data), strict=True):
        tiles.append(f'<li><div class="tile">{svg}</div><bdi>{html.escape(word)}</bdi>{small}</li>')
    json_text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<div class="attention-explorer" role="group" aria-label="Attention explorer" '
        f'style="--picture:url({uri});--ratio:{width / height:.4f};--rendering:{rendering}">'
        f"<style>{_asset('explorer.css')}</style>"
        f'<ol class="strip">{"".join(tiles)}</ol>'
        + (f'<p class="verdict"><bdi>{html.escape(verdict)}</bdi></p>' if verdict else "")
        + f'<details class="numbers"><summary>The numbers as a table</summary>{_table(data)}</details>'
        f'<script type="application/json">{json_text}</script><script>{_asset("explorer.js")}</script></div>'
    )


def _notes(data: dict[str, Any]) -> list[str]:
    """Return for each word what a frame of the filmstrip says below it: the grade, and the tag that the word read."""
    notes = []
    for index, grade in enumerate(data["grades"]):
        parts = [] if grade is None else [f"{'✓' if grade[0] else '✗'} {grade[1]} % on the object"]
        if data["tags"]:
            shares = data["tagShares"][index + 1]
            parts.append(f"reads <bdi>{html.escape(data['tags'][int(np.argmax(shares))])}</bdi> {max(shares)} %")
        notes.append("".join(f"<small>{part}</small>" for part in parts))
    return notes


def _table(data: dict[str, Any]) -> str:
    """Return the table for readers who do not see the picture: a row for each word."""
    heads = ["word", "largest weight at"]
    heads += ["peak on the object", "attention on the object"] if any(data["grades"]) else []
    heads += ["tag read most"] if data["tags"] else []
    rows = []
    for index, word in enumerate(data["words"]):
        row, col = divmod(data["peaks"][index], data["cols"])
        cells = [f"row {row + 1}, column {col + 1}"]
        if any(data["grades"]):
            grade = data["grades"][index]
            cells += ["not graded", ""] if grade is None else ["yes" if grade[0] else "no", f"{grade[1]} %"]
        if data["tags"]:
            shares = data["tagShares"][index + 1]
            cells.append(f"{data['tags'][int(np.argmax(shares))]} ({max(shares)} %)")
        texts = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row"><bdi>{html.escape(word)}</bdi></th>{texts}</tr>')
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _check(words: list[str], maps: np.ndarray, masks: list[Any], shares: np.ndarray, tags: Sequence[Tag]) -> None:
    """Raise ValueError for what `explorer` cannot draw."""
    if not words or maps.ndim != 3 or len(maps) != len(words) or not maps.size:
        raise ValueError(f"{len(words)} words, but weights of shape {maps.shape}; give each word a map (row col)")
    if len(masks) != len(words):
        raise ValueError(f"{len(words)} words but {len(masks)} masks; give each word its mask, or None")
    if shares.shape != (len(words), len(tags)):
        raise ValueError(
            f"{len(words)} words and {len(tags)} tags, but weights of the tags of shape {shares.shape}; "
            "give each word a weight for each tag"
        )
    if not (np.isfinite(maps).all() and (maps >= 0).all() and np.isfinite(shares).all()):
        raise ValueError("some weights are negative or not finite; attention weights are neither")


def _levels(maps: np.ndarray) -> np.ndarray:
    """Return maps (word row col) as whole numbers from 0 to 31, each relative to its largest weight."""
    largest = np.maximum(maps.max((1, 2), keepdims=True), 1e-12)
    return np.rint((LEVELS - 1) * maps / largest).astype(int)


def _grade(weights: np.ndarray, mask: ArrayLike) -> tuple[bool, int]:
    """Return whether the map's peak is on the mask, and the percentage of the attention that lies on it."""
    pixels, tensor = np.asarray(mask, dtype=bool), torch.from_numpy(weights)
    return grounding.pointing(tensor, pixels), round(100 * grounding.attention_mass(tensor, pixels))


def _first(data: dict[str, Any], levels: np.ndarray) -> int:
    """Return the index of the word that is chosen at first, or -1 for none: the one with the most concentrated map.

    Where there are tags, it is one of the words that read a tag of their own name; where there are grades, of those
    that have one; otherwise one of the longest, which seldom is an article (levels: word place).
    """
    words, tags, length = data["words"], data["tags"], max(map(len, data["words"]))
    if tags:
        candidates = [i for i, word in enumerate(words) if word == tags[int(np.argmax(data["tagShares"][i + 1]))]]
    else:
        graded = [i for i, grade in enumerate(data["grades"]) if grade]
        candidates = graded or [i for i, word in enumerate(words) if len(word) == length]
    return min(candidates, key=lambda i: int(levels[i].sum()), default=-1)


def _cells(levels: np.ndarray) -> str:
    """Return the map (row col) as it lies over the picture: a veil of white, and a path for each level."""
    rows, cols = levels.shape
    veil = f'<path d="M0 0h{cols}v{rows}H0z" fill="#fff" fill-opacity="{PALE}"/>'
    paths = []
    for level in np.unique(levels[levels > 0]):
        squares = "".join(f"M{col} {row}h1v1h-1z" for row, col in np.argwhere(levels == level))
        paths.append(f'<path class="cells" d="{squares}" fill-opacity="{OPACITY * level / (LEVELS - 1):.2f}"/>')
    return veil + "".join(paths)


def _boxes(tags: Sequence[Tag], percent: np.ndarray, cols: int, rows: int) -> str:
    """Return the boxes of the tags, each as strong as its number of per cent."""
    boxes = []
    for tag, number in zip(tags, percent, strict=True):
        if tag.box != WHOLE_PICTURE and number >= 100 * FAINTEST:
            left, top, right, bottom = np.array(tag.box) * (cols, rows, cols, rows)
            corner = f"M{left:.2f} {top:.2f}H{right:.2f}V{bottom:.2f}H{left:.2f}z"
            boxes.append(f'<path class="line box" d="{corner}" stroke-opacity="{min(1, 0.3 + number / 100):.2f}"/>')
    return "".join(boxes)


def _outline(mask: ArrayLike | None, weights: np.ndarray, grade: tuple[bool, int] | None) -> str:
    """Return the outline of the mask, and the cell with the largest weight: solid for a hit, dashed for a miss."""
    if mask is None or grade is None:
        return ""
    pixels = np.asarray(mask, dtype=bool)
    (height, width), (rows, cols) = pixels.shape, weights.shape
    kind = "hit" if grade[0] else "miss"
    row, col = divmod(int(weights.argmax()), cols)
    edge = f'<path class="line {kind}" transform="scale({cols / width:g} {rows / height:g})" d="{edges(pixels)}"/>'
    return f'{edge}<path class="line {kind}" d="M{col} {row}h1v1h-1z"/>'


def edges(mask: np.ndarray) -> str:
    """Return the edges between the pixels inside and outside of a mask (row col), as the path data of SVG.

    Edges in one line that touch are one stroke.
    """
    padded = np.pad(mask, 1).astype(int)
    strokes = []
    for direction, steps in (("h", np.diff(padded, axis=0)), ("v", np.diff(padded, axis=1).T)):
        for line, signs in enumerate(steps != 0):
            ends = np.flatnonzero(np.diff(np.pad(signs[1:-1].astype(int), 1)))
            for start, end in ends.reshape(-1, 2):
                corner = f"{start} {line}" if direction == "h" else f"{line} {start}"
                strokes.append(f"M{corner}{direction}{end - start}")
    return "".join(strokes)


def _data_uri(array: np.ndarray) -> tuple[str, int, int]:
    """Return a picture (row col channel) as the address that holds it, and its width and height as stored.

    A small picture is stored as BMP, without loss and without a compression whose bytes differ between machines.
    """
    picture = Image.fromarray(array)
    lossless = max(picture.size) <= DRAWN_SIDE
    if max(picture.size) > SIDE:
        scale = SIDE / max(picture.size)
        picture = picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "BMP" if lossless else "JPEG", quality=QUALITY)
    kind = "bmp" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}", *picture.size


def _valid(text: str) -> str:
    """Return a text that can be written as UTF-8: half of a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


@cache
def _asset(name: str) -> str:
    """Return the style sheet or the script, without the lines that are comments, and without indentation.

    They are a part of every figure. So after a change, every notebook that has an explorer has to be run again.
    """
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return re.sub(r"^\s*(?://.*)?\n|^ +", "", text, flags=re.MULTILINE)
