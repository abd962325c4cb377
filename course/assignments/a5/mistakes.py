"""The right functions of A5 with knobs, and the sentence of each mistake that a knob makes."""

import math
from collections import Counter

import torch

REFERENCES = {}
MISTAKES = {}
UNKNOWN_WORD = "<unk>"


def reference(function):
    """Register the right function of a question under its name."""
    REFERENCES[function.__name__] = function
    return function


def share(part, whole):
    """Return part of whole as a number from 0 to 1; a share of nothing is 0."""
    return part / whole if whole else 0.0


# -- pairs with gaps ---------------------------------------------------------------------------------------------------


def skip_pairs(words, gap, reach, order):
    distances = {
        "less": range(1, gap + 1),
        "more": range(1, gap + 3),
        "neighbours": [1],
        "any": range(1, len(words)),
        "exact": [gap + 1],
        "itself": range(gap + 2),
    }.get(reach, range(1, gap + 2))
    pairs = Counter((words[i], words[i + d]) for d in distances for i in range(len(words) - d))
    if order == "none":
        return Counter(tuple(sorted(pair)) for pair in pairs.elements())
    return pairs


def compared(words, lines, near, matches):
    """Return the reference with which a candidate is compared."""
    distance = {
        "shortest": len,
        "longest": lambda line: -len(line),
        "longer": lambda line: (abs(len(line) - len(words)), -len(line)),
        "first close": lambda line: abs(len(line) - len(words)),
        "first": lambda line: 0,
        "last": lambda line: -lines.index(line),
        "best": lambda line: -matches(words, line),
    }.get(near, lambda line: (abs(len(line) - len(words)), len(line)))
    return min(lines, key=distance)


@reference
def skip_score(candidates, references, gap, *, clip="both", near="closest", unk="never", pool="counts", reach="gap",
               order="kept", count="one", give="both"):  # fmt: skip
    if unk == "removed":
        candidates = [[word for word in words if word != UNKNOWN_WORD] for words in candidates]
        references = [[[word for word in line if word != UNKNOWN_WORD] for line in lines] for lines in references]

    def pairs(words):
        found = skip_pairs(words, gap, reach, order)
        if unk == "not counted":
            found = Counter({pair: n for pair, n in found.items() if UNKNOWN_WORD not in pair})
        return Counter(set(found)) if clip == "sets" else found

    def matched(own, wanted):
        shared = Counter({pair: n for pair, n in own.items() if pair in wanted}) if clip == "none" else own & wanted
        return sum(n for pair, n in shared.items() if unk == "matches" or UNKNOWN_WORD not in pair)

    def matches(words, line):
        return matched(pairs(words), pairs(line))

    counts, all_own, all_wanted = [], Counter(), Counter()  # matches, pairs of the candidate, of the reference
    for words, lines in zip(candidates, references, strict=True):
        line = compared(words, lines, near, matches)
        own, wanted = pairs(words), pairs(line)
        number = wanted.total() if count == "one" else sum(pairs(each).total() for each in lines)
        all_own, all_wanted = all_own + own, all_wanted + wanted
        if near == "any":
            for each in lines:
                wanted = wanted | pairs(each)
        counts.append((matched(own, wanted), own.total(), number))

    def score(m, c, r):
        return {
            "precision": share(m, c),
            "recall": share(m, r),
            "single": share(m, c + r),
            "percent": 100 * share(2 * m, c + r),
            "mean": (share(m, c) + share(m, r)) / 2,
            "count": m,
        }.get(give, share(2 * m, c + r))

    sums = [sum(column) for column in zip(*counts, strict=True)]
    if pool == "words":
        sums[0] = matched(all_own, all_wanted)
    return sum(score(*each) for each in counts) / len(counts) if pool == "scores" else score(*sums)


