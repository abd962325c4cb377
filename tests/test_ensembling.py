"""Decoders that were trained separately form an ensemble: its checkpoint is theirs, measured; others are refused."""

import functools
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save as bytes_of

from companion import checkpoints, cli, datasets, models, tasks
from companion.checkpoints import SCALE_EXPONENT
from companion.decoders import Ensemble
from companion.model_card import round_scores
from companion.models import build
from companion.vocabulary import SPECIALS, Vocabulary
from tests.albums import write_album

VOCABULARY = Vocabulary([*SPECIALS, *"a dog cat man runs sits on the grass water".split()])


@pytest.fixture(scope="module", autouse=True)
def small():
    """Smaller decoders than any that ships, and one frozen encoder for all, which is read from disk once."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(models, "SIZES", {"tiny": ((16, 16, 16, 32), 128)})
        patched.setattr(models, "EfficientNetLite0", functools.cache(models.EfficientNetLite0))
        yield


def save_untrained(folder, name, seed, vocabulary=VOCABULARY, *, task="photos", attention="additive"):
    """Save a checkpoint that was never trained, with weights that generate something, and return its path as text."""
    torch.manual_seed(seed)
    captioner = build(task, vocabulary, "tiny", attention=attention)
    with torch.no_grad():
        for parameter in captioner.decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    card = {
        "command": f"companion train {name}",
        "seed": seed,
        "minutes": 1.5,
        "data": {"name": "album"},
        "train_config": {"epochs": 9 + seed},
        "machine": {"threads": 1 + seed},
        "log": [],
    }
    checkpoints.save(captioner, folder / name, card)
    return str(folder / name)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Three photographs of the dev split, and one of the training split."""
    return write_album(tmp_path_factory.mktemp("data") / "album", splits=["train", "dev", "dev", "dev"])


@pytest.fixture(scope="module")
def joined(album, tmp_path_factory):
    """The exit status of the command, the two checkpoints, and the ensemble that it made of them."""
    folder = tmp_path_factory.mktemp("runs")
    members = [save_untrained(folder, name, seed) for seed, name in enumerate(("one", "two"))]
    status = cli.main(["ensemble", *members, "--data", str(album), "--out", str(folder / "both")])
    return status, members, folder / "both"


def test_it_generates_what_its_decoders_generate_together(joined, album):
    status, members, out = joined
    assert status == 0
    both, alone = checkpoints.load(out), [checkpoints.load(member) for member in members]
    for own, one in zip(both.decoder.decoders, alone, strict=True):
        for name, tensor in one.decoder.state_dict().items():
            stored, largest = own.state_dict()[name], tensor.abs().amax(-1, keepdim=True) if tensor.ndim else 0
            if tensor.ndim == 2:  # rounded to one of 255 steps
                assert ((stored - tensor).abs() <= largest / 127).all()
                assert not torch.equal(stored, tensor)
            else:
                assert torch.equal(stored, tensor)
    image = datasets.load_image(album / "1.png")[None]
    by_hand = build("photos", VOCABULARY, "tiny").eval()
    by_hand.decoder = Ensemble(both.decoder.decoders).eval()
    for ours, theirs in zip(both.caption(image), by_hand.caption(image), strict=True):
        assert ours.words == theirs.words
        assert ours.log_probability == theirs.log_probability


def test_two_decoders_in_int8_are_no_larger_than_one_and_saving_again_changes_nothing(joined, tmp_path):
    _, (one, _), out = joined
    both = (out / "weights.safetensors").stat().st_size
    assert both < 1.05 * (Path(one) / "weights.safetensors").stat().st_size
    checkpoints.save(checkpoints.load(out), tmp_path / "again", {})
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == (out / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-3, 1.0, 127.0, 128.0, 6e4])
def test_in_int8_a_number_is_off_by_half_a_step_at_most(scale):
    matrix = torch.randn(9, 50, generator=torch.Generator().manual_seed(0)).clamp(-3, 3) / 3 * scale
    matrix[0, 0], matrix[1] = scale, 0
    integers, exponent = checkpoints.quantize_int8(matrix)
    back = torch.ldexp(integers.float(), exponent.unsqueeze(1))
    step = torch.exp2(exponent.float()).unsqueeze(1)
    assert ((back - matrix).abs() <= step / 2).all()
    assert int(integers.abs().max()) <= 127
    if scale > 1e-20:
        assert (matrix.abs().amax(1)[[0, *range(2, 9)]] > 63 * step[[0, *range(2, 9)], 0]).all()  # no finer step fits
    assert torch.equal(checkpoints.quantize_int8(back)[0][integers != 0], integers[integers != 0])


