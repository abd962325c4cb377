"""Write a review queue as a table (CSV) or as a page (HTML) that a person works through.

Entry points: `to_csv` and `to_html`. The queue itself is made by `companion.apps.moderation`.
"""

import base64
import csv
import html
import io
import random
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from companion import datasets
from companion.apps.moderation import NOTHING, REVIEW, UNREADABLE, Item, counts

THUMBNAIL = 240  # pixels of the longer side
SAMPLE = 20  # pictures without a finding that are shown, drawn at random
SAMPLE_SEED = 0
COLUMNS = ("bin", "image", "caption", "rule", "reason", "found", "confidence", "held back", "decision")


def to_csv(items: Sequence[Item]) -> bytes:
    """Return the queue as a table, with an empty column for the decision of a person.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for item in items:
        found = item.findings.reported
        names, reasons = (list(dict.fromkeys(each)) for each in ([f.rule for f in found], [f.reason for f in found]))
        cells = [item.bin, item.path, item.caption or item.error, "; ".join(names), "; ".join(reasons)]
        cells += ["; ".join(map(str, found)), f"{found[0].confidence:.4f}" if found else ""]
        writer.writerow([safe_cell(cell) for cell in (*cells, "; ".join(item.findings.held_back), "")])
    return text.getvalue().encode("utf-8", "surrogateescape")


def safe_cell(cell: str) -> str:
    """Return the text of a cell that no spreadsheet takes for a formula.

    Spreadsheets pass over white space, and take full-width signs for ordinary ones.
    """
    return f"'{cell}" if cell.lstrip().startswith(tuple("=+-@＝＋－＠'")) else cell


def to_html(items: Sequence[Item], folder: Path, notes: Sequence[str] = ()) -> bytes:
    """Return the queue as a page that needs nothing else: every text escaped, the thumbnails inside it.

    Shown are the pictures to be reviewed and `SAMPLE` of those without a finding, drawn at random, so that a person
    sees what was missed; the others are listed.

    Args:
        items: of `make_queue`.
        folder: of the pictures.
        notes: lines for the head of the page.
    """
    nothing = [item for item in items if item.bin == NOTHING]
    sample = random.Random(SAMPLE_SEED).sample(nothing, min(SAMPLE, len(nothing)))
    number = counts(items)
    body = [f"<h1>Review queue of {_escape(folder)}</h1>", *(f"<p>{_escape(note)}</p>" for note in notes)]
    body.append(f"<h2>{REVIEW}: {number[REVIEW]:,}</h2>")
    body += [_card(item, folder) for item in items if item.bin == REVIEW]
    body.append(f"<h2>{NOTHING}: {number[NOTHING]:,}</h2>")
    if sample:
        body.append(f"<p>{len(sample)} of them, drawn at random: look whether something was missed.</p>")
    body += [_card(item, folder) for item in sorted(sample, key=lambda item: item.path)]
    rest = [item for item in nothing if item not in sample]
    body += _table([(item.path, item.caption, "; ".join(item.findings.held_back)) for item in rest])
    body.append(f"<h2>{UNREADABLE}: {number[UNREADABLE]:,}</h2>")
    body += _table([(item.path, item.error, "") for item in items if item.bin == UNREADABLE])
    return _PAGE.format(body="\n".join(body)).encode("utf-8", "backslashreplace")


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy"
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"><title>Review queue</title>
<style>
body {{ font: 16px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }}
article {{ display: flex; gap: 1rem; margin: 1rem 0; }}
article img {{ flex: none; max-width: 240px; object-fit: contain; align-self: start; }}
article p, article ul {{ margin: 0 0 .3rem; }}
td {{ padding: .1rem 1rem .1rem 0; vertical-align: top; overflow-wrap: anywhere; }}
</style></head><body>
{body}
</body></html>
"""


def _card(item: Item, folder: Path) -> str:
    """Return a picture with its caption and what was found."""
    lines = [f"{f.rule}: {f}. {f.reason}" for f in item.findings.reported]
    lines += [f"held back: {line}" for line in item.findings.held_back]
    bullets = "".join(f"<li>{_escape(line)}</li>" for line in lines)
    source = thumbnail(folder / item.path)
    image = f'<img src="{_escape(source)}" alt="{_escape(item.caption)}">' if source else "<p>no preview</p>"
    text = f"<p><b>{_escape(item.path)}</b></p><p>{_escape(item.caption)}</p><ul>{bullets}</ul>"
    return f"<article>{image}<div>{text}</div></article>"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of texts as a table; nothing for none."""
    lines = ["<tr>" + "".join(f"<td>{_escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return ["<table>", *lines, "</table>"] if lines else []


def _escape(text: object) -> str:
    """Return text for HTML, also inside an attribute, without control characters."""
    return html.escape("".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text)))


def thumbnail(path: Path) -> str:
    """Return a small copy of a picture as a data URI, or "" if it can no longer be read."""
    try:
        image = datasets.load_original(path)
    except ValueError:
        return ""
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
    if max(image.size) < THUMBNAIL // 2:  # a small picture is enlarged
        factor = THUMBNAIL // 2 // max(image.size) + 1
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