MISTAKES["skip_score"] = {
    "A pair matches as often as the candidate repeats it, however seldom the reference has it.": {"clip": "none"},
    "A pair that occurs several times counts once.": {"clip": "sets"},
    "The shortest reference is compared, not the closest in length.": {"near": "shortest"},
    "The longest reference is compared, not the closest in length.": {"near": "longest"},
    "Of two references that are equally close, the longer is compared.": {"near": "longer"},
    "Of two references that are equally close, the first is compared, not the shorter.": {"near": "first close"},
    "Only the first reference is compared.": {"near": "first"},
    "Only the last reference is compared.": {"near": "last"},
    "The reference with the most matches is compared, not the closest in length.": {"near": "best"},
    "Every reference is compared, and a pair may match in any of them.": {"near": "any"},
    "The pairs of all references are counted, not only those of the one that is compared.": {"count": "all"},
    "A pair that contains <unk> matches.": {"unk": "matches"},
    "<unk> is taken out of the captions, so its neighbours close up.": {"unk": "removed"},
    "Pairs that contain <unk> are not counted at all.": {"unk": "not counted"},
    "This is the mean of the captions' own scores: they are not added up first.": {"pool": "scores"},
    "The pairs of all captions are pooled before they are matched: a candidate matches pairs of other pictures.": {
        "pool": "words"
    },
    "The gap is too small by one word.": {"reach": "less"},
    "The gap is too large by one word.": {"reach": "more"},
    "The gap has no effect: only neighbouring words are pairs.": {"reach": "neighbours"},
    "The gap has no effect: any two words are a pair.": {"reach": "any"},
    "Only pairs with exactly this gap are found, not those with a smaller one.": {"reach": "exact"},
    "A word makes a pair with itself.": {"reach": "itself"},
    "The order of the two words has no effect.": {"order": "none"},
    "The matches are divided by the candidates' pairs alone.": {"give": "precision"},
    "The matches are divided by the references' pairs alone.": {"give": "recall"},
    "The matches are not doubled, though the pairs of both sides are counted.": {"give": "single"},
    "The two shares, of the candidates' pairs and of the references', are averaged.": {"give": "mean"},
    "The matches are returned, not their share.": {"give": "count"},
    "The score is from 0 to 100.": {"give": "percent"},
}


# -- words to be corrected ---------------------------------------------------------------------------------------------


def edits(words, line, method, unk):
    """Return the number of edits between two captions."""
    if method == "characters":
        words, line = " ".join(words), " ".join(line)

    def differ(a, b):
        return a != b or (a == UNKNOWN_WORD and unk == "never")

    if method == "positions":
        return abs(len(words) - len(line)) + sum(map(differ, words, line))
    if method == "bag":
        shared = Counter(words) & Counter(line)
        return max(len(words), len(line)) - sum(n for word, n in shared.items() if not differ(word, word))
    replace, insert, delete = {"replace": (2, 1, 1), "insert": (1, 0, 1), "delete": (1, 1, 0)}.get(method, (1, 1, 1))
    border = 0 if method == "border" else 1
    row = [border * insert * j for j in range(len(line) + 1)]
    for i, a in enumerate(words, start=1):
        last, row[0] = row[0], border * delete * i
        for j, b in enumerate(line, start=1):
            best = min(row[j] + delete, row[j - 1] + insert, last + replace * differ(a, b))
            last, row[j] = row[j], best
    return row[-1]


def chosen_edits(each, lengths, own, choose):
    """Return the edits of a candidate with so many words from those to each reference."""
    return {
        "shortest": each[lengths.index(min(lengths))],
        "closest": min(zip(lengths, each, strict=True), key=lambda pair: (abs(pair[0] - own), pair[0]))[1],
        "first": each[0],
        "most": max(each),
        "mean": sum(each) / len(each),
        "sum": sum(each),
    }.get(choose, min(each))


def length_of(words, lines, each, length):
    """Return by what the edits of a candidate are divided."""
    lengths = [len(" ".join(line)) if length == "characters" else len(line) for line in lines]
    mean = sum(lengths) / len(lengths)
    return {
        "candidate": len(words),
        "fewest": lengths[each.index(min(each))],
        "shortest": min(lengths),
        "longest": max(lengths),
        "first": lengths[0],
        "sum": sum(lengths),
        "longer": max(len(words), mean),
    }.get(length, mean)


@reference
def error_rate(candidates, references, *, method="edits", unk="never", choose="fewest", length="mean", pool="sums",
               give="rate"):  # fmt: skip
    rates = []
    for words, lines in zip(candidates, references, strict=True):
        each = [edits(words, line, method, unk) for line in lines]
        total = chosen_edits(each, [len(line) for line in lines], len(words), choose)
        size = length_of(words, lines, each, length)
        rates.append((min(total, size) if pool == "capped" else total, size))
    total, size = (sum(column) for column in zip(*rates, strict=True))
    value = sum(a / b for a, b in rates) / len(rates) if pool == "rates" else total / size
    return {
        "accuracy": 1 - value,
        "percent": 100 * value,
        "capped": min(1.0, value),
        "edits": total,
        "captions": total / len(rates),
    }.get(give, value)


