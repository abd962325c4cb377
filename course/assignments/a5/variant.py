"""The sheet of A5: each student has three of nine broken programs, and numbers of her own for five forecasts."""

import re
from itertools import pairwise

import torch

from companion.classroom import Mistake, assignments
from companion.classroom.public.a5 import FORECASTS
from companion.classroom.sheets import Code, Matrix, Text

TOLERANCE = 0.002
ROWS, COLS = 3, 4
CAPTIONS = ["caption 1", "caption 2", "caption 3"]

# Of each program: what stands in it, and what stands there with each bug.
BUGS = {
    "skip_score": [
        ("own & wanted", "Counter({p: n for p, n in own.items() if p in wanted})"),
        ("return abs(len(line) - len(words)), len(line)", "return len(line)"),
        (' if "<unk>" not in pair', ""),
    ],
    "error_rate": [
        (
            "        total += min(edits(words, line) for line in lines)\n"
            "        length += sum(map(len, lines)) / len(lines)\n",
            "        few = min(edits(words, line) for line in lines)\n"
            "        total += few / (sum(map(len, lines)) / len(lines))\n        length += 1\n",
        ),
        ("min(edits(words, line) for line in lines)", "edits(words, min(lines, key=len))"),
        ('differ = word != other or word == "<unk>"', "differ = word != other"),
    ],
    "character_score": [
        ('    text = text.replace(" ", "")\n', ""),
        ("(4 * precision + recall)", "(precision + 4 * recall)"),
        ("return 5 * precision", "return 500 * precision"),
    ],
}


def program(question, bug=None):
    """Return the program of a question as the solution has it, without its docstring; with a bug, or right."""
    source = (assignments.course_folder("A5") / "source.md").read_text(encoding="utf-8")
    solutions = re.findall(r"# BEGIN SOLUTION\n(.*?)# END SOLUTION", source, re.DOTALL)
    (text,) = (solution for solution in solutions if f"def {question}(" in solution)
    text = re.sub(r'    """.*?"""\n', "", text).replace("\n\n\n", "\n\n")
    return text if bug is None else text.replace(*BUGS[question][bug])


def pairs_of(words):
    """Return the number of pairs of so many different words."""
    return words * (words - 1) // 2


