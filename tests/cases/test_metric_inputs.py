"""What people hand to a metric: it is read where its meaning is certain, and otherwise one line says what is wanted."""

import math

import jaxtyping
import numpy as np
import pytest
import torch

from companion import metrics
from companion.decoding import Caption

CANDIDATES, REFERENCES = ["a dog runs", "two cats"], [["a dog runs fast", "a dog"], ["two cats"]]
FUNCTIONS = [
    metrics.bleu,
    metrics.rouge_l,
    metrics.cider_d,
    metrics.score,
    metrics.bleu_counts,
    *metrics.METRICS.values(),
]
each_function = pytest.mark.parametrize("metric", FUNCTIONS, ids=[getattr(f, "__name__", "") for f in FUNCTIONS])


@pytest.fixture(autouse=True)
def without_checks_of_annotations(monkeypatch):
    """Users have no jaxtyping: they see our own checks."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


class Series:
    """A column of a table, as in pandas: it has a length and an order, and its index is not 0, 1, 2."""

    def __init__(self, values):
        self.values = list(values)

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter(self.values)

    def __getitem__(self, key):
        raise KeyError(key)


class Table(Series):
    columns = ("comment_0", "comment_1")


class Missing:
    """The missing value of pandas' newer columns, which is neither true nor false."""

    def __repr__(self):
        return "<NA>"

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


READ = {
    "tuples": (tuple(CANDIDATES), tuple(map(tuple, REFERENCES))),
    "an array": (np.array(CANDIDATES), REFERENCES),
    "an array of objects": (np.array(CANDIDATES, dtype=object), REFERENCES),
    "references of an array": (CANDIDATES, [np.array(texts) for texts in REFERENCES]),
    "columns of a table": (Series(CANDIDATES), Series(map(Series, REFERENCES))),
    "values of dicts": (dict(enumerate(CANDIDATES)).values(), dict(enumerate(REFERENCES)).values()),
}


@pytest.mark.parametrize("name", READ)
def test_it_gives_the_same_scores(name):
    assert metrics.score(*READ[name]) == metrics.score(CANDIDATES, REFERENCES)
    assert metrics.bleu(*READ[name]) == metrics.bleu(CANDIDATES, REFERENCES)


def test_an_array_of_two_axes_holds_the_references_of_each_image_in_a_row():
    references = [["a dog", "dogs"], ["two cats", "cats"]]
    assert metrics.score(CANDIDATES, np.array(references)) == metrics.score(CANDIDATES, references)


NAN = float("nan")
REFUSED = {  # name: (candidates, references, message)
    "dicts, as pycocoevalcap takes them": ({1: ["a dog"]}, {1: ["a dog"]}, "is a dict, and a list of .* same order"),
    "a dict of candidates": (dict(enumerate(CANDIDATES)), REFERENCES, "candidates is a dict"),
    "a dict of references": (CANDIDATES, dict(enumerate(REFERENCES)), "references is a dict"),
    "lists of one, as pycocoevalcap's values": (
        [["a dog"], ["cats"]],
        REFERENCES,
        r"candidates\[0\] is \['a dog'\] of type list, and a string is wanted: join",
    ),
    "token lists, as NLTK takes them": (
        [["a", "dog"]],
        [[["a", "dog"]]],
        r"\[0\] is \['a', 'dog'\] of type list, and a string is wanted: join its words",
    ),
    "tokens of references": (["a dog"], [[["a", "dog"]]], r"references\[0\]\[0\] is \['a', 'dog'\]"),
    "tuples of tokens": ([("a", "dog"), "cats"], REFERENCES, r"candidates\[0\] is \('a', 'dog'\) of type tuple"),
    "arrays of tokens": ([np.array(["a", "dog"])] * 2, REFERENCES, r"candidates\[0\] is array.*ndarray.* join"),
    "NaN among the references": (["a dog"], [["a", NAN]], r"references\[0\]\[1\] is nan of type float.* missing"),
    "NaN among the candidates": (["a dog", NAN], REFERENCES, r"candidates\[1\] is nan of type float.* missing"),
    "NaN of NumPy": (["a dog", np.float64("nan")], REFERENCES, r"candidates\[1\] .* missing caption"),
    "NaN in place of references": (CANDIDATES, [["a"], NAN], r"references\[1\] is nan of type float.* list of strings"),
    "None among the candidates": ([None, "cats"], REFERENCES, r"candidates\[0\] is None .* missing caption"),
    "pandas' NA": (["cats", Missing()], REFERENCES, r"candidates\[1\] is <NA> .* missing caption"),
    "numbers": ([3, "cats"], REFERENCES, r"candidates\[0\] is 3 of type int, and a string is wanted"),
    "a number among the references": (CANDIDATES, [["a"], [2.5]], r"references\[1\]\[0\] is 2.5 of type float"),
    "a number": (3, REFERENCES, "candidates is 3 of type int, and a list of strings is wanted"),
    "nothing": (None, REFERENCES, "candidates is None of type NoneType"),
    "no references": (CANDIDATES, None, "references is None of type NoneType"),
    "bytes": ([b"a dog", b"cats"], REFERENCES, r"candidates\[0\] is b'a dog' of type bytes.* decode"),
    "bytes of NumPy": (np.array([b"a dog", b"cats"]), REFERENCES, r"candidates\[0\] .* decode"),
    "one bytes": (b"a dog", REFERENCES, "candidates is b'a dog' of type bytes, and a list"),
    "bytes among the references": (CANDIDATES, [["a"], [b"cats"]], r"references\[1\]\[0\] .* decode"),
    "a generator": ((c for c in CANDIDATES), REFERENCES, r"candidates is .* generator.*: list\(candidates\)"),
    "a generator of references": (CANDIDATES, iter(REFERENCES), r"references is .*: list\(references\)"),
    "a generator of an image's references": (CANDIDATES, [["a"], map(str, "bc")], r"references\[1\] is .* type map"),
    "a set": (set(CANDIDATES), REFERENCES, "candidates is .* of type set, and a list"),
    "a table": (CANDIDATES, Table(REFERENCES), "references is a Table, and a list"),
    "a tensor": (torch.zeros(2), REFERENCES, r"candidates\[0\] is tensor"),
    "an array without axes": (np.array("a dog"), REFERENCES, "candidates is .* type ndarray, and a list"),
    "captions of the model": (
        [Caption(("a", "dog"), -1.0, torch.zeros(2, 4))] * 2,
        REFERENCES,
        r"candidates\[0\] is Caption.*: take its text",
    ),
    "the two exchanged": (
        [["a dog"], ["cats"]],
        ["a dog", "cats"],
        r"references\[0\] is the string 'a dog'|candidates",
    ),
    "a very long string": ("dog " * 10_000, REFERENCES, "candidates is the string 'dog"),
    "a very long list": ([list("word" * 10_000)] * 2, REFERENCES, r"candidates\[0\] is \['w'"),
    "lines": (["a", ["a\nb", "c"]], REFERENCES, r"candidates\[1\] is \['a\\nb', 'c'\]"),
    "infinity": ([math.inf, "a"], REFERENCES, r"candidates\[0\] is inf of type float"),
}


@each_function
@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused_with_one_line_that_says_what_was_given(metric, name):
    candidates, references, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as error:
        metric(candidates, references)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("name", ["a dict of references", "NaN among the references", "a number among the references"])
def test_references_that_are_counted_in_advance_are_checked_too(name):
    _, references, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        metrics.References(references)
