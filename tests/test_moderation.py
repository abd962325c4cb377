"""Moderation: what a policy may say, what it finds in a caption and its tags, and the queue, which decides nothing.

The captions are stubs: the words of the file's name. No model runs.
"""

import csv
import html.parser
import io
import json
import os
import shutil

import pytest
import torch
from PIL import Image

from benchmarks import moderation as measured
from companion import cli, scenes
from companion.apps import index as index_module
from companion.apps import moderation, policy, review_pages
from companion.apps.word_forms import english_forms
from companion.decoding import Caption, Tag
from companion.metrics import detection
from companion.tokenizer import ENGLISH, TOKENIZERS
from companion.vocabulary import SPECIALS, Vocabulary
from tests.captioners import WHOLE_PICTURE
from tests.helpers import small_captioner

RULE = 'name = "animals"\nreason = "A person looks at animals."\n'
FULL = f"""
[[rule]]
{RULE}
words = ["dogs", "Striped Cat"]
relations = ["a dog next to the child", "anything inside a box"]
unless = ["toy"]
least_probability = 0.3
tags = {{dog = 0.6, cat = 1}}
least_objects = 3
"""


def write_policy(folder, text):
    path = folder / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return path


def rules_of(tmp_path, *bodies):
    """Return the rules of bodies, each of which gets a name, r1, r2, ..., and a reason."""
    text = "".join(f'[[rule]]\nname = "r{i}"\nreason = "x"\n{body}\n' for i, body in enumerate(bodies, start=1))
    return policy.read_policy(write_policy(tmp_path, text))


def found(rules, line, tags=(), **options):
    """Return the rules that fire, each with what it found."""
    findings = moderation.find(rules, ENGLISH.tokenize(line), tags, **options)
    return [(each.rule, each.source, each.found) for each in findings.reported]


# -- the policy -------------------------------------------------------------------------------------------------------


