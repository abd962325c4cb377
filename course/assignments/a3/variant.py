"""The forecasts of A3: each student has a map, a place that is copied, a strength and a fade of her own."""

import torch

from companion.classroom import Mistake
from companion.classroom.sheets import Matrix, Text

PLACES = ["place 1", "place 2", "place 3", "place 4"]
TOLERANCE = 0.002
TIMES = {2: "twice", 3: "three times"}


def lowered(weights, inhibition):
    """Return the map of scores that are lowered by the inhibition."""
    powers = weights * (-inhibition).exp()
    return powers / powers.sum()


class Variant:
    def __init__(self, number, weights, place, copies, strength, fade):
        self.number, self.weights, self.place, self.copies = number, weights, place, copies
        self.strength, self.fade = strength, fade

    def answers(self):
        """Return what is asked for, by its name: four weights each."""
        w, first = self.weights, self.strength * self.weights
        second = lowered(w, first)
        return {
            "copied": w / (1 + self.copies * w[self.place]),
            "second": second,
            "third": lowered(w, self.fade * first + self.strength * second),
        }

    def mistakes(self, part):
        """Return, by its sentence, what a likely mistake gives for a part."""
        w, s, f, k, c = self.weights, self.strength, self.fade, self.copies, self.place
        right, here = self.answers(), torch.nn.functional.one_hot(torch.tensor(c), len(self.weights))
        first, second = s * w, s * right["second"]
        largest = torch.nn.functional.one_hot(w.argmax(), len(w))
        return {
            "copied": {
                "The copies have no effect: together with them the weights sum to more than 1.": w,
                "The copies share the old weight of the place, and all others keep theirs.": w / (1 + k * here),
                "The place has the weights of its copies, too.": right["copied"] * (1 + k * here),
                "All weights get smaller by the same factor, whatever the weight of the place that is copied.": w
                * len(w)
                / (len(w) + k),
                "Several copies count like one.": w / (1 + w[c]),
                "The place itself is counted as one more copy.": w / (1 + (k + 1) * w[c]),
                "Only the place that is copied loses weight.": torch.where(here > 0, right["copied"], w),
                "The other places lose weight, and the one that is copied keeps its own.": torch.where(
                    here > 0, w, right["copied"]
                ),
                "Another place was copied.": w / (1 + k * w[(c + 1) % len(w)]),
            },
            "second": {
                "The inhibition has no effect.": w,
                "The sign is wrong: the inhibition raises the scores.": lowered(w, -first),
                "The strength has no effect.": lowered(w, w),
                "The numbers were not divided by their sum.": w * (-first).exp(),
                "The inhibition fades before it is used.": lowered(w, f * first),
                "The inhibition is subtracted from the weights, not from the scores.": w - first,
                "Only the largest weight is inhibited.": lowered(w, first * largest),
                "All places are inhibited by the same amount as the largest.": lowered(w, (s * largest).float()),
                "The weights are multiplied by 1 minus the inhibition.": w * (1 - first) / (w * (1 - first)).sum(),
                "The weights are divided by 1 plus the inhibition.": w / (1 + first) / (w / (1 + first)).sum(),
            },
            "third": {
                "The inhibition has no effect.": w,
                "These are the weights of the second word.": right["second"],
                "The inhibition does not fade.": lowered(w, first + second),
                "The inhibition of the first word is lost.": lowered(w, second),
                "The inhibition of the second word is missing.": lowered(w, f * first),
                "The newer inhibition fades, and the older does not.": lowered(w, first + f * second),
                "Both words' inhibition fades.": lowered(w, f * (first + second)),
                "The scores of the second word are lowered once more, though they are lowered already.": lowered(
                    right["second"], f * first + second
                ),
                "The first word's weights inhibit both times.": lowered(w, f * first + first),
                "The sign is wrong: the inhibition raises the scores.": lowered(w, -f * first - second),
                "The strength has no effect on the newer inhibition.": lowered(w, f * first + right["second"]),
                "The numbers were not divided by their sum.": w * (-f * first - second).exp(),
            },
        }[part]

    def judge(self, part, answer):
        """Raise Mistake if four numbers are not the answer to a part."""
        if not isinstance(answer, list | tuple) or len(answer) != 4 or not all(type(x) in (int, float) for x in answer):
            raise Mistake(f'"{part}" should be a list of four numbers.')
        own, right = torch.tensor(answer).double(), self.answers()[part]

        def same(numbers, wanted):
            return bool(((numbers - wanted).abs() <= TOLERANCE).all())

        if same(own, right):
            return
        sentences = [sentence for sentence, wrong in self.mistakes(part).items() if same(own, wrong)]
        if same(own / 100, right):
            sentences = ["These are percentages."]
        raise Mistake(*(sentences or [f'"{part}" is not right, and it is no mistake that this check knows.']))

    def sheet(self):
        return [
            Matrix("weights for the first word", ["weight"], PLACES, [self.weights.tolist()], digits=2),
            Text(
                f"{PLACES[self.place].capitalize()} is copied {TIMES[self.copies]}: "
                f"then {1 + self.copies} places have its vector."
            ),
            Text(f"Strength {self.strength:.1f}, fade {self.fade:.1f}."),
            Matrix("your forecasts", ["copied", "second", "third"], PLACES, [[0.0] * 4] * 3, blank=True),
            Text(f'In your notebook, forecast() returns "sheet": "{self.number}" and the three lists.'),
        ]

    def key(self):
        rows = [numbers.tolist() for numbers in self.answers().values()]
        return [Matrix("forecasts", list(self.answers()), PLACES, rows)]


def draw(source, number):
    """Draw a variant. The four weights differ and sum to 1, and no likely mistake gives nearly the right numbers."""
    while True:
        hundredths = [8 + int(source.random() * 40) for _ in range(3)]
        hundredths.append(100 - sum(hundredths))
        weights = torch.tensor(hundredths).double() / 100
        place, copies = int(source.random() * 4), 2 + int(source.random() * 2)
        strength, fade = (20 + int(source.random() * 30)) / 10, (2 + int(source.random() * 6)) / 10
        variant = Variant(number, weights, place, copies, strength, fade)
        differences = [
            (wrong - right).abs().max()
            for part, right in variant.answers().items()
            for wrong in variant.mistakes(part).values()
        ]
        if hundredths[-1] >= 8 and len(set(hundredths)) == 4 and min(differences) > 3 * TOLERANCE:
            return variant