MISTAKES["error_rate"] = {
    "This is the mean of the captions' own rates: they are not added up first.": {"pool": "rates"},
    "The edits of a caption are cut off at its length.": {"pool": "capped"},
    "The edits are those to the shortest reference, not to the one that needs the fewest.": {"choose": "shortest"},
    "The edits are those to the reference that is closest in length, not to the one that needs the fewest.": {
        "choose": "closest"
    },
    "The edits are those to the first reference.": {"choose": "first"},
    "The edits are those to the reference that needs the most.": {"choose": "most"},
    "The edits are the mean over all references.": {"choose": "mean"},
    "The edits to all references are added up.": {"choose": "sum"},
    "The edits are divided by the lengths of the candidates.": {"length": "candidate"},
    "The length is that of the reference that needs the fewest edits, not the mean of all.": {"length": "fewest"},
    "The length is that of the shortest reference, not the mean of all.": {"length": "shortest"},
    "The length is that of the longest reference, not the mean of all.": {"length": "longest"},
    "The length is that of the first reference, not the mean of all.": {"length": "first"},
    "The lengths of all references of a caption are added up, not averaged.": {"length": "sum"},
    "The length is that of the candidate where this is longer than the references.": {"length": "longer"},
    "<unk> is taken for equal to <unk>.": {"unk": "equal"},
    "A replaced word costs two edits.": {"method": "replace"},
    "A word that is inserted costs nothing.": {"method": "insert"},
    "A word that is deleted costs nothing.": {"method": "delete"},
    "Words that are missing or left over at the beginning cost nothing.": {"method": "border"},
    "The words are compared position by position: a shift by one makes them all wrong.": {"method": "positions"},
    "The order of the words has no effect.": {"method": "bag"},
    "Characters are edited, not words.": {"method": "characters"},
    "Characters are edited and counted, not words.": {"method": "characters", "length": "characters"},
    "The rate is subtracted from 1.": {"give": "accuracy"},
    "The rate is in percent.": {"give": "percent"},
    "A rate above 1 is cut off.": {"give": "capped"},
    "The edits are not divided by the lengths.": {"give": "edits"},
    "The edits are divided by the number of captions.": {"give": "captions"},
}


# -- letters -----------------------------------------------------------------------------------------------------------


def grams(text, n, letters):
    units = {"spaces": text, "words": text.split()}.get(letters, text.replace(" ", ""))
    if letters == "in words":
        return Counter(word[i : i + n] for word in text.split() for i in range(len(word) - n + 1))
    return Counter(tuple(units[i : i + n]) for i in range(len(units) - n + 1))


@reference
def character_score(candidates, references, order, *, clip="both", letters="joined", orders="all", mean="arithmetic",
                    pool="counts", weigh="recall", which="all", give="share"):  # fmt: skip
    pairs = list(zip(candidates, references, strict=True))
    pairs = {"first": pairs[:1], "last": pairs[-1:]}.get(which, pairs)
    if pool == "text":
        pairs = [tuple("".join(texts) for texts in zip(*pairs, strict=True))]
    sizes = {"largest": [order], "fewer": range(1, order), "dropped": range(1, order)}.get(orders, range(1, order + 1))

    def counted(each):
        """Return matches, n-grams of the candidates and of the references, for each n."""
        rows = []
        for n in sizes:
            row, all_own, all_wanted = [0, 0, 0], Counter(), Counter()
            for candidate, line in each:
                own, wanted = grams(candidate, n, letters), grams(line, n, letters)
                if clip == "sets":
                    own, wanted = Counter(set(own)), Counter(set(wanted))
                shared = (
                    sum(count for gram, count in own.items() if gram in wanted)
                    if clip == "none"
                    else (own & wanted).total()
                )
                row = [row[0] + shared, row[1] + own.total(), row[2] + wanted.total()]
                all_own, all_wanted = all_own + own, all_wanted + wanted
            if pool == "grams":
                row[0] = (all_own & all_wanted).total()
            if orders == "going on" and rows:
                row = [a + b for a, b in zip(row, rows[-1], strict=True)]
            rows.append(row)
        return [[sum(column) for column in zip(*rows, strict=True)]] if orders == "added" and rows else rows

    def averaged(numbers):
        if mean == "geometric":
            return math.prod(numbers) ** (1 / len(numbers)) if numbers else 0.0
        if mean == "sum":
            return sum(numbers)
        return sum(numbers) / (order if orders == "dropped" else max(1, len(numbers)))

    def combined(p, r):
        return {
            "precision": lambda: share(5 * p * r, p + 4 * r),
            "equal": lambda: share(2 * p * r, p + r),
            "two": lambda: share(3 * p * r, 2 * p + r),
            "four": lambda: share(4 * p * r, 4 * p + r),
            "numbers": lambda: (p + r) / 2,
            "p": lambda: p,
            "r": lambda: r,
        }.get(weigh, lambda: share(5 * p * r, 4 * p + r))()

    def score(each):
        precisions, recalls = ([share(row[0], row[k]) for row in counted(each)] for k in (1, 2))
        if mean == "scores":
            return averaged([combined(p, r) for p, r in zip(precisions, recalls, strict=True)])
        return combined(averaged(precisions), averaged(recalls))

    value = sum(score([pair]) for pair in pairs) / len(pairs) if pool == "scores" else score(pairs)
    return 100 * value if give == "percent" else value