def test_every_key_of_a_rule_is_read(tmp_path):
    (rule,) = policy.read_policy(write_policy(tmp_path, FULL))
    assert rule == policy.Rule(
        "animals",
        "A person looks at animals.",
        (("dogs",), ("striped", "cat")),
        {"dog": 0.6, "cat": 1.0},
        (policy.Relation(("dog",), "near", ("child",)), policy.Relation((), "inside", ("box",))),
        3,
        (("toy",),),
        0.3,
    )
    assert [str(relation) for relation in rule.relations] == ["dog near child", "anything inside box"]


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ('wrods = ["dog"]', ["'animals'", "key wrods", "no such key", "words"]),
        ("", ["'animals'", "looks for nothing"]),
        ('unless = ["dog"]', ["'animals'", "looks for nothing"]),
        ('words = "dog"', ["'animals'", "key words", "'dog'", "list"]),
        ("words = []", ["key words", "at least one"]),
        ('words = ["!"]', ["key words", "'!'", "no word"]),
        ('words = ["dog"]\nleast_probability = 1.5', ["key least_probability", "1.5", "0 to 1"]),
        ('words = ["dog"]\nleast_probability = nan', ["key least_probability", "nan"]),
        ('words = ["dog"]\nleast_probability = true', ["key least_probability", "True"]),
        ("tags = {unicorn = 0.5}", ["key tags", "'unicorn'"]),
        ('tags = {dog = "high"}', ["key tags.dog", "'high'"]),
        ("tags = {}", ["key tags", "dog = 0.6"]),
        ('tags = ["dog"]', ["key tags", "table"]),
        ('relations = ["dog child"]', ["key relations", "'dog child'", "near"]),
        ('relations = ["near child"]', ["key relations", "'near child'"]),
        ('relations = ["dog near"]', ["key relations", "'dog near'"]),
        ("least_objects = 0", ["key least_objects", "0"]),
        ("least_objects = 2.5", ["key least_objects", "2.5"]),
    ],
)
def test_a_wrong_rule_is_one_line_that_names_file_rule_and_key(tmp_path, body, parts):
    path = write_policy(tmp_path, f"[[rule]]\n{RULE}{body}\n")
    with pytest.raises(ValueError, match=r"policy\.toml") as error:
        policy.read_policy(path)
    assert "\n" not in str(error.value)
    assert [part for part in parts if part not in str(error.value)] == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no rule"),
        ("rule = []", "no rule"),
        ("rule = 3", "no rule"),
        ('[[rules]]\nname = "a"', "'rules'"),
        (f'title = "x"\n[[rule]]\n{RULE}words = ["dog"]', "'title'"),
        ("[[rule]\n", "line 1"),
        ('[[rule]]\nreason = "x"\nwords = ["dog"]', "rule number 1, key name"),
        ('[[rule]]\nname = "x"\nwords = ["dog"]', "rule 'x', key reason"),
        (f'[[rule]]\n{RULE}words = ["a"]\n[[rule]]\n{RULE}words = ["b"]', "rule 'animals', key name: another"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(tmp_path, text, part):
    with pytest.raises(ValueError, match=r"policy\.toml") as error:
        policy.read_policy(write_policy(tmp_path, text))
    assert part in str(error.value)


def test_a_policy_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.toml: the policy cannot be read"):
        policy.read_policy(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"bytes\.toml: not a policy in TOML"):
        policy.read_policy(tmp_path / "bytes.toml")


def test_a_condition_that_the_captioner_can_never_fulfil_is_refused(tmp_path):
    tags, objects = rules_of(tmp_path, "tags = {dog = 0.5}", "least_objects = 2")
    policy.check_policy([tags], {"task": "photos", "tags": True})
    policy.check_policy([objects], {"task": "scenes"})
    with pytest.raises(ValueError, match="'r1', key tags"):
        policy.check_policy([tags], {"task": "photos"})
    with pytest.raises(ValueError, match="'r2', key least_objects"):
        policy.check_policy([objects], {"task": "photos", "tags": True})


def test_words_that_the_captioner_does_not_know_are_named_and_other_forms_count_as_known(tmp_path):
    rules = rules_of(tmp_path, 'words = ["dog", "gun"]', 'relations = ["children near knife"]\nunless = ["zebra"]')
    vocabulary = Vocabulary([*SPECIALS, "dogs", "child"])
    assert policy.blind_words(rules, vocabulary) == {"r1": ["gun"], "r2": ["knife"]}


# -- what it finds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("dog", "dog dogs"),
        ("dogs", "dog dogs"),
        ("knife", "knife knives"),
        ("women", "woman women"),
        ("run", "run runs running"),
        ("ride", "ride rides riding"),
        ("carry", "carry carries carried carrying"),
        ("see", "see sees seeing"),
        ("visit", "visit visits visited visiting"),
    ],
)
def test_singular_plural_and_regular_verbs_are_forms_of_a_word(word, forms):
    assert set(forms.split()) <= english_forms(word)
    assert not english_forms(word) & {"cat", "cats", "dogfish"}


def test_every_word_has_forms_and_is_one_of_them():
    for word in ("a", "y", "x", "'s", "42", "t-shirt", "é"):
        assert word in english_forms(word)


def test_words_are_found_in_order_and_in_other_languages_as_they_are(tmp_path):
    rules = rules_of(tmp_path, 'words = ["fire truck"]', 'words = ["dog"]')
    assert found(rules, "two dogs near fire trucks") == [("r1", "word", "fire truck"), ("r2", "word", "dog")]
    assert found(rules, "a truck on fire and a hotdog") == []
    (rule,) = policy.read_policy(tmp_path / "policy.toml", TOKENIZERS["de"])[1:]
    assert moderation.find([rule], ["zwei", "dogs"], tokenizer=TOKENIZERS["de"]).reported == ()


@pytest.mark.parametrize(
    ("relation", "line", "fires"),
    [
        ("dog near child", "a dog sits next to a small child", True),
        ("dog near child", "a child next to a brown dog", True),
        ("dog near child", "a dog and a child", False),
        ("dog near anything", "a dog by the sea", True),
        ("dog on couch", "two dogs on top of a couch", True),
        ("dog on couch", "a couch on a dog", False),
        ("man in front of car", "a man in front of a car", True),
        ("man inside car", "a man in front of a car", False),
        ("dog near child", "a dog runs over the wet green grass and far away a man is near a child", False),
        ("red star left of anything", "a small red star is left of a blue heart", True),
        ("red star left of anything", "a blue heart is to the right of two red stars", True),
        ("red star left of anything", "a blue heart is left of a red star", False),
        ("blue heart near red star", "a red star is above a striped blue heart", True),
        ("anything inside anything", "a red star contains a blue heart", True),
        ("blue heart inside star", "a red star contains a blue heart", True),
        ("red star near anything", "a red star is inside a blue heart", False),
        ("red star near anything", "a red star and a blue heart", False),
    ],
)
def test_a_relation_is_read_from_the_parse_of_a_scene_and_from_the_words_of_free_text(tmp_path, relation, line, fires):
    (rule,) = rules_of(tmp_path, f'relations = ["{relation}"]')
    assert bool(found([rule], line)) == fires


