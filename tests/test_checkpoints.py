"""A checkpoint is loaded as it was saved, or it is refused in one line."""

import hashlib
import json
import math
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from companion import checkpoints, tasks
from companion.decoders import DECODERS
from companion.models import build
from companion.scenes import image_tensor
from companion.vocabulary import SPECIALS, Vocabulary

WORDS = Vocabulary([*SPECIALS, *"a red blue circle square left of is there above".split()])


def perturbed(task="scenes", seed=0, **config):
    """Return an untrained captioner with large random weights, whose captions depend on the picture."""
    torch.manual_seed(seed)
    captioner = build(task, WORDS, "tiny", **config)
    with torch.no_grad():
        for name, tensor in checkpoints.trained_weights(captioner).items():
            if tensor.is_floating_point() and "running_var" not in name:
                tensor.add_(torch.randn_like(tensor) * 0.3)
            if tensor.shape == (len(WORDS),):  # the bias of the logits: captions shall not be empty
                tensor[Vocabulary.end] = -6.0
    return captioner.eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A captioner, and the folder that it was saved in."""
    folder = tmp_path_factory.mktemp("saved")
    captioner = perturbed()
    checkpoints.save(captioner, folder, {"minutes": 1.5})
    return captioner, folder


@pytest.fixture
def copy(saved, tmp_path):
    shutil.copytree(saved[1], tmp_path / "copy")
    return tmp_path / "copy"


def refusal(folder):
    """Return the one line with which a checkpoint is refused."""
    with pytest.raises(ValueError, match=r".") as error:
        checkpoints.load(folder)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def update_digests(folder, **facts):
    """Write the digests of the files, as they are now, into the card: only their contents can then be refused."""
    path = folder / "card.json"
    card = json.loads(path.read_text())
    for key, name in (("sha256", "weights.safetensors"), ("vocabulary_sha256", "vocabulary.json")):
        card[key] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(card | facts))


# -- what is loaded --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decoder", "attention"), [(name, attention) for name, cls in DECODERS.items() for attention in cls.mechanisms]
)
def test_a_loaded_model_is_the_saved_one_in_half_precision(decoder, attention, tmp_path, world):
    """Rounding the weights to half precision by hand gives exactly the captions and weights of the loaded model."""
    captioner = perturbed(decoder=decoder, attention=attention)
    checkpoints.save(captioner, tmp_path, {})
    loaded = checkpoints.load(tmp_path)
    assert not loaded.training
    with torch.no_grad():
        for tensor in [*captioner.parameters(), *captioner.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
    world = world[:6]
    captions, expected = (tasks.scenes.caption(c, world, beam=3) for c in (loaded, captioner))
    assert len({c.log_probability for c in captions}) == len(world)  # the captions depend on the picture
    for one, other in zip(captions, expected, strict=True):
        assert one.words == other.words
        assert one.log_probability == other.log_probability
        assert torch.equal(one.weights, other.weights)
    assert loaded.config == captioner.config
    assert loaded.vocabulary.words == WORDS.words


@pytest.mark.parametrize("encoder", [{"encoder": "convolution", "blocks": 1}, {"encoder": "patches", "registers": 2}])
def test_a_loaded_model_has_the_encoder_of_the_saved_one(encoder, tmp_path, world):
    captioner = perturbed(**encoder)
    checkpoints.save(captioner, tmp_path, {})
    loaded = checkpoints.load(tmp_path)
    assert loaded.config == captioner.config
    assert type(loaded.encoder) is type(captioner.encoder)
    grid, expected = (c.encode(image_tensor(world[:4])).features for c in (loaded, captioner))
    assert ((grid - expected).norm() / expected.norm()).item() < 0.02  # weights are stored in half precision


def test_saving_what_was_loaded_changes_nothing(saved, tmp_path):
    checkpoints.save(checkpoints.load(saved[1]), tmp_path, {"minutes": 1.5})
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == {f.name: f.read_bytes() for f in saved[1].iterdir()}


def test_a_tied_matrix_is_stored_once_and_stays_tied(saved):
    stored = load_file(saved[1] / "weights.safetensors")
    shape = (len(WORDS), 128)
    assert [name for name, x in stored.items() if x.shape == shape] == ["decoder.embed.weight"]
    decoder = checkpoints.load(saved[1]).decoder
    assert decoder.embed.weight is decoder.output_proj.weight


def test_an_output_projection_that_is_not_tied_is_stored(tmp_path):
    captioner = perturbed()
    captioner.decoder.output_proj.weight = torch.nn.Parameter(torch.ones(len(WORDS), 128))
    names = checkpoints.trained_weights(captioner).keys()
    assert {"decoder.embed.weight", "decoder.output_proj.weight"} <= names


def test_a_frozen_encoder_is_not_stored_and_a_trained_one_is(saved, tmp_path):
    captioner = perturbed("photos")
    checkpoints.save(captioner, tmp_path, {})
    names = load_file(tmp_path / "weights.safetensors").keys()
    assert {name.split(".")[0] for name in names} == {"decoder"}
    decoder = sum(p.numel() for p in captioner.decoder.parameters())  # a tied matrix counts once
    size = (tmp_path / "weights.safetensors").stat().st_size
    assert 2 * decoder <= size < 2 * decoder + 10_000  # two bytes per number
    assert any(name.startswith("encoder.") for name in load_file(saved[1] / "weights.safetensors"))
    loaded = checkpoints.load(tmp_path)
    assert torch.equal(loaded.encoder.layers[0].weight, captioner.encoder.layers[0].weight)
    assert not any(p.requires_grad for p in loaded.encoder.parameters())


def test_the_card_holds_the_facts_that_it_was_given_the_format_and_the_digests_of_both_files(saved):
    card = checkpoints.card(saved[1])
    assert card == json.loads((saved[1] / "card.json").read_text())
    assert (card["format"], card["minutes"], card["vocabulary_size"]) == (checkpoints.FORMAT, 1.5, len(WORDS))
    assert card["config"] == saved[0].config
    for key, name in (("sha256", "weights.safetensors"), ("vocabulary_sha256", "vocabulary.json")):
        assert card[key] == hashlib.sha256((saved[1] / name).read_bytes()).hexdigest()


def test_a_bare_name_is_a_shipped_checkpoint_and_a_path_is_a_folder(saved, tmp_path, monkeypatch):
    """So a run whose --out is called `photos` is loaded with its own weights."""
    shutil.copytree(saved[1], tmp_path / "shipped" / "scenes")
    checkpoints.save(perturbed(seed=1), tmp_path / "here" / "scenes", {"minutes": 2})
    monkeypatch.setattr(checkpoints.io, "PRETRAINED", tmp_path / "shipped")
    monkeypatch.chdir(tmp_path / "here")
    assert checkpoints.card("scenes")["minutes"] == 1.5
    assert checkpoints.card("./scenes")["minutes"] == 2
    assert checkpoints.card(Path("scenes"))["minutes"] == 2


# -- what is refused --------------------------------------------------------------------------------------------------


def edit(name, change):
    """Return a damage that replaces the bytes of one file by `change(bytes)`."""

    def damage(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return damage


def flip_bit(data, index=-5):
    changed = bytearray(data)
    changed[index] ^= 0x04
    return bytes(changed)


def edit_card(change):
    """Return a damage that replaces the card by `change(card)`."""
    return edit("card.json", lambda data: json.dumps(change(json.loads(data))).encode())


def without(key):
    """Return a damage that removes a key of the card."""
    return edit_card(lambda card: {k: v for k, v in card.items() if k != key})


def edit_config(**changed):
    """Return a damage that changes the config in the card."""
    return edit_card(lambda card: card | {"config": card["config"] | changed})


def as_format_1(card):
    """Return the card as the first version of the package wrote it: with `settings` and without a format number."""
    settings = {("data" if key == "task" else key): value for key, value in card["config"].items()}
    kept = {key: value for key, value in card.items() if key not in ("format", "config", "vocabulary_size")}
    return kept | {"settings": settings, "words": card["vocabulary_size"]}


def replace_by_file(folder):
    shutil.rmtree(folder)
    folder.write_text("hello")


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was opened')",)


WEIGHTS, VOCABULARY, CARD = "weights.safetensors", "vocabulary.json", "card.json"


def as_json(words):
    return json.dumps(words).encode()


# Each damage, the file that the line names, and what else is in it.
CHANGED = {
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), WEIGHTS, ""),
    "no vocabulary": (lambda folder: (folder / VOCABULARY).unlink(), VOCABULARY, ""),
    "no card": (lambda folder: (folder / CARD).unlink(), CARD, ""),
    "no folder": (shutil.rmtree, CARD, ""),
    "a file instead": (replace_by_file, CARD, ""),
    "weights cut short": (edit(WEIGHTS, lambda data: data[:-100]), WEIGHTS, "SHA-256"),
    "weights flipped": (edit(WEIGHTS, flip_bit), WEIGHTS, "SHA-256"),
    "weights longer": (edit(WEIGHTS, lambda data: data + b"\0"), WEIGHTS, "SHA-256"),
    "weights empty": (edit(WEIGHTS, lambda data: b""), WEIGHTS, "SHA-256"),
    "weights a pickle": (edit(WEIGHTS, lambda data: pickle.dumps(Bomb())), WEIGHTS, "SHA-256"),
    "weights foreign": (edit(WEIGHTS, lambda data: save({"x": torch.ones(2)})), WEIGHTS, "SHA-256"),
    "a letter flipped": (edit(VOCABULARY, flip_bit), VOCABULARY, "SHA-256"),
    "words swapped": (edit(VOCABULARY, lambda _: as_json(WORDS.words[:4] + WORDS.words[:3:-1])), VOCABULARY, "SHA-256"),
    "card cut short": (edit(CARD, lambda data: data[:50]), CARD, "not a model card"),
    "card empty": (edit(CARD, lambda data: b""), CARD, "not a model card"),
    "card not text": (edit(CARD, lambda data: b"\xff\xfe\x00"), CARD, "not a model card"),
    "card very deep": (edit(CARD, lambda data: b"[" * 100_000), CARD, "not a model card"),
    "card a list": (edit_card(lambda card: [card]), CARD, "not a model card"),
    "card a number": (edit_card(lambda card: 5), CARD, "not a model card"),
    "card of format 1": (edit_card(as_format_1), CARD, "format 1, and this version reads format 2"),
    "card of a later format": (edit_card(lambda card: card | {"format": 3}), CARD, "format 3"),
    "card without format": (without("format"), CARD, "no format"),
    "card without config": (without("config"), CARD, "no config"),
    "card without digest": (without("sha256"), CARD, "no sha256"),
    "config a list": (edit_card(lambda card: card | {"config": ["scenes"]}), CARD, "no config"),
    "config with an unknown key": (edit_config(colour="red"), CARD, "colour"),
    "config empty": (edit_card(lambda card: card | {"config": {}}), CARD, "no model has this config"),
    "config unknown": (edit_config(attention="telepathy"), CARD, "telepathy"),
    "config not hashable": (edit_config(size=["tiny"]), CARD, "no model has this config"),
    "config that lies": (edit_config(decoder="transformer", attention="hard"), CARD, "does not support"),
    "config of another size": (edit_config(size="base"), WEIGHTS, "this model needs"),
    "config of another decoder": (edit_config(decoder="transformer", attention="multi_head"), WEIGHTS, "tensor"),
}


@pytest.mark.parametrize("damage", CHANGED)
def test_a_changed_checkpoint_is_refused_in_one_line_that_names_the_file(damage, copy):
    change, name, reason = CHANGED[damage]
    change(copy)
    line = refusal(copy)
    assert str(copy) in line
    assert name in line
    assert reason in line


def edit_tensors(change):
    """Return a damage inside of well-formed weights."""

    def damage(folder):
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return damage


# Damage with the right digests in the card: the file that the line names, and what else is in it.
FORGED = {
    "weights a pickle": (edit(WEIGHTS, lambda data: pickle.dumps(Bomb())), WEIGHTS, ""),
    "weights empty": (edit(WEIGHTS, lambda data: b""), WEIGHTS, ""),
    "weights foreign": (edit(WEIGHTS, lambda data: save({"x": torch.ones(2)})), WEIGHTS, "tensor"),
    "tensor missing": (edit_tensors(lambda t: t.pop("decoder.gate.bias")), WEIGHTS, "decoder.gate.bias is missing"),
    "tensor too many": (edit_tensors(lambda t: t.update(extra=torch.ones(1))), WEIGHTS, "extra is not one of"),
    "tensor reshaped": (
        edit_tensors(lambda t: t.update({"decoder.gate.bias": torch.ones(3)})), WEIGHTS, "(3,); this model needs (128,)"
    ),
    "NaN": (edit_tensors(lambda t: t["decoder.gate.bias"][5:6].fill_(math.nan)), WEIGHTS, "gate.bias holds numbers"),
    "infinity": (edit_tensors(lambda t: t["encoder.layers.1.running_var"].fill_(math.inf)), WEIGHTS, "var holds"),
    "shorter vocabulary": (edit(VOCABULARY, lambda _: as_json(WORDS.words[:-1])), WEIGHTS, "decoder."),
    "a word twice": (edit(VOCABULARY, lambda _: as_json([*WORDS.words[:-1], "red"])), VOCABULARY, "'red' occurs twice"),
    "no special words": (edit(VOCABULARY, lambda _: as_json(WORDS.words[4:])), VOCABULARY, "begins with <pad>"),
    "vocabulary a table": (edit(VOCABULARY, lambda _: b'{"a": 1}'), VOCABULARY, "not a list of words"),
}  # fmt: skip


@pytest.mark.parametrize("damage", FORGED)
def test_a_damaged_checkpoint_is_refused_even_if_its_digests_agree(damage, copy):
    change, name, reason = FORGED[damage]
    change(copy)
    update_digests(copy)
    line = refusal(copy)
    assert str(copy / name) in line
    assert reason in line


def test_refused_weights_do_not_change_the_model():
    """With one bad tensor among good ones, none of them is copied."""
    captioner, state = perturbed(), checkpoints.trained_weights(perturbed(seed=1))
    before = {name: tensor.clone() for name, tensor in captioner.state_dict().items()}
    state["decoder.output_proj.bias"] = torch.full((len(WORDS),), math.nan)
    with pytest.raises(ValueError, match=r"decoder\.output_proj\.bias"):
        checkpoints.set_weights(captioner, state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in captioner.state_dict().items())


# -- when saving is interrupted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("write", range(3))
def test_an_interrupted_save_does_not_leave_a_checkpoint(write, error, copy, monkeypatch):
    """Interrupted at any of the three writes, the folder is refused; saving again makes it a checkpoint."""
    write_file, writes = checkpoints.io.atomic_write, []

    def interrupted(path, data):
        writes.append(path.name)
        if len(writes) > write:
            raise error
        write_file(path, data)

    newer = perturbed(seed=1)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.io, "atomic_write", interrupted)
        with pytest.raises(type(error)):
            checkpoints.save(newer, copy, {})
    assert len(writes) == write + 1
    assert "card.json" in refusal(copy)
    assert {file.name for file in copy.iterdir()} <= {WEIGHTS, VOCABULARY, CARD}
    checkpoints.save(newer, copy, {})
    loaded = checkpoints.trained_weights(checkpoints.load(copy))
    assert torch.equal(loaded["decoder.gate.bias"], newer.decoder.gate.bias.detach().half().float())
