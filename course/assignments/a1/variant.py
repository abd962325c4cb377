"""The paper sheet of A1: each student has scores, values and areas of her own."""

import torch

from companion.classroom.sheets import Matrix, Text

QUERIES, PLACES, CHANNELS = ["query 1", "query 2"], ["place 1", "place 2", "place 3"], ["red", "green"]


class Variant:
    def __init__(self, scores, values, areas, temperature):
        self.scores, self.values, self.areas, self.temperature = scores, values, areas, temperature

    def answers(self):
        """Return what is asked for, by its caption, with names of rows and columns."""
        weights = (self.scores / self.temperature).softmax(-1)
        by_area = self.areas * self.scores.exp()
        by_area = by_area / by_area.sum(-1, keepdim=True)
        return {
            f"a) weights at the temperature {self.temperature}": (weights, PLACES),
            "b) context at this temperature": (weights @ self.values, CHANNELS),
            "c) weights at the temperature 1, if the places have the areas above": (by_area, PLACES),
        }

    def given(self):
        return [
            Matrix("scores", QUERIES, PLACES, self.scores.tolist(), digits=1),
            Matrix("values", PLACES, CHANNELS, self.values.tolist(), digits=0),
            Matrix("areas of the places, in pixels", ["area"], PLACES, [self.areas.tolist()], digits=0),
        ]

    def sheet(self):
        blank = [
            Matrix(caption, QUERIES, columns, numbers.tolist(), blank=True)
            for caption, (numbers, columns) in self.answers().items()
        ]
        about = "Two points for each part. Give two decimal places, and show the exponentials and their sum."
        return [Text(about), *self.given(), *blank]

    def key(self):
        return [
            Matrix(caption, QUERIES, columns, numbers.tolist())
            for caption, (numbers, columns) in self.answers().items()
        ]


def draw(source, number):
    """Draw a variant. The three scores of a query differ, and so do the three areas."""

    def sample(low, high, count):
        chosen = []
        while len(chosen) < count:
            candidate = low + int(source.random() * (high - low + 1))
            chosen += [candidate] if candidate not in chosen else []
        return chosen

    scores = torch.tensor([sample(-20, 25, 3), sample(-20, 25, 3)]) / 10
    values = torch.tensor([sample(1, 90, 2), sample(1, 90, 2), sample(1, 90, 2)]).float()
    return Variant(scores, values, torch.tensor(sample(1, 9, 3)).float(), sample(11, 29, 1)[0] / 10)