MISTAKES["character_score"] = {
    "An n-gram matches as often as the candidate repeats it, however seldom the reference has it.": {"clip": "none"},
    "An n-gram that occurs several times counts once.": {"clip": "sets"},
    "The spaces are counted as characters.": {"letters": "spaces"},
    "N-grams do not reach from one word to the next.": {"letters": "in words"},
    "N-grams of words are counted, not of characters.": {"letters": "words"},
    "Precision counts more than recall, or candidates and references are exchanged.": {"weigh": "precision"},
    "Precision and recall count the same.": {"weigh": "equal"},
    "The weight of recall is 2, not 4.": {"weigh": "two"},
    "The product is multiplied by 4, not by 5: the best score is not 1.": {"weigh": "four"},
    "Precision and recall are averaged as numbers, not by the formula.": {"weigh": "numbers"},
    "This is the precision alone.": {"weigh": "p"},
    "This is the recall alone.": {"weigh": "r"},
    "This is the mean of the captions' own scores: their counts are not added up first.": {"pool": "scores"},
    "The n-grams of all captions are pooled before they are matched: a candidate matches those of other pictures.": {
        "pool": "grams"
    },
    "The captions are joined into one text, so n-grams reach from one into the next.": {"pool": "text"},
    "Only n-grams of the largest n are counted.": {"orders": "largest"},
    "The largest n is missing.": {"orders": "fewer"},
    "The largest n is missing, though the sum is divided by as many.": {"orders": "dropped"},
    "The n-grams of all n are added up: precision and recall are not averaged over n.": {"orders": "added"},
    "The counts of one n go on into the next.": {"orders": "going on"},
    "The score is computed for each n, and then averaged.": {"mean": "scores"},
    "The mean over n is the geometric one, as in BLEU.": {"mean": "geometric"},
    "The precisions and recalls are added up over n, not averaged.": {"mean": "sum"},
    "Only the first caption counts.": {"which": "first"},
    "Only the last caption counts.": {"which": "last"},
    "The score is from 0 to 100.": {"give": "percent"},
}


# -- near enough -------------------------------------------------------------------------------------------------------


def near_places(masks, tolerance, distance, *, turned=False):
    """Return the places near each object (word place); if turned, those whose row and column are exchanged."""
    rows, cols = masks.shape[1:]
    place, on = torch.cartesian_prod(torch.arange(rows), torch.arange(cols)), masks.flatten(1)
    steps = ((place.flip(1) if turned else place)[:, None] - place).abs()
    if distance == "ring":
        steps = torch.minimum(steps, torch.tensor([rows, cols]) - steps)
    if distance == "middle":
        middles = [place[each].double().mean(0) for each in on]  # NaN of a hidden object, which is near nothing
        return torch.stack([((place - middle) ** 2).sum(-1) <= tolerance**2 for middle in middles])
    squares = (steps**2).sum(-1)
    close = {
        "zero": squares == 0,
        "less": squares < tolerance**2,
        "window": steps.amax(-1) <= tolerance,
        "city": steps.sum(-1) <= tolerance,
        "squared": squares <= tolerance,
    }.get(distance, squares <= tolerance**2)
    if distance == "farthest":
        return (close | ~on[:, None]).all(-1) & on.any(-1, keepdim=True)
    return (close & on[:, None]).any(-1)


