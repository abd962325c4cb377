"""Statements: facts are counted and checked one by one, and a class of words that vanishes is noticed."""

import pytest

from companion import scenes
from companion.metrics import statements
from companion.metrics.statements import Fact, Truth

TWO = scenes.render_scene(
    [scenes.scene_object("a small red circle", 20, 12), scenes.scene_object("a large striped blue star", 24, 46)]
)
ALIKE = scenes.render_scene(
    [scenes.scene_object("a red circle", 20, 14), scenes.scene_object("a red circle", 20, 44, radius=7)]
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a red circle and a blue star", [("object", True), ("object", True)]),
        ("a green circle", [("object", False)]),
        ("a small red circle", [("object", True), ("size", True)]),
        ("a large red circle", [("object", True), ("size", False)]),
        ("a plain blue star", [("object", True), ("texture", False)]),
        ("two red circles", [("object", True), ("number", False)]),
        ("a red circle is left of a blue star", [("object", True), ("object", True), ("left of", True)]),
        ("a blue star is to the left of a red circle", [("object", True), ("object", True), ("left of", False)]),
        ("a large red circle is under a blue star",
         [("object", True), ("size", False), ("object", True), ("below", False)]),
        ("a red circle contains a green star", [("object", True), ("object", False), ("inside", False)]),
        ("red red", []),
        ("", []),
    ],
)  # fmt: skip
def test_each_fact_of_a_caption_is_checked_alone(line, expected):
    assert list(statements.facts(line, TWO)) == [Fact(*fact) for fact in expected]


def test_a_wrong_size_does_not_make_a_relation_false():
    """The size and the relation are two facts, though the caption as a whole is false."""
    line = "a large red circle is left of a blue star"
    assert not scenes.is_true(line, TWO)
    assert Fact("left of", True) in list(statements.facts(line, TWO))


def test_a_phrase_that_is_wrong_does_not_make_the_relation_of_two_others_false():
    line = "a red circle is left of a blue star and there is a green heart"
    assert [fact for fact in statements.facts(line, TWO) if not fact.is_true] == [Fact("object", False)]


@pytest.mark.parametrize(("line", "right"), [("two red circles", True), ("three red circles", False)])
def test_numbers_are_facts_where_objects_are_alike(line, right):
    assert list(statements.facts(line, ALIKE))[1] == Fact("number", right)


def test_which_scenes_have_a_clear_relation_and_which_objects_alike():
    assert statements.has_clear_relation(TWO)
    assert not statements.has_clear_relation(ALIKE)  # one group: there is nothing to relate
    assert statements.has_alike_objects(ALIKE)
    assert not statements.has_alike_objects(TWO)


def test_references_state_true_facts_and_no_word_of_theirs_vanishes(world):
    world = world[:200]
    lines = [scene.captions[i % 5].text for i, scene in enumerate(world)]
    truths = statements.truth_by_fact(lines, world)
    assert set(truths) == {"object", "number", "size", "texture", *scenes.RELATIONS}
    assert all(truth.rate == 1 for truth in truths.values())
    assert all(truth.rate == 1 for truth in statements.truth_by_form(lines, world).values())
    rates = statements.stated_rates(lines, world)
    assert list(rates) == list(statements.STATED_CLASSES)
    assert all(abs(r.captions - r.references) < 0.1 for each in rates.values() for r in each)
    every = [reference.text for scene in world for reference in scene.captions]
    assert statements.vanished(every, world) == []


def test_lists_are_true_and_yet_most_classes_of_words_have_vanished(world):
    """What a reward for truth alone led to: the truth rate is perfect, and only the statements show what is gone."""
    world = [scene for scene in world[:200] if len(scene.objects) == 2 and not statements.has_alike_objects(scene)]
    lines = [" and ".join(f"a {o.colour} {o.shape}" for o in scene.objects) for scene in world]
    assert all(map(scenes.is_true, lines, world))
    gone = set(statements.vanished(lines, world))
    assert {"left", "right", "above", "below", "small", "large", "striped"} <= gone
    scores = statements.score_statements(lines, world)
    assert scores["states_relation"] == scores["states_size"] == 0
    assert statements.truth_by_form(lines, world) == {"list": Truth(len(world), len(world))}


def test_statement_scores_are_over_the_scenes_that_allow_them():
    lines, world = ["a red circle is left of a blue star", "a red circle"], [TWO, ALIKE]
    scores = statements.score_statements(lines, world)
    assert scores["states_relation"] == 1.0  # of one scene with a relation
    assert scores["states_number"] == 0.0  # of one scene with objects alike
    assert scores["truth_directional"] == scores["truth_left_of"] == 1.0
    assert scores["truth_above"] == 0.0  # none was stated
    assert (scores["distinct_openings"], scores["words_used"]) == (1.0, 8.0)
