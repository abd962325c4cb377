"""The program of A2's fourth question: each student has a bug of her own, at a place of her own, to be shown with a
number of her own.
"""

import torch

from companion.classroom import Mistake
from companion.classroom.sheets import Code, Text

PROGRAM = """
def attention(query, keys, values, mask):
    channels = query.shape[-1]
    scores = query @ keys.T / channels ** 0.5
    scores = scores.masked_fill(~mask, -1e9)
    scores = scores - scores.max(dim=-1, keepdim=True).values
    powers = scores.exp()
    weights = powers / powers.sum(dim=-1, keepdim=True)
    return weights @ values, weights
""".strip().splitlines()

# What stands in a line of the program, and what stands there with each bug.
BUGS = [
    ("channels = query.shape[-1]", "channels = query.shape[0]"),
    ("query @ keys.T / channels ** 0.5", "query @ keys.T / channels"),
    ("query @ keys.T / channels ** 0.5", "keys @ query.T / channels ** 0.5"),
    ("scores.masked_fill(~mask, -1e9)", "scores.masked_fill(~mask, 0.0)"),
    ("scores.max(dim=-1, keepdim=True).values", "scores.max()"),
    ("powers.sum(dim=-1, keepdim=True)", "powers.sum(dim=0, keepdim=True)"),
    ("return weights @ values, weights", "return scores @ values, weights"),
]
REMARKS = [
    "# query: query channel, keys: place channel",
    "# values: place value",
    "# mask: query place, True where attention is allowed",
    "# scores and weights: query place",
    "# the largest exponential of a row is 1",
]
LARGEST, LONGEST, CLOSE = 10_000.0, 12, 1e-3


def run(bug, inputs):
    """Return context and weights of the program with a bug, or of the right one for None; None if it cannot be run."""
    text = "\n".join(PROGRAM)
    namespace = {}
    exec(text if bug is None else text.replace(*BUGS[bug]), namespace)
    try:
        return namespace["attention"](*inputs)
    except (RuntimeError, IndexError):
        return None


class Variant:
    def __init__(self, number, bug, text, own_number):
        self.number, self.bug, self.text, self.own_number = number, bug, text, own_number
        self.line = 1 + next(i for i, line in enumerate(text) if BUGS[bug][1] in line)
        self.lines = {i for i, line in enumerate(text, start=1) if not line.strip().startswith("#")}
        self.other_bugs = [other for other in range(len(BUGS)) if other != bug]

    def differs(self, bug, inputs):
        """Return whether a program with this bug gives other results than the right one."""
        right, wrong = run(None, inputs), run(bug, inputs)
        return wrong is None or any(
            a.shape != b.shape or not torch.allclose(a, b, atol=CLOSE, rtol=CLOSE)
            for a, b in zip(right, wrong, strict=True)
        )

    def checked_inputs(self, inputs):
        """Return the inputs of a finding as four tensors. Raises Mistake if they break a rule of the question."""
        if not isinstance(inputs, tuple | list) or len(inputs) != 4 or not all(map(torch.is_tensor, inputs)):
            raise Mistake('"inputs" should be a tuple of four tensors: query, keys, values and mask.')
        query, keys, values, mask = inputs
        if any(x.ndim != 2 or not 1 <= min(x.shape) <= max(x.shape) <= LONGEST for x in inputs):
            raise Mistake(f"Each of the four tensors should have two axes, none longer than {LONGEST}.")
        if mask.dtype != torch.bool:
            raise Mistake(f"The mask should be boolean, not {mask.dtype}.")
        if query.shape[1] != keys.shape[1] or len(keys) != len(values) or mask.shape != (len(query), len(keys)):
            raise Mistake("The sizes of query, keys, values and mask do not fit together.")
        query, keys, values = (x.float() for x in (query, keys, values))
        if not all(x.isfinite().all() and x.abs().max() <= LARGEST for x in (query, keys, values)):
            raise Mistake("The numbers of the input should be finite, and none larger than 10,000.")
        if not mask.any(-1).all():
            raise Mistake("Each query should see at least one place.")
        if abs(query[0, 0].item() - self.own_number) > 1e-5:
            raise Mistake(f"The entry query[0, 0] should be {self.own_number}, the number of the sheet.")
        return query, keys, values, mask

    def sheet(self):
        return [
            Text("This program is meant to compute scaled dot-product attention. One of its lines is wrong."),
            Code(self.text),
            Text(f"The entry query[0, 0] of your input must be {self.own_number}."),
            Text(f'In your notebook, finding() returns "sheet": "{self.number}", the line, and the input.'),
        ]

    def key(self):
        before, after = BUGS[self.bug]
        return [Text(f"Line {self.line}: {after}"), Text(f"Right: {before}")]


def draw(source, number):
    """Draw a variant: one of the bugs, remarks that move the lines, and a number."""
    bug = int(source.random() * len(BUGS))
    text = [line.replace(*BUGS[bug]) for line in PROGRAM]
    for remark in REMARKS:
        if source.random() < 0.5:
            text.insert(1 + int(source.random() * (len(text) - 1)), f"    {remark}")
    return Variant(number, bug, text, (5 + int(source.random() * 36)) / 10)
