"""The machinery itself: it finds what a guard names, says so if it is gone, and reaches every name it goes by."""

import pytest

import companion.checkpoints
import companion.training
from tests.faults.injection import Guard, assert_refused, remove_guards, resolve


@pytest.mark.parametrize(
    ("place", "module", "owner"),
    [
        ("files.atomic_write", "companion.files", "companion.files"),
        ("datasets.images.load_image", "companion.datasets.images", "companion.datasets.images"),
        ("training.loop.fit", "companion.training.loop", "companion.training.loop"),
        ("checkpoints.io.save", "companion.checkpoints.io", "companion.checkpoints.io"),
        ("vocabulary.Vocabulary.load", "companion.vocabulary", "Vocabulary"),
        ("training.batches.CaptionBatches.__len__", "companion.training.batches", "CaptionBatches"),
    ],
)
def test_the_longest_importable_prefix_of_a_place_is_its_module_and_the_rest_are_attributes(place, module, owner):
    its_module, its_owner, name = resolve(place)
    assert (its_module.__name__, its_owner.__name__) == (module, owner)
    assert hasattr(its_owner, name)


def test_a_guard_is_removed_under_every_name_that_has_been_imported(monkeypatch):
    """`training.fit` is `training.loop.fit`, and `Vocabulary` and `checkpoints` have imported `files.atomic_write`."""
    monkeypatch.setattr(companion.training, "fit", companion.training.loop.fit)
    guards = [Guard("training.loop.fit", "", "lambda *_, **__: 1"), Guard("files.atomic_write", "", "print")]
    remove_guards(guards, monkeypatch.setattr)
    assert companion.training.fit() == 1
    assert companion.checkpoints.io.atomic_write is companion.vocabulary.atomic_write is print
    monkeypatch.undo()
    assert companion.training.fit is companion.training.loop.fit
    assert companion.checkpoints.io.atomic_write is companion.files.atomic_write


@pytest.mark.parametrize("text", ["no such line", "path"])
def test_a_text_that_does_not_occur_exactly_once_is_no_guard(text, monkeypatch):
    with pytest.raises(AssertionError, match=r"files\.atomic_write holds .* times: has the guard moved"):
        remove_guards([Guard("files.atomic_write", text, "")], monkeypatch.setattr)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (None, "accepted"),
        (KeyError("x"), "broken: KeyError"),
        (ValueError("another reason"), "refused, but not for this: another reason"),
        (ValueError("the reason\nin two lines"), "in more than one line"),
    ],
)
def test_only_one_line_with_the_reason_is_a_refusal(error, message):
    def call():
        if error:
            raise error

    with pytest.raises(AssertionError, match=message):
        assert_refused(call, "the reason")