def test_several_words_stand_in_one_phrase_of_a_scene_in_any_order(tmp_path):
    (rule,) = rules_of(tmp_path, 'words = ["striped heart"]')
    assert found([rule], "two small striped red hearts and a star")
    assert not found([rule], "a striped star and a red heart")


def test_objects_are_counted_in_captions_of_scenes(tmp_path, world):
    (rule,) = rules_of(tmp_path, "least_objects = 3")
    for scene in world[:50]:
        line = scene.captions[0].text
        assert scenes.is_exact(line, scene)
        assert bool(found([rule], line)) == (len(scene.objects) >= 3)
    assert not found([rule], "three dogs and three cats play")


def test_a_tag_needs_its_confidence_and_nothing_of_the_caption(tmp_path):
    (rule,) = rules_of(tmp_path, 'tags = {dog = 0.5}\nwords = ["wolf"]\nleast_probability = 0.9')
    sure, unsure, other = (
        Tag(word, odds, True, WHOLE_PICTURE) for word, odds in (("dog", 0.1), ("dog", -0.1), ("cat", 9.0))
    )
    assert found([rule], "a cat", [sure, other], confidence=0.1) == [("r1", "tag", "dog")]
    assert found([rule], "a cat", [unsure, other]) == []
    assert moderation.find([rule], [], [Tag("dog", 1000.0, True, WHOLE_PICTURE)]).reported[0].confidence == 1
    assert moderation.find([rule], [], [Tag("dog", -1000.0, True, WHOLE_PICTURE)]).reported == ()


def test_what_is_held_back_is_said(tmp_path):
    rules = rules_of(
        tmp_path, 'words = ["dog"]\nunless = ["toy"]\ntags = {dog = 0.5}', 'words = ["dog"]\nleast_probability = 0.5'
    )
    tags = [Tag("dog", 2.0, True, WHOLE_PICTURE)]
    excused = moderation.find(rules, ["a", "toy", "dog"], tags, confidence=0.4)
    assert excused.reported == ()
    assert [line.split(": ")[0] for line in excused.held_back] == ["r1", "r1", "r2"]
    assert "'toy'" in excused.held_back[0]
    assert "0.5" in excused.held_back[2]
    assert moderation.find(rules, ["a", "cat"], confidence=0.4).held_back == ()


def test_the_confidence_of_a_caption_is_its_probability_or_the_mean_of_its_words():
    words = ["a", "dog", "runs"]
    by_hand = (0.5 * 0.25 * 0.5 * 1.0) ** (1 / 4)  # with <end>
    log_probability = float(torch.tensor([0.5, 0.25, 0.5, 1.0]).log().sum())
    assert moderation.caption_confidence(log_probability, words) == pytest.approx(by_hand)
    assert moderation.caption_confidence(log_probability, words, 0.8) == 0.8


# -- the queue --------------------------------------------------------------------------------------------------------


def entry(path, line, log_probability=-1.0):
    words = tuple(ENGLISH.tokenize(line))
    return index_module.Entry(path, line, words, log_probability, None, None, (), torch.zeros(len(words), 1, 1))


