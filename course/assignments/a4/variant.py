"""The traps of A4: each student has a word and two probabilities of her own, for two models on which a search fails."""

import math

import torch

from companion.classroom import Mistake, assignments
from companion.classroom.sheets import Text

SIZE, LONGEST, FACTOR, CLOSE = 6, 4, 1.2, 1e-4
ALL = SIZE**LONGEST  # a beam that drops nothing


def search(table, width):
    """Return the caption that a beam of this width finds, and its log-probability."""
    reference = assignments.course_module("A4", "mistakes").REFERENCES["rewarded_search"]
    return reference(table.log().expand(LONGEST + 1, -1, -1), width, 0.0, block="none")


def check_factor(name, what, difference):
    """Raise Mistake if the most probable caption has hardly more than what a search has found."""
    if difference < CLOSE:
        raise Mistake(f'In "{name}", {what} finds the most probable of all captions.')
    if difference < math.log(FACTOR) - CLOSE:
        raise Mistake(f'In "{name}", {what} finds a caption that is nearly as probable as the best.')


class Variant:
    def __init__(self, number, word, probabilities):
        self.number, self.word, self.probabilities = number, word, probabilities

    def checked(self, name, table):
        """Return a table of the traps as a tensor. Raises Mistake if it breaks a rule of the question."""
        if not torch.is_tensor(table) or table.shape != (SIZE, SIZE):
            raise Mistake(f'"{name}" should be a tensor of {SIZE} rows and {SIZE} columns.')
        table = table.double()
        if not (table.isfinite() & (table >= 0)).all():
            raise Mistake(f'"{name}" holds numbers that are no probabilities: infinite ones, or smaller than 0.')
        if table[:, 0].any():
            raise Mistake(f'In "{name}", a word is followed by <start>.')
        if table[1].any():
            raise Mistake(f'In "{name}", the row of <end> is not 0.')
        rows = [row for row in range(SIZE) if row != 1]
        off = [row for row in rows if abs(table[row].sum().item() - 1) > CLOSE]
        if off:
            raise Mistake(f'In "{name}", row {off[0]} sums to {table[off[0]].sum().item():.3f}, not to 1.')
        if (table[2:, 1] < 0.01 - CLOSE).any():
            raise Mistake(f'In "{name}", a word is followed by <end> with a probability below 0.01.')
        return table

    def judge_greedy(self, table):
        """Raise Mistake if the first trap does not catch greedy search alone."""
        table = self.checked("greedy", table)
        greedy, two, best = (search(table, width) for width in (1, 2, ALL))
        self.check_word("greedy", "the greedy caption", greedy[0], table[0], self.probabilities[0])
        if two[1] < best[1] - CLOSE:
            raise Mistake('In "greedy", a beam of width 2 does not find the most probable of all captions.')
        check_factor("greedy", "greedy search", best[1] - greedy[1])

    def judge_two(self, table):
        """Raise Mistake if the second trap does not catch a beam of two alone."""
        table = self.checked("two", table)
        two, three, best = (search(table, width) for width in (2, 3, ALL))
        self.check_word("two", "the most probable caption", best[0], table[0], self.probabilities[1])
        if three[1] < best[1] - CLOSE:
            raise Mistake('In "two", a beam of width 3 does not find the most probable of all captions.')
        check_factor("two", "a beam of width 2", best[1] - two[1])

    def check_word(self, name, what, caption, row, probability):
        """Raise Mistake if a caption does not begin with the word of the sheet, or it has another probability."""
        if caption[0] != self.word:
            raise Mistake(f'In "{name}", {what} begins with {caption[0]}, not with {self.word}, the word of the sheet.')
        if abs(row[self.word].item() - probability) > CLOSE:
            raise Mistake(f'In "{name}", the word of the sheet does not have its probability, {probability:.3f}.')

    def sheet(self):
        greedy, two = self.probabilities
        return [
            Text(f"Your word is {self.word}."),
            Text(f"First table: it is the first word of the greedy caption, with the probability {greedy:.3f}."),
            Text(f"Second table: it is the first word of the best caption, with the probability {two:.3f}."),
            Text(f'In your notebook, traps() returns "sheet": "{self.number}" and the two tables.'),
        ]

    def key(self):
        return [*self.sheet()[:3], Text("There are many right tables. The command `companion grade` checks them.")]


def draw(source, number):
    """Draw a variant: a word, and two probabilities for which there is a trap."""
    word = 2 + int(source.random() * 4)
    return Variant(number, word, ((400 + int(source.random() * 200)) / 1000, (220 + int(source.random() * 80)) / 1000))
