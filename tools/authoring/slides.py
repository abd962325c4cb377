"""Build the slides of lectures: `python -m tools.authoring.slides`, or `make slides`.

A lecture is a MyST text in `course/slides`, as a chapter is: its cells are run when the slides are built, so what they
draw and print is computed. A heading begins a slide, and a fence `{notes}` has what the speaker says. Of each lecture
two pages are made, `NAME.html` to project and `NAME_notes.html` with the notes below each slide. They need no network,
no script and no other file.
"""

import argparse
import base64
import contextlib
import html
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from markdown_it import MarkdownIt
from nbformat import NotebookNode

from companion import plots
from companion.files import atomic_write
from tools.authoring.paired import read_paired_text

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "course" / "slides"
OUT = ROOT / "_build" / "slides"

HEADING = re.compile(r"^(?=#{1,2} )", re.MULTILINE)
NOTES = re.compile(r"^```\{notes\}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

STYLE = """
:root { --width: 100vw; --height: 100vh; }
html { scroll-snap-type: y mandatory; }
body { margin: 0; background: white; color: #1b1b1b; font-family: system-ui, "Noto Sans", sans-serif; }
.slide { box-sizing: border-box; width: var(--width); height: var(--height); padding: 1.2em 1.6em 0.9em;
  font-size: min(calc(var(--width) * 0.026), calc(var(--height) * 0.0465)); line-height: 1.4; scroll-snap-align: start;
  display: flex; flex-direction: column; overflow: hidden; position: relative; }
.slide h1 { font-size: 2.2em; margin: auto 0 0.2em; line-height: 1.15; }
.slide h1 ~ p:last-of-type { margin-bottom: auto; }
.slide h2 { font-size: 1.5em; margin: 0 0 0.5em; line-height: 1.2; color: #1f4f80; }
.slide p, .slide ul, .slide ol, .slide table { margin: 0 0 0.6em; }
.slide li { margin-bottom: 0.3em; }
.slide table { border-collapse: collapse; align-self: start; }
.slide th, .slide td { text-align: left; padding: 0.25em 1em 0.25em 0; border-bottom: 1px solid #999; }
.slide pre { margin: 0 0 0.6em; padding: 0.5em 0.8em; font: 0.82em/1.4 "DejaVu Sans Mono", monospace;
  background: #f1f3f6; align-self: start; }
.slide pre.output { background: none; border-left: 0.2em solid #3b82c4; }
.slide code { font-family: "DejaVu Sans Mono", monospace; font-size: 0.9em; }
.slide pre code { font-size: 1em; }
.figure { flex: 1 1 0; min-height: 0; margin-bottom: 0.4em; text-align: center; }
.figure img { width: 100%; height: 100%; object-fit: contain; object-position: left center; }
.number { position: absolute; right: 1.2em; bottom: 0.4em; font-size: 0.6em; color: #555; }
a { color: #1f4f80; }
@media print { @page { size: 254mm 143mm; margin: 0; } :root { --width: 254mm; --height: 142.5mm; }
  .slide { break-after: page; } }
"""
STYLE_OF_NOTES = """
:root { --width: 176mm; --height: 99mm; }
html { scroll-snap-type: none; }
body { width: 178mm; margin: 1em auto; }
.slide { border: 1px solid #777; }
.notes { font: 11pt/1.45 Georgia, "Noto Serif", serif; margin: 0.8em 0 2.2em; }
@media print { @page { size: A4; margin: 16mm; } :root { --width: 176mm; --height: 99mm; } body { margin: 0; }
  .slide { break-after: avoid; } .notes { break-inside: avoid; } section { break-inside: avoid; } }
"""


@dataclass
class Slide:
    """What is on one slide, in HTML, and the notes of its speaker."""

    body: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_slides(path: Path) -> list[Slide]:
    """Return the slides of a lecture; its cells are run, in one namespace and in order.

    Raises:
        ValueError: a cell fails, draws without an alternative text, or stands before the first heading.
    """
    slides: list[Slide] = []
    names: dict[str, Any] = {"__name__": path.stem}
    for number, cell in enumerate(read_paired_text(path).cells, start=1):
        if cell.cell_type == "code":
            if not slides:
                raise ValueError(f"{path}: cell {number} stands before the first heading")
            try:
                slides[-1].body += run_cell(cell, names)
            except Exception as error:
                raise ValueError(f"{path}: cell {number}: {type(error).__name__}: {error}") from error
            continue
        for part in HEADING.split(cell.source):
            if part.startswith("#"):
                slides.append(Slide())
            elif part.strip() and not slides:
                raise ValueError(f"{path}: there is text before the first heading")
            if slides:
                slides[-1].notes += [MARKDOWN.render(notes) for notes in NOTES.findall(part)]
                slides[-1].body.append(MARKDOWN.render(NOTES.sub("", part)))
    return slides


def run_cell(cell: NotebookNode, names: dict[str, Any]) -> list[str]:
    """Run a cell and return what it shows: its code if it is tagged `code`, what it prints, what it draws."""
    printed = io.StringIO()
    plt.close("all")
    with contextlib.redirect_stdout(printed):
        exec(compile(cell.source, "<slide>", "exec"), names)
    parts = [f"<pre><code>{html.escape(cell.source)}</code></pre>"] if "code" in cell.metadata.get("tags", []) else []
    if printed.getvalue():
        parts.append(f'<pre class="output">{html.escape(printed.getvalue().rstrip())}</pre>')
    for number in plt.get_fignums():
        image = base64.b64encode(plots.png(np.array(plt.figure(number).axes))).decode()
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if not alt:
            raise ValueError("a figure without alternative text; give the cell `mystnb: {image: {alt: ...}}`")
        parts.append(f'<div class="figure"><img src="data:image/png;base64,{image}" alt="{html.escape(alt)}"></div>')
    return parts


def page(slides: list[Slide], *, notes: bool) -> str:
    """Return the page of a lecture, with the notes or without."""
    title = re.sub("<.*?>", "", slides[0].body[0]).strip().splitlines()[0]
    sections = []
    for number, slide in enumerate(slides, start=1):
        body = "\n".join([*slide.body, f'<span class="number">{number} of {len(slides)}</span>'])
        section = f'<div class="slide" id="slide-{number}">\n{body}\n</div>'
        if notes:
            section += '\n<div class="notes">' + "\n".join(slide.notes) + "</div>"
        sections.append(f'<section aria-label="Slide {number}">\n{section}\n</section>')
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{title}</title><style>{STYLE}{STYLE_OF_NOTES if notes else ''}</style></head>\n<body>\n<main>\n"
        + "\n".join(sections)
        + "\n</main>\n</body></html>\n"
    )


def build(source: Path, out: Path) -> list[Path]:
    """Write the two pages of a lecture into a folder and return their paths."""
    slides = read_slides(source)
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{source.stem}.html", out / f"{source.stem}_notes.html"]
    for path, notes in zip(paths, (False, True), strict=True):
        atomic_write(path, page(slides, notes=notes).encode())
    return paths


def main() -> None:
    """Build all lectures, or those that are named."""
    parser = argparse.ArgumentParser(description="Build the slides of lectures.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="lectures in course/slides (default: all)")
    names = parser.parse_args().names or sorted(path.stem for path in SOURCES.glob("*.md"))
    matplotlib.use("agg")
    for name in names:
        for path in build(SOURCES / f"{name}.md", OUT):
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