class Variant:
    """The numbers of a sheet.

    `counts` has the matches, the candidates' pairs and the references' pairs of each caption; `edits` those of each
    caption, and `lengths` those of its references. Of the third caption's `words`, `unknown` become <unk>; the
    candidate number `empty` loses its words. `weights` and `on` are a map and its object, `mix` is lambda.
    """

    def __init__(self, number, bugs, counts, words, unknown, edits, lengths, empty, weights, on, mix):
        self.number, self.bugs, self.counts, self.words, self.unknown = number, bugs, counts, words, unknown
        self.edits, self.lengths, self.empty = edits, lengths, empty
        self.weights, self.on, self.mix = weights, on, mix

    def answers(self):
        """Return what is asked for, by its name."""
        matches, own, wanted = (sum(column) for column in zip(*self.counts, strict=True))
        lost = pairs_of(self.words) - pairs_of(self.words - self.unknown)
        total = sum(self.edits) - self.edits[self.empty] + min(self.lengths[self.empty])
        squares, mass = self.weights**2, self.weights[self.on].sum().item()
        return {
            "pooled": 2 * matches / (own + wanted),
            "unknown": 2 * (matches - lost) / (own + wanted),
            "empty": total / sum(map(mean, self.lengths)),
            "mixed": (1 - self.mix) * mass + self.mix * self.on.double().mean().item(),
            "sharpened": (squares[self.on].sum() / squares.sum()).item(),
        }

    def mistakes(self, part):
        """Return, by its sentence, what a likely mistake gives for a forecast."""
        return getattr(self, f"{part}_mistakes")()

    def pooled_mistakes(self):
        matches, own, wanted = (sum(column) for column in zip(*self.counts, strict=True))
        scores = [2 * m / (c + r) for m, c, r in self.counts]
        return {
            "This is the mean of the captions' own scores.": mean(scores),
            "The matches are divided by the candidates' pairs alone.": matches / own,
            "The matches are divided by the references' pairs alone.": matches / wanted,
            "The matches are not doubled.": matches / (own + wanted),
            "The two shares, of the candidates' pairs and of the references', are averaged.": (
                matches / own + matches / wanted
            )
            / 2,
            "The third caption is left out.": 2
            * sum(m for m, _, _ in self.counts[:2])
            / sum(c + r for _, c, r in self.counts[:2]),
        }

    def unknown_mistakes(self):
        matches, own, wanted = (sum(column) for column in zip(*self.counts, strict=True))
        known, all_ = pairs_of(self.words - self.unknown), pairs_of(self.words)
        lost = all_ - known
        scores = [2 * m / (c + r) for m, c, r in self.counts[:2]]
        share = (self.words - self.unknown) / self.words
        return {
            "The unknown words have no effect.": 2 * matches / (own + wanted),
            "Pairs with <unk> are not counted among the candidate's.": 2 * (matches - lost) / (own - lost + wanted),
            "Pairs with <unk> are not counted at all.": 2 * (matches - lost) / (own - lost + wanted - lost),
            "Only pairs of two unknown words are lost.": 2 * (matches - pairs_of(self.unknown)) / (own + wanted),
            "Pairs of two unknown words are subtracted twice.": 2
            * (matches - self.unknown * (self.words - 1))
            / (own + wanted),
            "Each unknown word loses one pair alone.": 2 * (matches - self.unknown) / (own + wanted),
            "The share of pairs that is left is taken for that of the words.": 2
            * (matches - (1 - share) * all_)
            / (own + wanted),
            "This is the mean of the captions' own scores.": mean([*scores, known / all_]),
            "All matches of the third caption are lost.": 2 * (matches - all_) / (own + wanted),
        }

    def empty_mistakes(self):
        edits, lengths, k = self.edits, [mean(each) for each in self.lengths], self.empty
        rest, own = sum(edits) - edits[k], self.lengths[k]
        each = [*edits[:k], min(own), *edits[k + 1 :]]
        return {
            "The empty caption has no edits.": rest / sum(lengths),
            "The empty caption is left out.": rest / (sum(lengths) - lengths[k]),
            "The empty caption keeps its old edits.": sum(edits) / sum(lengths),
            "The edits of the empty caption are the mean length of its references.": (rest + lengths[k]) / sum(lengths),
            "The edits of the empty caption are those to its longest reference.": (rest + max(own)) / sum(lengths),
            "The edits of the empty caption are those to its first reference.": (rest + own[0]) / sum(lengths),
            "The edits of the empty caption are those to all of its references.": (rest + sum(own)) / sum(lengths),
            "The old edits are added to those of the empty caption.": (sum(edits) + min(own)) / sum(lengths),
            "The length of the empty caption is that of its shortest reference.": (rest + min(own))
            / (sum(lengths) - lengths[k] + min(own)),
            "This is the mean of the captions' own rates.": mean([a / b for a, b in zip(each, lengths, strict=True)]),
            "The lengths of all references are added up, not averaged.": (rest + min(own))
            / sum(map(sum, self.lengths)),
        }

    def mixed_mistakes(self):
        mass, uniform, mix = self.weights[self.on].sum().item(), self.on.double().mean().item(), self.mix
        return {
            "The mixture has no effect.": mass,
            "The two shares of the mixture are exchanged.": mix * mass + (1 - mix) * uniform,
            "Uniform attention adds nothing on the object.": (1 - mix) * mass,
            "The share of uniform attention is added, and the old weights are kept.": mass + mix * uniform,
            "Only one place of the object gets its share of uniform attention.": (1 - mix) * mass + mix / (ROWS * COLS),
            "All of the uniform attention lies on the object.": (1 - mix) * mass + mix,
            "Both maps count half.": (mass + uniform) / 2,
            "This is the mass of uniform attention.": uniform,
        }

    def sharpened_mistakes(self):
        weights, on = self.weights, self.on
        squares, mass = weights**2, weights[on].sum().item()
        roots = weights.sqrt()
        return {
            "The map is as it was.": mass,
            "The squares are not divided by their sum.": squares[on].sum().item(),
            "The mass is squared, not the weights.": mass**2,
            "The masses on and beside the object are squared, not the weights.": mass**2 / (mass**2 + (1 - mass) ** 2),
            "The square root is taken: the map gets flatter.": (roots[on].sum() / roots.sum()).item(),
            "The weights are doubled, not squared.": 2 * mass,
            "Only the weights on the object are squared.": (
                squares[on].sum() / (squares[on].sum() + weights[~on].sum())
            ).item(),
            "The squares beside the object are given, not those on it.": (squares[~on].sum() / squares.sum()).item(),
            "The third power is taken.": ((weights**3)[on].sum() / (weights**3).sum()).item(),
        }

    def judge(self, part, answer):
        """Raise Mistake if a number is not the answer to a part."""
        if type(answer) not in (int, float):
            raise Mistake(f'"{part}" should be a number.')
        right = self.answers()[part]
        if abs(answer - right) <= TOLERANCE:
            return
        sentences = [text for text, wrong in self.mistakes(part).items() if abs(answer - wrong) <= TOLERANCE]
        if abs(answer / 100 - right) <= TOLERANCE:
            sentences = ["This is a percentage."]
        raise Mistake(*(sentences or [f'"{part}" is not right, and it is no mistake that this check knows.']))

    def sheet(self):
        places = ", ".join(f"{row + 1}/{col + 1}" for row, col in self.on.nonzero().tolist())
        columns = ["matches", "pairs", "pairs of its reference", "edits", "words of reference 1", "2", "3"]
        table = zip(self.counts, self.edits, self.lengths, strict=True)
        rows = [[float(x) for x in (*counts, edits, *lengths)] for counts, edits, lengths in table]
        blocks = [
            Text("First the forecasts. Hand them in before you run anything."),
            Matrix("three captions of a test set", CAPTIONS, columns, rows, digits=0),
            Text("The gap is so large that any two words of a caption are a pair."),
            Text(f"Unknown: caption 3 has {self.words} words, and {self.unknown} of them become <unk>."),
            Text(f"Empty: {CAPTIONS[self.empty]} loses all its words. Mixed: lambda is {self.mix:.2f}."),
            Matrix("attention map", names("row", ROWS), names("column", COLS), self.weights.tolist(), digits=2),
            Text(f"The object covers the places {places} (row/column)."),
            Matrix("your forecasts", [""], FORECASTS, [[0.0] * len(FORECASTS)], blank=True),
            Text(f'In your notebook, forecasts() returns "sheet": "{self.number}" and the five numbers.'),
            Text("Three programs for questions 1 to 3. Each has one fault."),
        ]
        return [*blocks, *(Code(program(question, bug).splitlines()) for question, bug in self.bugs.items())]

    def key(self):
        answers = self.answers()
        bugs = [Text(f"{question}, right: {BUGS[question][bug][0].strip()}") for question, bug in self.bugs.items()]
        return [Matrix("forecasts", [""], list(answers), [list(answers.values())]), *bugs]


