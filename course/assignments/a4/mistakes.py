"""The right functions of A4 with knobs, and the sentence of each mistake that a knob makes."""

import math
from collections import defaultdict
from itertools import pairwise

import torch

REFERENCES = {}
MISTAKES = {}
NEVER = -math.inf


def reference(function):
    """Register the right function of a question under its name."""
    REFERENCES[function.__name__] = function
    return function


def found(ids, by, which):
    """Return the ids that may not come behind these."""
    last, pairs = ids[-1], list(pairwise(ids))
    if which == "no overlap":
        pairs = pairs[:-1]
    if which == "ring":
        pairs.append((last, ids[0]))
    forbidden = {
        "pair": lambda: [b for a, b in pairs if a == last],
        "used": lambda: ids,
        "last": lambda: [last],
        "reversed": lambda: [a for a, b in pairs if b == last],
        "either": lambda: [b for a, b in pairs if a == last] + [a for a, b in pairs if b == last],
        "before": lambda: [b for a, b in pairs if a == ids[-2]],
        "itself": lambda: [a for a, b in pairs if a == last],
        "triple": lambda: [c for (a, b), (_, c) in pairwise(pairs) if [a, b] == ids[-2:]],
        "any": lambda: [b for _, b in pairs],
        "twice": lambda: [b for a, b in pairs if a == last and pairs.count((a, b)) > 1],
    }[by]()
    return {"first": forbidden[:1], "latest": forbidden[-1:]}.get(which, forbidden)


@reference
def used_pairs(words, vocabulary, *, by="pair", which="all", share="own", give="mask"):
    forbidden = torch.zeros(len(words), vocabulary, dtype=torch.bool)
    for row, ids in enumerate(words.tolist()):
        forbidden[row, found(ids, by, which)] = True
    if share == "all":
        forbidden = forbidden.any(0).expand(len(words), -1)
    if share == "first":
        forbidden = forbidden[:1].expand(len(words), -1)
    return {
        "allowed": ~forbidden,
        "end": forbidden | (torch.arange(vocabulary) == 1),
        "everything": torch.ones_like(forbidden),
        "positions": words == words[:, -1:],
        "transposed": forbidden.T,
    }.get(give, forbidden)


MISTAKES["used_pairs"] = {
    "Every word that occurs in the hypothesis is forbidden, whatever stands before it.": {"by": "used"},
    "Only the last word is forbidden, and pairs have no effect.": {"by": "last"},
    "The pairs are reversed: forbidden is what stands before the last word, not what stands behind it.": {
        "by": "reversed"
    },
    "The order in a pair has no effect: forbidden is also what stands before the last word.": {"by": "either"},
    "The pairs of the last word but one are forbidden, not those of the last.": {"by": "before"},
    "Where the last word occurs before, it is itself forbidden, not the word behind it.": {"by": "itself"},
    "Only triples of words are found, not pairs.": {"by": "triple"},
    "The words behind any word are forbidden, not only those behind the last one.": {"by": "any"},
    "A pair is forbidden only after it has occurred twice.": {"by": "twice"},
    "Only the first occurrence of the last word counts.": {"which": "first"},
    "Only the latest occurrence of the last word counts.": {"which": "latest"},
    "The pair at the end of the hypothesis is missing: pairs may overlap.": {"which": "no overlap"},
    "The last word and the first are taken for a pair.": {"which": "ring"},
    "The pairs of all hypotheses are forbidden in each.": {"share": "all"},
    "The pairs of the first hypothesis are forbidden in all.": {"share": "first"},
    "The mask is the wrong way round: it is True where a word is allowed.": {"give": "allowed"},
    "The word <end> is forbidden everywhere.": {"give": "end"},
    "Every word is forbidden.": {"give": "everything"},
    "The columns are positions of the hypothesis, not words of the vocabulary.": {"give": "positions"},
    "Hypotheses and vocabulary are exchanged.": {"give": "transposed"},
}