@pytest.mark.parametrize("harm", ["exponents missing", "exponents of another shape", "not finite"])
def test_int8_weights_with_the_wrong_scale_exponents_are_refused(harm, joined, tmp_path):
    shutil.copytree(joined[2], tmp_path / "copy")
    path, name = tmp_path / "copy" / "weights.safetensors", "decoder.decoders.1.word_to_query.weight"
    exponents = f"{name}{SCALE_EXPONENT}"
    tensors = load_file(path)
    if harm == "exponents missing":
        del tensors[exponents]
    elif harm == "exponents of another shape":
        tensors[exponents] = tensors[exponents][:-1].clone()
    else:
        tensors[exponents].fill_(127)
    path.write_bytes(bytes_of(tensors))
    card = json.loads((tmp_path / "copy" / "card.json").read_text())
    card["sha256"] = checkpoints.sha256(path)
    (tmp_path / "copy" / "card.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=name):
        checkpoints.load(tmp_path / "copy")


def test_its_card_has_the_facts_of_every_member_and_scores_on_all_of_dev(joined, album):
    _, members, out = joined
    card, of_members = checkpoints.card(out), [checkpoints.card(member) for member in members]
    assert card["command"] == "companion ensemble one two --data album --out both"
    for kept, of_member in zip(card["members"], of_members, strict=True):
        for fact in ("sha256", "seed", "command", "data", "train_config", "machine"):
            assert kept[fact] == of_member[fact]
    assert [member["train_config"]["epochs"] for member in card["members"]] == [9, 10]
    assert card["minutes"] == 3.0
    assert card["config"]["decoders"] == 2
    examples = datasets.read(album).splits["dev"]
    captions, _ = tasks.photos.caption(checkpoints.load(out), examples)
    assert card["metrics"] == round_scores(tasks.photos.score(captions, examples))
    assert {file.name for file in out.iterdir()} == {"weights.safetensors", "vocabulary.json", "card.json"}


def test_what_cannot_join_is_named_and_nothing_is_written(joined, album, tmp_path, capsys):
    _, (one, _), both = joined
    others = {
        "was trained on scenes": save_untrained(tmp_path, "scenes", 2, task="scenes"),
        "another vocabulary": save_untrained(tmp_path, "words", 2, Vocabulary([*SPECIALS, "a", "dog"])),
        "config": save_untrained(tmp_path, "attention", 2, attention="dot"),
        "several decoders already": str(both),
        "no card.json": str(tmp_path / "nowhere"),
    }
    for reason, other in others.items():
        out = tmp_path / "out"
        assert cli.main(["ensemble", one, other, "--data", str(album), "--out", str(out)]) == 1
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert reason in err
        assert other in err
        assert not [*out.iterdir()]


def test_one_alone_is_no_ensemble_and_a_full_folder_is_not_written_to(joined, album, tmp_path, capsys):
    _, (one, two), both = joined
    before = {file.name: file.read_bytes() for file in both.iterdir()}
    assert cli.main(["ensemble", one, "--data", str(album), "--out", str(tmp_path / "out")]) == 1
    assert "two checkpoints or more" in capsys.readouterr().err
    assert cli.main(["ensemble", one, two, "--data", str(album), "--out", str(both)]) == 1
    assert "choose another --out" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in both.iterdir()} == before
    assert not (tmp_path / "out").exists()