def names(what, count):
    return [f"{what} {i + 1}" for i in range(count)]


def mean(numbers):
    return sum(numbers) / len(numbers)


def draw(source, number):
    """Draw a variant. No likely mistake gives nearly the right number, and the mistakes of a forecast differ, too."""

    def between(low, high):
        return low + int(source.random() * (high - low + 1))

    while True:
        bugs = {question: between(0, len(bugs) - 1) for question, bugs in BUGS.items()}
        words, unknown, empty = [between(7, 14) for _ in CAPTIONS], between(2, 4), between(0, 1)
        lengths = [[between(6, 16) for _ in range(3)] for _ in CAPTIONS]
        lengths[2][between(0, 2)] = words[2]  # caption 3 is equal to this reference
        closest = [min(each, key=lambda n, w=w: (abs(n - w), n)) for each, w in zip(lengths, words, strict=True)]
        edits = [*(abs(n - w) + between(1, 5) for n, w in zip(closest[:2], words[:2], strict=True)), 0]
        own, wanted = ([pairs_of(n) for n in each] for each in (words, closest))
        least = [min(pair) for pair in zip(own, wanted, strict=True)]
        matches = [between(n // 4, 3 * n // 4) for n in least[:2]] + [own[2]]
        counts = list(zip(matches, own, wanted, strict=True))
        hundredths = torch.tensor([between(1, 9) ** 2 for _ in range(ROWS * COLS)]).double()
        hundredths = (100 * hundredths / hundredths.sum()).round().clamp(min=1)
        top, left, height, width = between(0, ROWS - 2), between(0, COLS - 2), between(1, 2), between(2, 3)
        on = torch.zeros(ROWS, COLS).bool()
        on[top : top + height, left : left + width] = True
        weights = (hundredths / 100).view(ROWS, COLS)
        variant = Variant(
            number, bugs, counts, words[2], unknown, edits, lengths, empty, weights, on, between(15, 42) / 100
        )
        if round(hundredths.sum().item()) == 100 and len(set(lengths[empty])) == 3 and is_telling(variant):
            return variant


def is_telling(variant):
    """Return whether all forecasts differ from the mistakes, and the mistakes of a forecast from each other."""
    for part, right in variant.answers().items():
        numbers = sorted([right, 100 * right, *variant.mistakes(part).values()])
        if min(b - a for a, b in pairwise(numbers)) <= 2 * TOLERANCE:
            return False
    return True