@reference
def advance(totals, ended, log_p, width, siblings, *, end="one", limit="hypothesis", more=0, add="totals", index="//",
            order="best", give="all"):  # fmt: skip
    table = log_p.clone()
    done = ended[:, None].expand_as(table)
    if end not in ("goes on", "free"):
        table = table.masked_fill(done, NEVER)
    if end == "free":
        table = table.masked_fill(done, 0.0)
    if end in ("one", "pays", "zero", "restarts"):
        table[ended, 0 if end == "zero" else 1] = log_p[ended, 1] if end == "pays" else 0.0
    if end == "restarts":
        totals = totals.masked_fill(ended, 0.0)
    if limit in ("hypothesis", "word"):
        axis = 0 if limit == "word" else -1
        ranked = totals[:, None] + table
        rank = ranked.argsort(axis, descending=True).argsort(axis)
        table = table.masked_fill(rank >= siblings + more, NEVER)
    own = {
        "totals": lambda: totals[:, None] + table,
        "word": lambda: table,
        "product": lambda: totals[:, None] * table,
        "probabilities": lambda: totals[:, None].exp() + table.exp(),
        "mean": lambda: (totals[:, None] + table) / 2,
    }[add]()
    if order == "each":
        best = own.max(-1)
        return torch.arange(len(totals)), best.indices, best.values
    flat = own.flatten()
    if order == "worst":
        chosen = flat.masked_fill(flat == NEVER, math.inf).topk(width, largest=False).indices
    else:
        chosen = flat.topk(width).indices
    if limit == "late":
        parents = (chosen // log_p.shape[1]).tolist()
        chosen = chosen[[i for i, p in enumerate(parents) if parents[:i].count(p) < siblings]]
    if order == "reversed":
        chosen = chosen.flip(0)
    if order == "parents":
        chosen = chosen.sort().values
    by = {"width": width, "hypotheses": len(log_p)}.get(index, log_p.shape[1])
    parents, words, kept = chosen // by, chosen % by, flat[chosen]
    return {
        "quotients": (chosen / by, words, kept),
        "flat": (parents, chosen, kept),
        "words first": (words, parents, kept),
        "totals first": (kept, parents, words),
        "word totals": (parents, words, table.flatten()[chosen]),
        "no totals": (parents, words),
    }.get(give, (parents, words, kept))


MISTAKES["advance"] = {
    "The indices of the hypotheses are not whole: they come from a division with a remainder left in it.": {
        "give": "quotients"
    },
    "The place in the flattened table is divided by the width, not by the size of the vocabulary.": {"index": "width"},
    "The place in the flattened table is divided by the number of hypotheses, not by the size of the vocabulary.": {
        "index": "hypotheses"
    },
    "The new words are places in the flattened table, not ids.": {"give": "flat"},
    "New words and indices of the hypotheses are returned in the wrong order.": {"give": "words first"},
    "The totals are returned first.": {"give": "totals first"},
    "The totals are not returned.": {"give": "no totals"},
    "The limit on siblings has no effect.": {"limit": "none"},
    "One sibling too many is kept.": {"more": 1},
    "One sibling too few is kept.": {"more": -1},
    "The limit on siblings comes after the choice of the best, so fewer than `width` are left.": {"limit": "late"},
    "At most `siblings` hypotheses are continued by the same word: the limit runs along the wrong axis.": {
        "limit": "word"
    },
    "The totals of the hypotheses have no effect: only the new words are ranked.": {"add": "word"},
    "Log-probabilities are multiplied.": {"add": "product"},
    "Probabilities are added.": {"add": "probabilities"},
    "The totals are means of two log-probabilities.": {"add": "mean"},
    "Complete hypotheses are continued by further words.": {"end": "goes on"},
    "Complete hypotheses pay for the word 1.": {"end": "pays"},
    "Complete hypotheses are dropped.": {"end": "dropped"},
    "Complete hypotheses are continued by every word at no cost.": {"end": "free"},
    "Complete hypotheses are continued by the word 0.": {"end": "zero"},
    "The totals of complete hypotheses are replaced by 0.": {"end": "restarts"},
    "The worst continuations are kept.": {"order": "worst"},
    "The continuations are in the reverse order.": {"order": "reversed"},
    "The continuations are in the order of the hypotheses, not of their totals.": {"order": "parents"},
    "Each hypothesis is continued by its own best word: the continuations are not ranked together.": {"order": "each"},
    "The totals that are returned are those of the new words alone.": {"give": "word totals"},
}


@reference
def rewarded_search(log_p, width, reward, *, count="words", sign=1.0, rank="score", length="reward", keep="all",
                    stop="all", complete="stay", block="pairs", longest=0, add="sum", row="last",
                    give="both"):  # fmt: skip
    tables, max_words = log_p.double().tolist(), len(log_p) - 1

    def score(hypothesis):
        ids, total = hypothesis
        words = {"end": sum(i > 0 for i in ids), "start": sum(i != 1 for i in ids), "once": 1}.get(
            count, sum(i > 1 for i in ids)
        )
        if add == "P":
            total = math.exp(total)
        if add == "underflow":
            total = math.log(total) if total > 0 else NEVER
        if length == "power":
            return total / max(words, 1) ** reward
        return (total / max(len(ids) - 1, 1) if length == "mean" else total) + sign * reward * words

    def extended(hypothesis):
        ids, total = hypothesis
        position = min(0 if row == "first position" else len(ids) - 1, max_words)
        own = tables[position][0 if row == "first" else ids[-1]]
        taken = {
            "pairs": [b for a, b in pairwise(ids) if a == ids[-1]],
            "words": ids,
            "same": ids[-1:],
        }.get(block, [])
        possible = [i for i, p in enumerate(own) if p > NEVER and i not in taken]
        if longest is not None and len(ids) > max_words + longest:
            possible = [1]
        return [
            ([*ids, i], {"product": total * own[i], "last": own[i], "underflow": total * math.exp(own[i])}.get(
                add, total + (0.0 if add == "free end" and i == 1 else own[i])
            ))
            for i in possible
        ]  # fmt: skip

    def is_complete(hypothesis):
        return hypothesis[0][-1] == 1

    beam, aside = [([0], 1.0 if add in ("product", "underflow") else 0.0)], []
    for _ in range(max_words + 1 + (longest or 0)):
        longer = []
        for hypothesis in beam:
            if not is_complete(hypothesis):
                longer += extended(hypothesis)
            elif complete == "stay":
                longer.append(hypothesis)
        if not longer:
            break
        longer.sort(key=score if rank == "score" else lambda h: h[1], reverse=True)
        if complete == "aside":
            aside += [h for h in longer[:width] if is_complete(h)]
            longer = [h for h in longer if not is_complete(h)]
        if keep == "each":
            children = defaultdict(list)
            for hypothesis in longer:
                children[tuple(hypothesis[0][:-1])].append(hypothesis)
            beam = sorted((h for some in children.values() for h in some[:width]), key=score, reverse=True)
        else:
            beam = longer[: 1 if keep == "one" else width]
        if block == "late":
            beam = [h for h in beam if len(set(pairwise(h[0]))) == len(h[0]) - 1]
        if stop == "first" and any(map(is_complete, beam)):
            beam = [h for h in beam if is_complete(h)][:1]
        if all(map(is_complete, beam)) or (stop == "best" and is_complete(beam[0])):
            break
    best = (min if keep == "worst" else max)(aside or beam, key=score)
    ids, value = best[0][1:], score(best)
    full = ids + [1] * (max_words + 1 - len(ids))
    return {
        "start": ([0, *full[:-1]], value),
        "zeros": ([i if i > 1 else 0 for i in full], value),
        "short": (ids, value),
        "words": (ids[:-1], value),
        "log P": (full, best[1]),
        "score first": (value, full),
        "ids": full,
    }.get(give, (full, value))


MISTAKES["rewarded_search"] = {
    "The reward is subtracted.": {"sign": -1.0},
    "The reward has no effect.": {"sign": 0.0},
    "<end> is rewarded like a word.": {"count": "end"},
    "<start> is rewarded like a word.": {"count": "start"},
    "There is one reward for a caption, not one for each word.": {"count": "once"},
    "The beam is ranked by the log-probability; the reward counts only at the end.": {"rank": "log P"},
    "The score that is returned lacks the reward.": {"give": "log P"},
    "The log-probability is divided by a power of the length.": {"length": "power"},
    "The log-probability is divided by the length before the reward is added.": {"length": "mean"},
    "This is greedy search: the width has no effect.": {"keep": "one"},
    "Each hypothesis keeps its best `width` continuations: they are not ranked together.": {"keep": "each"},
    "The search stops at the first complete hypothesis.": {"stop": "first"},
    "The search stops as soon as the best hypothesis is complete, though others can still overtake it.": {
        "stop": "best"
    },
    "Complete hypotheses leave the beam and make room for others.": {"complete": "aside"},
    "Complete hypotheses are dropped, and only the last ones are left.": {"complete": "dropped"},
    "A pair may be repeated.": {"block": "none"},
    "No word may occur twice, not only no pair.": {"block": "words"},
    "A word may not follow itself; pairs have no effect.": {"block": "same"},
    "Repeated pairs are removed after the choice of the best, so the beam gets too narrow.": {"block": "late"},
    "<end> is not forced at the last position.": {"longest": None},
    "One word too few is possible.": {"longest": -1},
    "<start> is among the ids.": {"give": "start"},
    "The ids are filled up with 0, not with <end>.": {"give": "zeros"},
    "The ids are not filled up with <end>.": {"give": "short"},
    "The ids end before <end>, and are not filled up with it.": {"give": "words"},
    "The last hypothesis of the beam is returned, not the best.": {"keep": "worst"},
    "The log-probabilities are multiplied, not added.": {"add": "product"},
    "Only the log-probability of the last word is in the score.": {"add": "last"},
    "The probability is in the score, not its logarithm.": {"add": "P"},
    "The probabilities are multiplied, and the product of many small ones becomes 0.": {"add": "underflow"},
    "<end> costs nothing.": {"add": "free end"},
    "The row of <start> is used for all words.": {"row": "first"},
    "The first position of the table is used for all.": {"row": "first position"},
    "The score is returned first.": {"give": "score first"},
    "The ids alone are returned, without the score.": {"give": "ids"},
}
