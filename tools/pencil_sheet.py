"""Write the printable sheet of the chapter on the article's example: `python -m tools.pencil_sheet`.

The sheet is one HTML page, book/_static/pencil_sheet.html, that needs nothing else: two sheets with blanks, then the
same two with the numbers. Every number of the key is computed here.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from companion import attention
from companion.files import atomic_write

PATH = Path(__file__).resolve().parents[1] / "book" / "_static" / "pencil_sheet.html"

# The better example: queries are made from words (word feature), keys and values from places (place feature). The
# features are red, blue, white, star, square.
WORDS = torch.tensor([[1.0, 0, 0, 0, 1], [0, 1, 0, 1, 0]])
PLACES = torch.tensor([[1.0, 0, 0, 1, 0], [0, 1, 0, 1, 0], [0, 0, 1, 0, 1]])
W_Q = torch.tensor([[1.0, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0], [0, 0, 1, 1]])
W_K = torch.tensor([[2.0, 0, 0, 0], [-1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, -1], [0, 0, 0, 2]])
W_V = torch.tensor([[10.0, 50], [20, 0], [40, 30], [0, 0], [0, 0]])
W_O = torch.tensor([[1.0, 1], [1, -1]])

STYLE = """
@page { size: A4; margin: 12mm; }
body { font: 10.5pt/1.3 Georgia, "Noto Serif", serif; color: black; background: white; }
body { margin: 1em auto; max-width: 44em; padding: 0 1em; }
section { break-after: page; }
section:last-child { break-after: auto; }
h1 { font-size: 15pt; margin: 0 0 0.3em; }
h2 { font-size: 12pt; margin: 0.8em 0 0.2em; }
p { margin: 0.3em 0; }
.row { display: flex; flex-wrap: wrap; gap: 0.45em 1.5em; align-items: flex-end; break-inside: avoid; }
figure { margin: 0; }
figcaption { font-size: 10pt; }
table { border-collapse: collapse; border-left: 1.5px solid; border-right: 1.5px solid; margin: 2px 0; }
td { min-width: 1.5em; padding: 1px 5px; text-align: right; font-variant-numeric: tabular-nums; }
.blank td { border: 0.7px solid #888; min-width: 3.6em; height: 1.75em; }
@media print { body { margin: 0; max-width: none; padding: 0; } .blank td { height: 1.6em; min-width: 3.4em; } }
"""


def table(caption: str, values: Tensor, digits: int = 0, blank: bool = False) -> str:
    """Return a matrix with its caption, or as many empty cells as it has entries."""
    rows = [["" if blank else _number(x, digits) for x in row] for row in values.tolist()]
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    kind = ' class="blank"' if blank else ""
    return f"<figure><figcaption>{caption}</figcaption><table{kind}>{body}</table></figure>"


def projections() -> dict[str, tuple[Tensor, int]]:
    """Return the queries, keys and values of the better example, each with its number of decimal places."""
    return {
        "Q = Y W<sub>Q</sub>": (WORDS @ W_Q, 0),
        "K = X W<sub>K</sub>": (PLACES @ W_K, 0),
        "V = X W<sub>V</sub>": (PLACES @ W_V, 0),
    }


def one_head() -> dict[str, tuple[Tensor, int]]:
    """Return the steps of attention with one head."""
    query, keys, values = (x for x, _ in projections().values())
    scaled = query @ keys.T / math.sqrt(4)
    context, weights = attention.scaled_dot_product(query, keys, values)
    return {
        "Q Kᵀ": (query @ keys.T, 0),
        "Q Kᵀ / √4": (scaled, 0),
        "exp of it": (scaled.exp(), 3),
        "sum of each row": (scaled.exp().sum(-1, keepdim=True), 3),
        "weights α": (weights, 3),
        "context α V": (context, 2),
    }


def two_heads() -> dict[str, tuple[Tensor, int]]:
    """Return the steps of attention with two heads of two channels and one value channel each."""
    query, keys, values = (x for x, _ in projections().values())
    steps: dict[str, tuple[Tensor, int]] = {}
    outputs = []
    parts = zip(query.chunk(2, -1), keys.chunk(2, -1), values.chunk(2, -1), strict=True)
    for head, (q, k, v) in enumerate(parts, start=1):
        context, weights = attention.scaled_dot_product(q, k, v)
        steps[f"Q<sub>{head}</sub> K<sub>{head}</sub>ᵀ"] = (q @ k.T, 0)
        steps[f"weights of head {head}"] = (weights, 3)
        steps[f"output of head {head}"] = (context, 2)
        outputs.append(context)
    joined = torch.cat(outputs, dim=-1)
    return steps | {"side by side": (joined, 2), "times W<sub>O</sub>": (joined @ W_O, 2)}


def article() -> dict[str, tuple[Tensor, int]]:
    """Return what the article's own inputs give, with one head and with its first head."""
    query, keys, values = torch.arange(1.0, 19.0).view(3, 2, 3)
    context, weights = attention.scaled_dot_product(query, keys, values)
    first, first_keys = query[:, :2], keys[:, :2]
    _, first_weights = attention.scaled_dot_product(first, first_keys, values)
    scaled = first @ first_keys.T / math.sqrt(2)
    return {
        "Q Kᵀ": (query @ keys.T, 0),
        "Q Kᵀ / √3": (query @ keys.T / math.sqrt(3), 1),
        "weights α": (weights, 3),
        "context α V": (context, 2),
        "Q<sub>1</sub> K<sub>1</sub>ᵀ": (first @ first_keys.T, 0),
        "divided by √2": (scaled, 2),
        "difference in each row": (scaled.diff(dim=-1), 2),
        "weights of head 1": (first_weights, 4),
    }


def sheet() -> str:
    """Return the page: two sheets with blanks, then the same two with the numbers."""
    sections = [_better(blank=True), _article(blank=True), _better(blank=False), _article(blank=False)]
    body = "\n".join(f"<section>{section}</section>" for section in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Attention with a pencil</title><style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _better(blank: bool) -> str:
    given = {
        "Y: the words <i>red square</i>, <i>blue star</i>": WORDS,
        "X: red star, blue star, white square": PLACES,
        "W<sub>Q</sub>": W_Q,
        "W<sub>K</sub>": W_K,
        "W<sub>V</sub>": W_V,
        "W<sub>O</sub>": W_O,
    }
    ending = "" if blank else "<p>Computed with unrounded numbers; yours may differ by one in the last place.</p>"
    return (
        f"<h1>Attention with a pencil{'' if blank else ': the key'}</h1>"
        "<p>The features, in the order of the columns of Y and X: red, blue, white, star, square.</p>"
        + _row({name: (values, 0) for name, values in given.items()}, blank=False)
        + "<h2>Projections</h2>" + _row(projections(), blank)
        + "<h2>One head of four channels</h2>"
        "<p>You need e<sup>0</sup> = 1, e<sup>1</sup> = 2.718, e<sup>2</sup> = 7.389.</p>" + _row(one_head(), blank)
        + "<h2>Two heads of two channels</h2><p>Head 1 has channels 1 and 2 and the first value channel, head 2 the "
        "rest. Divide the scores by √2; you need e<sup>1.414</sup> = 4.113.</p>" + _row(two_heads(), blank)
        + "<p>Check: each row of weights sums to one. Each output lies between the smallest and the largest value of "
        "its channel.</p>" + ending
    )  # fmt: skip


def _article(blank: bool) -> str:
    query, keys, values = torch.arange(1.0, 19.0).view(3, 2, 3)
    given = {"Q": query, "K": keys, "V": values}
    steps = article()
    names = list(steps)
    whole, first = ({name: steps[name] for name in part} for part in (names[:4], names[4:]))
    question = "<p>Do the two queries get different contexts? Why? ____________________________________________</p>"
    answer = (
        "<p>No: both get the second row of V. Key 2 is key 1 with 3 added to every channel, so every query with "
        "positive entries prefers it, and the softmax is saturated.</p>"
    )
    return (
        f"<h1>The article's own inputs{'' if blank else ': the key'}</h1>"
        + _row({name: (values, 0) for name, values in given.items()}, blank=False)
        + "<h2>One head</h2><p>If the scores of a row differ by g, the weights are 1/(1 + e<sup>g</sup>) and the rest; "
        "e<sup>6.364</sup> = 581, and from g = 10 on the first weight is 0.000.</p>" + _row(whole, blank)
        + "<h2>Its first head: columns 1 and 2 of Q and K</h2>" + _row(first, blank)
        + (question if blank else answer)
    )  # fmt: skip


def _row(steps: Mapping[str, tuple[Tensor, int]], blank: bool) -> str:
    tables = (table(caption, values, digits, blank) for caption, (values, digits) in steps.items())
    return f'<div class="row">{"".join(tables)}</div>'


def _number(x: float, digits: int) -> str:
    return f"{x:.{digits}f}".replace("-", "−")


if __name__ == "__main__":
    atomic_write(PATH, sheet().encode())