@reference
def near_hits(maps, masks, tolerance, *, distance="line", peaks="all", hidden="miss", chance="near", first="own",
              give="both"):  # fmt: skip
    flat = maps.flatten(1).double()
    if first == "mask":
        masks = masks[:1].expand_as(masks)
    near = near_places(masks, tolerance, distance)
    largest = flat.amin(-1, keepdim=True) if peaks == "smallest" else flat.amax(-1, keepdim=True)
    is_peak = flat == (flat.max() if peaks == "global" else largest)
    place = torch.arange(flat.shape[1])
    if peaks in ("first", "last"):
        order = -place if peaks == "first" else place
        is_peak = place == order.masked_fill(~is_peak, -len(place)).argmax(-1, keepdim=True)
    aim = near_places(masks, tolerance, distance, turned=True) if peaks == "transposed" else near
    hits = (aim & is_peak).any(-1) if peaks in ("any", "global") else (aim | ~is_peak).all(-1)
    if hidden == "hit":
        hits = hits | ~masks.flatten(1).any(-1)
    hits = hits.double()
    level = {
        "object": lambda: masks.flatten(1).double().mean(-1),
        "place": lambda: torch.full_like(hits, 1 / len(place)),
        "number": lambda: near.double().sum(-1),
        "words": lambda: near.double().mean().expand_as(hits),
        "percent": lambda: 100 * near.double().mean(-1),
        "touched": lambda: (near & ~masks.flatten(1)).double().mean(-1),
    }.get(chance, lambda: near.double().mean(-1))()
    return {
        "means": (hits.mean(), level.mean()),
        "exchanged": (level, hits),
        "hits": hits,
        "misses": (1 - hits, level),
        "weight": ((near * flat).sum(-1), level),
        "above": (hits - level, level),
    }.get(give, (hits, level))


MISTAKES["near_hits"] = {
    "Of several peaks only the first counts: a flat map gets points.": {"peaks": "first"},
    "Of several peaks only the last counts: a flat map gets points.": {"peaks": "last"},
    "One peak near the object is enough, though others are not: a flat map gets points.": {"peaks": "any"},
    "The peak is sought among all words: only the word with the largest weight has one.": {"peaks": "global"},
    "The peaks are the places with the smallest weight.": {"peaks": "smallest"},
    "Rows and columns of the peak are exchanged.": {"peaks": "transposed"},
    "The tolerance has no effect.": {"distance": "zero"},
    "A distance equal to the tolerance counts as too far.": {"distance": "less"},
    "The tolerance holds for rows and columns separately: places across a corner are taken for nearer than they are.": {
        "distance": "window"
    },
    "The distance is the sum of rows and columns, not that of a straight line.": {"distance": "city"},
    "The squared distance is compared with the tolerance.": {"distance": "squared"},
    "The tolerance reaches around the border of the grid.": {"distance": "ring"},
    "The distance is that to the middle of the object, not to its nearest place.": {"distance": "middle"},
    "The distance is that to the farthest place of the object, not to its nearest.": {"distance": "farthest"},
    "A word whose object is hidden is a hit.": {"hidden": "hit"},
    "The object of the first word is taken for all words.": {"first": "mask"},
    "The chance level leaves out the tolerance: it is the share of the object alone.": {"chance": "object"},
    "The chance level leaves out the object: it is the share of the places around it.": {"chance": "touched"},
    "The chance level is one place of all, whatever the object.": {"chance": "place"},
    "The chance level is a number of places, not a share.": {"chance": "number"},
    "The chance level is the mean over all words.": {"chance": "words"},
    "The chance level is in percent.": {"chance": "percent"},
    "Hits and chance level are means over all words.": {"give": "means"},
    "Hits and chance level are returned in the wrong order.": {"give": "exchanged"},
    "The hits alone are returned, without their chance level.": {"give": "hits"},
    "Misses are counted, not hits.": {"give": "misses"},
    "The hit is the weight near the object, not 0 or 1.": {"give": "weight"},
    "The chance level is subtracted from the hits.": {"give": "above"},
}


# -- more on the object than beside it ---------------------------------------------------------------------------------


