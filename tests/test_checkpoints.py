"""A checkpoint comes back as it was saved, or not at all."""

import hashlib
import json
import math
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from companion import checkpoints, evaluation, scenes, vocabulary
from companion.captioner import build
from companion.vocabulary import SPECIALS, Vocabulary

WORDS = Vocabulary([*SPECIALS, *"a red blue circle square left of is there above".split()])
THREE = {"card.json", "vocabulary.json", "weights.safetensors"}


def scribbled(data="scenes", words=WORDS, seed=0, **settings):
    """A captioner that has learnt nothing but has opinions: large random weights tell pictures apart."""
    torch.manual_seed(seed)
    captioner = build(data, words, "tiny", **settings)
    with torch.no_grad():
        for name, tensor in checkpoints.trained_weights(captioner).items():
            if tensor.is_floating_point() and "running_var" not in name:
                tensor.add_(torch.randn_like(tensor) * 0.3)
        captioner.decoder.words.bias[Vocabulary.end] = -6.0  # so that something is said
    return captioner.eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A captioner and the folder that it was saved in."""
    folder = tmp_path_factory.mktemp("saved")
    captioner = scribbled()
    checkpoints.save(captioner, folder, {"minutes": 1.5})
    return captioner, folder


@pytest.fixture
def copy(saved, tmp_path):
    shutil.copytree(saved[1], tmp_path / "copy")
    return tmp_path / "copy"


def refused(folder):
    """The one line with which a checkpoint is refused."""
    with pytest.raises(ValueError, match=r".") as caught:
        checkpoints.load(folder)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def forge(folder, **facts):
    """Change the card, and make its digests those of the files: what only their contents can give away."""
    path = folder / "card.json"
    card = json.loads(path.read_text())
    for key, name in (("sha256", "weights.safetensors"), ("vocabulary_sha256", "vocabulary.json")):
        card[key] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(card | facts))


# -- what comes back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{}, {"decoder": "transformer"}, {"attention": "mean"}, {"attention": "multi_head"}]
)
def test_what_comes_back_says_the_same_as_the_same_model_in_half_precision(settings, tmp_path):
    """Rounding the weights to half precision, by hand, gives the very captions, scores and maps of the loaded one."""
    captioner = scribbled(**settings)
    checkpoints.save(captioner, tmp_path, {})
    loaded = checkpoints.load(tmp_path)
    assert not loaded.training
    with torch.no_grad():
        for tensor in [*captioner.parameters(), *captioner.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
    drawn = scenes.make("test", 6)
    said, wanted = (evaluation.caption_scenes(c, drawn, beam=3) for c in (loaded, captioner))
    assert len({c.log_probability for c in said}) == len(drawn)  # the picture matters
    for one, other in zip(said, wanted, strict=True):
        assert one.words == other.words
        assert one.log_probability == other.log_probability
        assert torch.equal(one.weights, other.weights)
    assert loaded.settings == captioner.settings
    assert loaded.vocabulary.words == WORDS.words


def test_saving_what_was_loaded_changes_nothing(saved, tmp_path):
    checkpoints.save(checkpoints.load(saved[1]), tmp_path, {"minutes": 1.5})
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == {f.name: f.read_bytes() for f in saved[1].iterdir()}


def test_the_shared_matrix_is_stored_once_and_stays_shared(saved):
    stored = load_file(saved[1] / "weights.safetensors")
    shape = (len(WORDS), 128)
    assert [name for name, x in stored.items() if x.shape == shape] == ["decoder.embed.weight"]
    decoder = checkpoints.load(saved[1]).decoder
    assert decoder.embed.weight is decoder.words.weight


def test_the_frozen_encoder_is_not_stored_and_the_learnt_one_is(saved, tmp_path):
    captioner = scribbled("photos")
    checkpoints.save(captioner, tmp_path, {})
    names = load_file(tmp_path / "weights.safetensors").keys()
    assert {name.split(".")[0] for name in names} == {"decoder"}
    decoder = sum(p.numel() for p in captioner.decoder.parameters())  # a shared matrix counts once
    size = (tmp_path / "weights.safetensors").stat().st_size
    assert 2 * decoder <= size < 2 * decoder + 10_000  # two bytes a number
    assert any(name.startswith("encoder.") for name in load_file(saved[1] / "weights.safetensors"))
    loaded = checkpoints.load(tmp_path)
    assert torch.equal(loaded.encoder.layers[0].weight, captioner.encoder.layers[0].weight)
    assert not any(p.requires_grad for p in loaded.encoder.parameters())


def test_the_card_holds_what_it_was_given_and_the_digests_of_both_files(saved):
    card = checkpoints.card(saved[1])
    assert card == json.loads((saved[1] / "card.json").read_text())
    assert (card["minutes"], card["words"], card["settings"]["data"]) == (1.5, len(WORDS), "scenes")
    for key, name in (("sha256", "weights.safetensors"), ("vocabulary_sha256", "vocabulary.json")):
        assert card[key] == hashlib.sha256((saved[1] / name).read_bytes()).hexdigest()


def test_a_bare_name_is_a_checkpoint_that_ships_and_a_path_is_a_folder(saved, tmp_path, monkeypatch):
    """So a run whose --out is called `photos` gets back its own weights."""
    shutil.copytree(saved[1], tmp_path / "ships" / "scenes")
    checkpoints.save(scribbled(seed=1), tmp_path / "here" / "scenes", {"minutes": 2})
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path / "ships")
    monkeypatch.chdir(tmp_path / "here")
    assert checkpoints.card("scenes")["minutes"] == 1.5
    assert checkpoints.card("./scenes")["minutes"] == 2
    assert checkpoints.card(tmp_path.__class__("scenes"))["minutes"] == 2


# -- what is refused --------------------------------------------------------------------------------------------------


def edit(name, change):
    """Damage in which the bytes of one file become `change(bytes)`."""

    def damage(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return damage


def flip(data, where=-5):
    changed = bytearray(data)
    changed[where] ^= 0x04
    return bytes(changed)


def recard(change):
    """Damage in which the card becomes what `change(card)` returns."""
    return edit("card.json", lambda data: json.dumps(change(json.loads(data))).encode())


def settings(**changed):
    return recard(lambda card: card | {"settings": card["settings"] | changed})


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was opened')",)


WEIGHTS, LIST, CARD = "weights.safetensors", "vocabulary.json", "card.json"

# damage, the file that the line names
CHANGED = {
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), WEIGHTS),
    "no vocabulary": (lambda folder: (folder / LIST).unlink(), LIST),
    "no card": (lambda folder: (folder / CARD).unlink(), CARD),
    "no folder": (shutil.rmtree, CARD),
    "a file instead": (lambda folder: (shutil.rmtree(folder), folder.write_text("hello")), CARD),
    "weights cut short": (edit(WEIGHTS, lambda data: data[:-100]), WEIGHTS),
    "weights flipped": (edit(WEIGHTS, flip), WEIGHTS),
    "weights longer": (edit(WEIGHTS, lambda data: data + b"\0"), WEIGHTS),
    "weights empty": (edit(WEIGHTS, lambda data: b""), WEIGHTS),
    "weights a pickle": (edit(WEIGHTS, lambda data: pickle.dumps(Bomb())), WEIGHTS),
    "weights foreign": (edit(WEIGHTS, lambda data: save({"x": torch.ones(2)})), WEIGHTS),
    "a letter flipped": (edit(LIST, flip), LIST),
    "words swapped": (edit(LIST, lambda data: json.dumps(WORDS.words[:4] + WORDS.words[:3:-1]).encode()), LIST),
    "card cut short": (edit(CARD, lambda data: data[:50]), CARD),
    "card empty": (edit(CARD, lambda data: b""), CARD),
    "card not text": (edit(CARD, lambda data: b"\xff\xfe\x00"), CARD),
    "card very deep": (edit(CARD, lambda data: b"[" * 100_000), CARD),
    "card a list": (recard(lambda card: [card]), CARD),
    "card a number": (recard(lambda card: 5), CARD),
    "card without settings": (recard(lambda card: {k: v for k, v in card.items() if k != "settings"}), CARD),
    "card without digest": (recard(lambda card: {k: v for k, v in card.items() if k != "sha256"}), CARD),
    "settings a list": (recard(lambda card: card | {"settings": ["scenes"]}), CARD),
    "settings too many": (settings(colour="red"), CARD),
    "settings too few": (recard(lambda card: card | {"settings": {}}), CARD),
    "settings unknown": (settings(attention="telepathy"), CARD),
    "settings not hashable": (settings(size=["tiny"]), CARD),
    "settings of another size": (settings(size="base"), WEIGHTS),
    "settings of another decoder": (settings(decoder="transformer"), WEIGHTS),
}


@pytest.mark.parametrize("damage", CHANGED)
def test_a_changed_checkpoint_is_refused_in_one_line_that_names_the_file(damage, copy):
    change, name = CHANGED[damage]
    change(copy)
    line = refused(copy)
    assert str(copy) in line
    assert name in line


def reweigh(change):
    """Damage inside of well-formed weights."""

    def damage(folder):
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return damage


# damage that the card vouches for: the file that the line names, and what else it says
FORGED = {
    "weights a pickle": (edit(WEIGHTS, lambda data: pickle.dumps(Bomb())), WEIGHTS, ""),
    "weights empty": (edit(WEIGHTS, lambda data: b""), WEIGHTS, ""),
    "weights foreign": (edit(WEIGHTS, lambda data: save({"x": torch.ones(2)})), WEIGHTS, "tensor"),
    "tensor missing": (reweigh(lambda t: t.pop("decoder.gate.bias")), WEIGHTS, "decoder.gate.bias is missing"),
    "tensor too many": (reweigh(lambda t: t.update(extra=torch.ones(1))), WEIGHTS, "extra is not one of this model"),
    "tensor reshaped": (
        reweigh(lambda t: t.update({"decoder.gate.bias": torch.ones(3)})), WEIGHTS, "(3,); this model needs (128,)"
    ),
    "NaN": (reweigh(lambda t: t["decoder.gate.bias"][5:6].fill_(math.nan)), WEIGHTS, "decoder.gate.bias holds numbers"),
    "infinity": (reweigh(lambda t: t["encoder.layers.1.running_var"].fill_(math.inf)), WEIGHTS, "running_var holds"),
    "shorter vocabulary": (edit(LIST, lambda data: json.dumps(WORDS.words[:-1]).encode()), WEIGHTS, "decoder."),
    "a word twice": (edit(LIST, lambda data: json.dumps([*WORDS.words[:-1], "red"]).encode()), LIST, "'red' stands"),
    "no special words": (edit(LIST, lambda data: json.dumps(WORDS.words[4:]).encode()), LIST, "begins with <pad>"),
    "vocabulary a table": (edit(LIST, lambda data: b'{"a": 1}'), LIST, "not a list of words"),
}  # fmt: skip


@pytest.mark.parametrize("damage", FORGED)
def test_a_foreign_checkpoint_is_refused_even_if_its_digests_agree(damage, copy):
    change, name, reason = FORGED[damage]
    change(copy)
    forge(copy)
    line = refused(copy)
    assert str(copy / name) in line
    assert reason in line


def test_what_is_refused_has_set_nothing():
    """One bad tensor among good ones, and none of them is put into the model."""
    captioner, state = scribbled(), checkpoints.trained_weights(scribbled(seed=1))
    before = {name: tensor.clone() for name, tensor in captioner.state_dict().items()}
    state["decoder.words.bias"] = torch.full((len(WORDS),), math.nan)
    with pytest.raises(ValueError, match=r"decoder\.words\.bias"):
        checkpoints.set_weights(captioner, state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in captioner.state_dict().items())


# -- when saving is interrupted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("write", range(3))
def test_an_interrupted_save_is_never_taken_for_a_checkpoint(write, error, copy, monkeypatch):
    """At each of the three writes: what lies there then is refused, or is the old one; saving again makes it good."""
    left = [write]

    def failing(real):
        def write_whole(path, data):
            left[0] -= 1
            if left[0] < 0:
                raise error
            real(path, data)

        return write_whole

    newer = scribbled(seed=1)
    with monkeypatch.context() as patched:
        for module in (checkpoints, vocabulary):
            patched.setattr(module, "write_whole", failing(module.write_whole))
        with pytest.raises(type(error)):
            checkpoints.save(newer, copy, {})
    assert left == [-1]
    assert "card.json" in refused(copy)
    assert {file.name for file in copy.iterdir()} <= THREE
    checkpoints.save(newer, copy, {})
    loaded = checkpoints.trained_weights(checkpoints.load(copy))
    assert torch.equal(loaded["decoder.gate.bias"], newer.decoder.gate.bias.detach().half().float())
