"""The shipped weights are complete, small and documented, and generate the captions of the golden file."""

import hashlib
import shlex

import pytest
import torch

from companion import checkpoints, cli, datasets, scenes, tasks
from companion.metrics import statements
from tests.golden import make_captions

NAMES = ("scenes", "photos")
FOUR = ("astronaut", "chelsea", "coffee", "rocket")
MINIMUM = {
    "scenes": {"truth": 0.9, "truth_directional": 0.92, "forced_choice": 0.9, "states_relation": 0.45, "pointing": 0.8},
    "photos": {"bleu4": 0.15},
}


def test_together_with_the_detector_they_stay_under_forty_megabytes():
    sizes = {file: file.stat().st_size for file in checkpoints.PRETRAINED.rglob("*") if file.is_file()}
    assert {file.parent.name for file in sizes} == {*NAMES, "nanodet"}
    assert sum(sizes.values()) < 40e6


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_holds_a_checkpoint_and_nothing_else(name):
    files = {file.name for file in (checkpoints.PRETRAINED / name).iterdir()}
    assert files == {"weights.safetensors", "vocabulary.json", "card.json"}


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_how_the_weights_were_made_and_how_good_they_are(name):
    card = checkpoints.card(name)
    weights = (checkpoints.PRETRAINED / name / "weights.safetensors").read_bytes()
    assert card["sha256"] == hashlib.sha256(weights).hexdigest()
    runs = card.get("members", [card])
    calls = [cli.build_parser().parse_args(shlex.split(run["command"])[1:]) for run in runs]
    assert [call.seed for call in calls] == [run["seed"] for run in runs]
    assert all(run["command"].startswith(f"companion train {name} ") for run in runs)
    if "members" in card:
        call = cli.build_parser().parse_args(shlex.split(card["command"])[1:])
        assert call.folders == [member.out.name for member in calls]
    for run in runs:
        assert len(run["data"]["sha256"]) == 64
        assert run["data"]["examples"] > 1000
        assert run["train_config"]["seed"] == run["seed"]
        assert run["machine"]
        assert run["log"]
    assert card["minutes"] > 0
    assert all(card["metrics"][score] > least for score, least in MINIMUM[name].items())


def test_no_class_of_words_has_vanished_from_the_captions_of_scenes(scenes_captioner):
    """A list of objects is nearly always true; what a caption could have stated beyond it is counted here."""
    card = checkpoints.card("scenes")
    world = scenes.make_dataset("test", tasks.scenes.MEASURED)
    lines = [caption.text for caption in tasks.scenes.caption(scenes_captioner, world)]
    rates = statements.stated_rates(lines, world)
    groups = {
        **{kind: [r.word for r in rates[kind]] for kind in ("size", "count", "texture")},
        **{"left": ["left"], "right": ["right"], "above": ["above", "over"], "below": ["below", "under"]},
        "inside": ["inside", "within", "contains"],
    }
    of_word = {r.word: r for each in rates.values() for r in each}
    for name, words in groups.items():
        own, wanted = (sum(getattr(of_word[word], side) for word in words) for side in ("captions", "references"))
        assert wanted / 2 <= own <= 2 * wanted, f"{name}: {own:.3f} in captions, {wanted:.3f} in references"
    for kind, words in card["rates"].items():  # of the same scenes; another processor may change a few captions
        for word, (own, wanted) in words.items():
            assert own == pytest.approx(of_word[word].captions, abs=0.02), (kind, word)
            assert wanted == pytest.approx(of_word[word].references, abs=1e-3), (kind, word)
    assert card["vanished"] == [
        word for each in card["rates"].values() for word, (own, wanted) in each.items() if own < wanted / 2
    ]


@pytest.mark.parametrize("name", NAMES)
def test_they_load_by_name_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    captioner = checkpoints.load(name)
    assert captioner.config["task"] == name
    assert len(captioner.vocabulary) == checkpoints.card(name)["vocabulary_size"]


def test_four_photographs_get_four_different_captions(capsys):
    paths = [str(datasets.example_image(name)) for name in FOUR]
    assert cli.main(["caption", *paths]) == 0
    out, err = capsys.readouterr()
    captions = [line.removeprefix(f"{path}: ") for path, line in zip(paths, out.splitlines(), strict=True)]
    assert err == ""
    assert len(set(captions)) == 4
    assert all(len(caption.split()) >= 4 for caption in captions)


@pytest.fixture(scope="module", params=NAMES)
def encoded(request):
    """A shipped captioner by its name, and the grid of the pictures of the golden file."""
    captioner = request.getfixturevalue(f"{request.param}_captioner")
    with torch.inference_mode():
        return request.param, captioner, captioner.encode(make_captions.load_images(request.param))


@pytest.mark.parametrize("search", make_captions.SEARCHES)
def test_the_captions_and_their_log_probabilities_are_those_of_the_golden_file(encoded, search):
    """`python tests/golden/make_captions.py` writes the file for new weights; see there what a stable caption is."""
    name, captioner, grid = encoded
    golden = make_captions.read()[name]
    assert golden["sha256"] == checkpoints.card(name)["sha256"], "new weights: run tests/golden/make_captions.py"
    captions = captioner.caption(grid, make_captions.SEARCHES[search])
    pairs = list(zip(captions, golden[search], strict=True))
    assert sum(expected.stable for _, expected in pairs) >= 0.7 * len(pairs)
    different = [(c.text, expected.text) for c, expected in pairs if expected.stable and c.text != expected.text]
    assert different == []
    for caption, expected in pairs:
        if caption.text == expected.text:
            assert caption.log_probability == pytest.approx(expected.log_probability, abs=1e-3)
    assert len({caption.text for caption in captions}) > len(captions) / 2