@reference
def on_object(maps, masks, *, mass="sum", larger="more", order="pairs", without=0.0, axes="kept", first="own",
              give="both"):  # fmt: skip
    if axes == "exchanged":
        maps = maps.mT
    if first == "mask":
        masks = masks[:1].expand_as(masks)
    flat, on = maps.flatten(1).double(), masks.flatten(1)
    places, size, off_size = on.shape[1], on.sum(-1).clamp(min=1), (~on).sum(-1).clamp(min=1)
    total = (flat * on).sum(-1)
    masses = {
        "normalised": lambda: total / flat.sum(-1),
        "mean": lambda: total / size,
        "all": lambda: total / places,
        "beside": lambda: (flat * ~on).sum(-1),
        "rest": lambda: 1 - (flat * ~on).sum(-1),
        "lift": lambda: total * places / size,
        "minus": lambda: total - on.double().mean(-1),
        "largest": lambda: (flat * on).amax(-1),
        "uniform": lambda: on.double().mean(-1),
    }.get(mass, lambda: total)()
    pairs, difference = on[:, :, None] & ~on[:, None], flat[:, :, None] - flat[:, None]
    success = {
        "half": lambda: (difference.sign() + 1) / 2,
        "whole": lambda: difference >= 0,
        "smaller": lambda: difference < 0,
        "signed": lambda: difference.sign(),
    }.get(larger, lambda: difference > 0)()
    counts, numbers = (success * pairs).sum((1, 2)).double(), pairs.sum((1, 2))
    beside, inside = flat.masked_fill(on, -1.0), flat.masked_fill(~on, -1.0)
    middle = (total / size)[:, None]
    orders = {
        "all": lambda: counts / places**2,
        "two": lambda: counts / (places * (places - 1) / 2),
        "above all": lambda: (inside > beside.amax(-1, keepdim=True)).sum(-1) / size,
        "largest": lambda: ((inside.amax(-1, keepdim=True) > flat) & ~on).sum(-1) / off_size,
        "mean": lambda: ((middle > flat) & ~on).sum(-1) / off_size,
        "means": lambda: (middle[:, 0] > (flat * ~on).sum(-1) / off_size).double(),
        "count": lambda: counts,
        "words": lambda: (counts.sum() / numbers.sum().clamp(min=1)).expand_as(counts),
    }.get(order, lambda: counts / numbers.clamp(min=1))()
    if order != "words":
        orders = torch.where(numbers > 0, orders, without)
    return {
        "means": (masses.mean(), orders.mean()),
        "exchanged": (orders, masses),
        "mass": masses,
        "percent": (100 * masses, 100 * orders),
    }.get(give, (masses, orders))


MISTAKES["on_object"] = {
    "The mass is divided by the sum of the weights, as if none were missing.": {"mass": "normalised"},
    "The mass is a mean over the object's places, not a sum.": {"mass": "mean"},
    "The mass is a mean over all places, not a sum.": {"mass": "all"},
    "The mass beside the object is returned, not that on it.": {"mass": "beside"},
    "What lies beside the object is subtracted from 1, so the missing weight counts as on the object.": {
        "mass": "rest"
    },
    "The mass is divided by that of a uniform map.": {"mass": "lift"},
    "The mass of a uniform map is subtracted.": {"mass": "minus"},
    "The largest weight on the object is returned, not the sum.": {"mass": "largest"},
    "The mass is the share of the object in the picture: the weights have no effect on it.": {"mass": "uniform"},
    "Equal weights count half: a flat map gets points.": {"larger": "half"},
    "Equal weights count as a success: a flat map gets points.": {"larger": "whole"},
    "The order counts pairs in which the place beside the object has the larger weight.": {"larger": "smaller"},
    "The pairs in which the place beside the object has the larger weight are subtracted.": {"larger": "signed"},
    "The ordered pairs are divided by the square of the number of places.": {"order": "all"},
    "The ordered pairs are divided by the number of all pairs of two places.": {"order": "two"},
    "A place on the object counts only if its weight is larger than all weights beside it.": {"order": "above all"},
    "Only the largest weight on the object is compared with the places beside it.": {"order": "largest"},
    "The mean weight on the object is compared with the places beside it.": {"order": "mean"},
    "The order is 1 or 0: the mean weights on and beside the object are compared.": {"order": "means"},
    "The order is a number of pairs, not a share.": {"order": "count"},
    "The pairs of all words together are one share.": {"order": "words"},
    "Without a pair, the order is 1.": {"without": 1.0},
    "Without a pair, the order is not a number.": {"without": math.nan},
    "Rows and columns are exchanged.": {"axes": "exchanged"},
    "The object of the first word is taken for all words.": {"first": "mask"},
    "The means over all words are returned.": {"give": "means"},
    "Mass and order are returned in the wrong order.": {"give": "exchanged"},
    "The mass alone is returned, without the order.": {"give": "mass"},
    "Mass and order are in percent.": {"give": "percent"},
}
