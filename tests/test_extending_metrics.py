"""A new metric takes one file and one line; scores, log and card then have it, and the laws of every metric hold."""

import functools
import importlib.util
import json

import pytest
import torch

from companion import cli, metrics, scenes, tasks
from companion.decoding import Caption
from tests import test_metrics

TOY_METRIC = '''
"""A toy metric: the share of a candidate's words that one of its references has, the largest over the references."""

from companion.metrics.references import tokenized_pairs


def score_word_precision(candidates, references):
    words, references = tokenized_pairs(candidates, references)
    each = [
        max(sum(word in other for word in candidate) for other in others) / max(len(candidate), 1)
        for candidate, others in zip(words, references.words, strict=True)
    ]
    return {"word_precision": sum(each) / len(each)}
'''


def laws_of_every_metric():
    """Return the tests of `test_metrics` that are parametrised by the name of a metric, with their other arguments."""
    laws = []
    for law in vars(test_metrics).values():
        marks = dict(mark.args for mark in getattr(law, "pytestmark", []) if mark.name == "parametrize")
        if marks.pop("name", None) is metrics.METRICS:
            rows = [{}]
            for names, values in marks.items():
                rows = [dict(zip(names, row, strict=True)) for row in values]
            laws += [(law, row) for row in rows]
    return laws


@pytest.fixture
def toy_registered(tmp_path, monkeypatch):
    """The toy metric is in the registry: its file was imported, and the one line was run."""
    file = tmp_path / "toy_metric.py"
    file.write_text(TOY_METRIC)
    spec = importlib.util.spec_from_file_location("toy_metric", file)
    toy_metric = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(toy_metric)
    monkeypatch.setitem(metrics.METRICS, "word_precision", metrics.Metric(toy_metric.score_word_precision))


@pytest.mark.parametrize(("law", "arguments"), laws_of_every_metric())
def test_a_registered_metric_keeps_the_laws_of_every_metric(toy_registered, law, arguments):
    law(name="word_precision", **arguments)


def test_the_laws_of_every_metric_are_found():
    """Six laws, and five pairs of candidates and references to refuse."""
    assert len(laws_of_every_metric()) == 11


def test_a_registered_metric_is_among_the_scores_and_on_the_card(toy_registered):
    """Generated captions are replaced by words that the references have, and by words that they do not have."""
    world = scenes.make_dataset("test", 10)
    lines = [scene.captions[0].text if i % 2 else "xylophone" for i, scene in enumerate(world)]
    maps = torch.full((8, 8), 1 / 64)
    captions = [Caption(tuple(line.split()), -1.0, maps.expand(len(line.split()), 8, 8)) for line in lines]
    scores, card = tasks.scenes.score(captions, world), tasks.scenes.scene_card(captions, world)
    assert scores["word_precision"] == 0.5
    assert card["metrics"] == scores


def test_a_registered_metric_is_printed_by_the_command(toy_registered, monkeypatch, capsys):
    """On three scenes, not on the usual thousand."""
    monkeypatch.setattr(tasks.scenes, "evaluate", functools.partial(tasks.scenes.evaluate, count=3))
    assert cli.main(["evaluate", "scenes", "--beam", "1", "--json"]) == 0
    assert 0 <= json.loads(capsys.readouterr().out)["word_precision"] <= 1