def test_the_queue_is_sorted_by_rule_and_then_by_confidence_and_holds_every_picture_once(tmp_path):
    rules = rules_of(tmp_path, 'words = ["fire"]', 'words = ["dog"]')
    entries = [
        entry("a", "a dog", -0.1), entry("b", "a cat"), entry("c", "a fire", -3.0), entry("d", "a dog in a fire", -1.0),
        entry("e", "a dog", -2.0),
    ]  # fmt: skip
    items = moderation.make_queue(rules, entries, {"x": "it is broken"})
    assert [(item.path, item.bin) for item in items] == [
        ("d", "review"), ("c", "review"), ("a", "review"), ("e", "review"), ("b", "nothing found"),
        ("x", "could not be read"),
    ]  # fmt: skip
    assert moderation.counts(items) == {"review": 4, "nothing found": 1, "could not be read": 1}
    assert items == moderation.make_queue(rules, entries[::-1], {"x": "it is broken"})


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r\n=1", "＝1", "'=1", "'"])
def test_a_cell_that_a_spreadsheet_would_run_begins_with_an_apostrophe(cell):
    assert review_pages.safe_cell(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "a dog", "a=1", "1-2", "it's"])
def test_other_cells_stay_as_they_are(cell):
    assert review_pages.safe_cell(cell) == cell


class Elements(html.parser.HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


EVIL = '"><img src=x onerror=alert(1)>'


def test_everything_on_the_page_is_text(tmp_path):
    """A name, a caption, a rule, a reason, an error and a folder, each with markup in it."""
    folder = tmp_path / EVIL.replace("/", "")
    folder.mkdir()
    name = "<img src=x onerror=alert(1)>.png"
    Image.new("RGB", (8, 6), (200, 30, 30)).save(folder / name)
    rule = policy.Rule(EVIL, EVIL, (("dog",),), {}, (), None, (("toy",),), 0.0)
    entries = [entry(name, EVIL + " dog"), entry("b.png", EVIL), entry("c.png", "toy dog " + EVIL)]
    items = moderation.make_queue([rule], entries, {EVIL: EVIL})
    page = review_pages.to_html(items, folder, [EVIL]).decode()
    elements = Elements(page)
    assert {tag for tag, _ in elements.tags} <= set(
        "html head meta title style body h1 h2 p b article div ul li img table tr td".split()
    )
    images = [attributes for tag, attributes in elements.tags if tag == "img"]
    assert [each.keys() for each in images] == [{"src", "alt"}]
    assert images[0]["src"].startswith("data:image/jpeg;base64,")
    assert elements.text.count(EVIL) >= 7
    assert name in elements.text


def test_the_page_shows_a_sample_of_what_was_not_found_and_lists_the_rest(tmp_path):
    rules = rules_of(tmp_path, 'words = ["dog"]')
    items = moderation.make_queue(rules, [entry(f"{i:03}.png", f"cat {i}") for i in range(100)], {})
    elements = Elements(review_pages.to_html(items, tmp_path).decode())
    assert sum(tag == "article" for tag, _ in elements.tags) == review_pages.SAMPLE
    assert sum(tag == "tr" for tag, _ in elements.tags) == 100 - review_pages.SAMPLE
    assert all(elements.text.count(f"{i:03}.png") == 1 for i in range(100))


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(capsys):
    """Run `companion moderate`; return exit status, lines on standard output, lines on standard error."""

    def command(*arguments):
        capsys.readouterr()
        try:
            status = cli.main(["moderate", *map(str, arguments)])
        except SystemExit as stop:
            status = stop.code
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return command


@pytest.fixture
def album(tmp_path, untrained_checkpoint):
    """A folder of pictures, and the options of the command for it."""
    folder = tmp_path / "album"
    (folder / "b").mkdir(parents=True)
    for i, name in enumerate(["a dog.png", "a cat.png", "b/two dogs.png"]):
        Image.new("RGB", (8, 6), (i, 99, 99)).save(folder / name)
    rule = write_policy(tmp_path, f'[[rule]]\n{RULE}words = ["dog"]\n')
    return folder, ["--policy", rule, folder, "--checkpoint", untrained_checkpoint]


def test_the_pictures_to_be_reviewed_are_listed_with_their_reasons(run, captioned, album):
    folder, options = album
    (folder / "bad.png").write_text("no picture")
    (folder / "notes.txt").write_text("no picture")
    status, out, err = run(*options)
    assert status == 1  # one could not be read
    assert out == [
        "review: 2",
        "  a dog.png: a dog",
        "    animals: word 'dog' (0.51). A person looks at animals.",
        "  b/two dogs.png: two dogs",
        "    animals: word 'dog' (0.51). A person looks at animals.",
        "nothing found: 1",
        "could not be read: 1",
        "  bad.png: it is not a picture",
    ]
    assert any("bad.png" in line for line in err)
    assert not any(verdict in " ".join(out) for verdict in ("approved", "rejected", "safe"))


def test_a_second_run_captions_nothing_and_finds_the_same(run, captioned, album):
    _, options = album
    first = run(*options)
    assert len(captioned) == 3
    assert run(*options)[:2] == first[:2]
    assert len(captioned) == 3


def test_json_has_a_line_for_every_picture(run, captioned, album):
    folder, options = album
    (folder / "bad.png").write_text("no picture")
    records = [json.loads(line) for line in run(*options, "--json")[1]]
    assert [(r["bin"], r["image"]) for r in records] == [
        ("review", "a dog.png"), ("review", "b/two dogs.png"), ("nothing found", "a cat.png"),
        ("could not be read", "bad.png"),
    ]  # fmt: skip
    (finding,) = records[0]["findings"]
    assert (finding["rule"], finding["source"], finding["found"]) == ("animals", "word", "dog")
    assert records[3]["error"] == "it is not a picture"


ODD = ["a dog.png", 'a "dog".png', "it's a dog.png", "咖啡 dog.png", "😀 dog.png", "two\ndogs.png", "=dog().png",
       "caf\udce9 dog.png", "<img src=x onerror=alert(1)> dog.png", "-dog.png"]  # fmt: skip


def test_odd_names_come_through_in_every_form(run, captioned, album, tmp_path):
    folder, options = album
    shutil.rmtree(folder)
    folder.mkdir()
    for i, name in enumerate(ODD):
        Image.new("RGB", (8, 6), (i, 9, 9)).save(folder / name, format="PNG")
    status, out, _ = run(*options, "--queue", tmp_path / "q.csv")
    assert (status, out[0]) == (0, f"review: {len(ODD)}")
    rows = list(
        csv.reader(io.StringIO((tmp_path / "q.csv").read_bytes().decode("utf-8", "surrogateescape"), newline=""))
    )
    assert tuple(rows[0]) == review_pages.COLUMNS
    assert {row[1].removeprefix("'") for row in rows[1:]} == set(ODD)
    assert all(row[-1] == "" for row in rows[1:])  # the decision is a person's
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
    assert run(*options, "--queue", tmp_path / "q.html")[0] == 0
    elements = Elements((tmp_path / "q.html").read_text(encoding="utf-8"))
    assert sum(tag == "img" for tag, _ in elements.tags) == len(ODD)
    assert all("onerror" not in attributes for _, attributes in elements.tags)
    assert all(line.isprintable() for line in run(*options)[1])


@pytest.mark.parametrize(("name", "part"), [("q.txt", ".csv"), ("none/q.csv", "no folder"), ("policy.toml", ".csv")])
def test_a_queue_that_cannot_be_written_is_refused_before_anything_is_captioned(
    run, captioned, album, tmp_path, name, part
):
    status, _, err = run(*album[1], "--queue", tmp_path / name)
    assert (status, len(err), captioned) == (1, 1, [])
    assert part in err[0]


def test_a_queue_with_decisions_is_not_overwritten(run, captioned, album, tmp_path):
    queue = tmp_path / "q.csv"
    queue.write_text("mine")
    status, _, err = run(*album[1], "--queue", queue)
    assert (status, len(err), queue.read_text()) == (1, 1, "mine")


def test_an_unknown_word_is_reported_and_a_wrong_policy_stops_before_anything_is_captioned(
    run, captioned, album, tmp_path
):
    _, options = album
    write_policy(tmp_path, f'[[rule]]\n{RULE}words = ["unicorn"]\n')
    status, out, err = run(*options)
    assert (status, out[0]) == (0, "review: 0")
    assert any("'unicorn'" in line and "never" in line for line in err)
    captioned.clear()
    for body in ("tags = {dog = 0.5}", 'wrods = ["dog"]'):
        write_policy(tmp_path, f"[[rule]]\n{RULE}{body}\n")
        status, _, err = run(*options)
        assert (status, len(err), captioned) == (1, 1, [])
        assert "'animals'" in err[0]


def test_a_folder_without_pictures_and_one_that_is_not_there_are_one_line(run, album, tmp_path):
    folder, options = album
    for part in ("no such folder", "no picture"):
        shutil.rmtree(folder, ignore_errors=True)
        if part == "no picture":
            folder.mkdir()
        status, out, err = run(*options)
        assert (status, out, len(err)) == (1, [], 2)  # the first line is the note that the captioner knows no dogs
        assert part in err[-1]


def test_the_help_says_what_it_is_not_for(run):
    status, out, _ = run("--help")
    text = " ".join(" ".join(out).split())
    assert status == 0
    assert "Not for decisions" in text
    assert "judging people" in text


@pytest.mark.slow
def test_the_captioner_of_scenes_is_moderated_too(run, tmp_path):
    scenes.export(tmp_path / "drawn", "test", 3)
    rules = write_policy(tmp_path, '[[rule]]\nname = "many"\nreason = "x"\nleast_objects = 1\n')
    status, out, _ = run("--policy", rules, tmp_path / "drawn" / "images", "--checkpoint", "scenes")
    assert (status, out[0]) == (0, "review: 3")
    assert os.listdir(tmp_path / "drawn" / "masks")  # nothing there is touched


# -- what is measured -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", measured.SCENE_RULES, ids=lambda each: each.rule.name)
def test_a_rule_that_fires_on_a_true_caption_is_right(each, world):
    """The truth of the rule is computed from the objects, and the rule sees the words alone."""
    fired = [
        each.truth(scene) for scene in world for c in scene.captions if measured.fires(each.rule, c.words)
    ]  # fmt: skip
    assert fired
    assert all(fired)


def test_the_attack_changes_no_byte_by_more_than_it_may_and_makes_the_word_less_probable(world):
    vocabulary = Vocabulary.build([c.text for scene in world for c in scene.captions])
    captioner = small_captioner(vocabulary).eval().requires_grad_(False)
    chosen = [scene for scene in world if "heart" in scene.captions[0].words][:4]
    captions = [Caption(scene.captions[0].words, 0.0, torch.zeros(1, 1)) for scene in chosen]
    images = scenes.image_tensor(chosen)
    for epsilon in (1, 4):
        changed = measured.attack(captioner, images, captions, epsilon, steps=3)
        assert changed.dtype == torch.uint8
        assert 0 < (changed.int() - images.int()).abs().max() <= epsilon
        for before, after, caption in zip(images, changed, captions, strict=True):
            ids = torch.tensor([vocabulary.encode(caption.text)])
            at = caption.words.index("heart")
            both = (
                captioner(torch.stack([before, after]), ids.expand(2, 1, -1)[..., :-1]).logits[:, 0, at].log_softmax(-1)
            )
            first, second = both[:, vocabulary.id("heart")].tolist()
            assert second < first


def test_the_facts_of_a_table_are_those_of_its_counts(monkeypatch):
    monkeypatch.setattr(measured, "RESAMPLES", 200)
    truth = torch.arange(100).numpy() < 40
    reported = (torch.arange(100).numpy() >= 10) & (torch.arange(100).numpy() < 45)
    facts = measured.describe(reported, truth)
    assert (facts["precision"], facts["recall"]) == (round(30 / 35, 4), 0.75)
    assert facts["precision_interval"][0] < 30 / 35 < facts["precision_interval"][1]
    assert facts["lowest_precision_at_1_in_1000"] < facts["precision_at_1_in_1000"]
    assert facts == measured.describe(reported[:, None], truth[:, None])  # an axis of rules
    ranks = measured.ranked({"bad": -truth.astype(float), "good": truth.astype(float)}, truth)
    assert ranks["good"]["average_precision"] == 1
    assert ranks["bad"]["average_precision"] == detection.average_precision(-truth.astype(float), truth)
    assert ranks["difference"]["interval"][0] > 0


def test_the_stored_results_are_of_the_present_rules():
    results = json.loads(measured.RESULTS.read_text())
    assert list(results["scenes"]["rules"]) == [each.rule.name for each in measured.SCENE_RULES]
    assert results["scenes"]["scenes"] == measured.SCENES
    assert [row["grey_levels"] for row in results["attack"]["rows"]] == list(measured.EPSILONS)
    for name in ("flickr8k", "everyday"):
        assert list(results["photographs"][name]["rules"]) == list(measured.PHOTOGRAPH_RULES)
