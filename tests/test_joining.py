"""Decoders trained apart speak together: the joined checkpoint is theirs, measured, and nothing else is joined."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from safetensors.torch import save as bytes_of

from companion import checkpoints, cli, datasets, evaluation, photos
from companion.captioner import build
from companion.ensemble import Ensemble
from companion.training import rounded
from companion.vocabulary import SPECIALS, Vocabulary

WORDS = Vocabulary([*SPECIALS, *"a dog cat man runs sits on the grass water".split()])


def made(folder, name, seed, words=WORDS, **settings):
    """A checkpoint that was never trained but says something, and its path as text."""
    torch.manual_seed(seed)
    captioner = build(settings.pop("data", "photos"), words, "tiny", **settings)
    with torch.no_grad():
        for parameter in captioner.decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    card = {"command": f"companion train {name}", "seed": seed, "minutes": 1.5, "data": {"name": "album"}, "log": []}
    checkpoints.save(captioner, folder / name, card)
    return str(folder / name)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Three photographs of the dev split, and one to have learnt from."""
    folder = tmp_path_factory.mktemp("data") / "album"
    folder.mkdir()
    chance, lines = np.random.default_rng(0), ["image,caption,split"]
    for i in range(4):
        pixels = chance.integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((60, 40)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,a dog runs on the grass,{'dev' if i else 'train'}")
    (folder / "captions.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def joined(album, tmp_path_factory):
    """Two checkpoints, and what the command made of them."""
    folder = tmp_path_factory.mktemp("runs")
    parts = [made(folder, name, seed) for seed, name in enumerate(("one", "two"))]
    status = cli.main(["join", *parts, "--data", str(album), "--out", str(folder / "both")])
    return status, parts, folder / "both"


def test_it_says_what_its_decoders_say_together(joined, album):
    status, parts, out = joined
    assert status == 0
    both, alone = checkpoints.load(out), [checkpoints.load(part) for part in parts]
    for own, one in zip(both.decoder.decoders, alone, strict=True):
        for name, tensor in one.decoder.state_dict().items():
            kept, longest = own.state_dict()[name], tensor.abs().amax(-1, keepdim=True) if tensor.ndim else 0
            if tensor.ndim == 2:  # rounded to one of 255 steps
                assert ((kept - tensor).abs() <= longest / 127).all()
                assert not torch.equal(kept, tensor)
            else:
                assert torch.equal(kept, tensor)
    image = photos.load(album / "1.png")[None]
    by_hand = build("photos", WORDS, "tiny").eval()
    by_hand.decoder = Ensemble(both.decoder.decoders).eval()
    for ours, theirs in zip(both.caption(image), by_hand.caption(image), strict=True):
        assert ours.words == theirs.words
        assert ours.log_probability == theirs.log_probability


def test_two_decoders_kept_in_bytes_are_no_larger_than_one_and_saving_again_changes_nothing(joined, tmp_path):
    _, (one, _), out = joined
    both = (out / "weights.safetensors").stat().st_size
    assert both < 1.05 * (Path(one) / "weights.safetensors").stat().st_size
    checkpoints.save(checkpoints.load(out), tmp_path / "again", {})
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == (out / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-3, 1.0, 127.0, 128.0, 6e4])
def test_in_bytes_a_number_is_off_by_half_a_step_at_most(scale):
    matrix = torch.randn(9, 50, generator=torch.Generator().manual_seed(0)).clamp(-3, 3) / 3 * scale
    matrix[0, 0], matrix[1] = scale, 0
    small, power = checkpoints.in_bytes(matrix)
    back = torch.ldexp(small.float(), power.unsqueeze(1))
    step = torch.exp2(power.float()).unsqueeze(1)
    assert ((back - matrix).abs() <= step / 2).all()
    assert int(small.abs().max()) <= 127
    if scale > 1e-20:
        assert (matrix.abs().amax(1)[[0, *range(2, 9)]] > 63 * step[[0, *range(2, 9)], 0]).all()  # no finer step fits
    assert torch.equal(checkpoints.in_bytes(back)[0][small != 0], small[small != 0])


@pytest.mark.parametrize("harm", ["powers missing", "powers of another shape", "not finite"])
def test_bytes_that_belong_to_no_powers_are_refused(harm, joined, tmp_path):
    shutil.copytree(joined[2], tmp_path / "copy")
    path, name = tmp_path / "copy" / "weights.safetensors", "decoder.decoders.1.ask.weight"
    tensors = load_file(path)
    if harm == "powers missing":
        del tensors[f"{name}.power"]
    elif harm == "powers of another shape":
        tensors[f"{name}.power"] = tensors[f"{name}.power"][:-1].clone()
    else:
        tensors[f"{name}.power"].fill_(127)
    path.write_bytes(bytes_of(tensors))
    card = json.loads((tmp_path / "copy" / "card.json").read_text())
    card["sha256"] = checkpoints.sha256(path)
    (tmp_path / "copy" / "card.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=name):
        checkpoints.load(tmp_path / "copy")


def test_its_card_names_those_it_was_made_of_and_measures_all_of_dev(joined, album):
    _, parts, out = joined
    card = checkpoints.card(out)
    assert card["command"] == "companion join one two --data album --out both"
    assert [one["sha256"] for one in card["joined"]] == [checkpoints.card(part)["sha256"] for part in parts]
    assert [one["seed"] for one in card["joined"]] == [0, 1]
    assert card["minutes"] == 3.0
    assert card["settings"]["decoders"] == 2
    examples = datasets.read(album).splits["dev"]
    said = evaluation.caption_photos(checkpoints.load(out), examples)
    assert card["metrics"] == rounded(evaluation.score_photos(said, examples))
    assert {file.name for file in out.iterdir()} == {"weights.safetensors", "vocabulary.json", "card.json"}


def test_what_cannot_be_joined_is_named_and_nothing_is_written(joined, album, tmp_path, capsys):
    _, (one, two), both = joined
    others = {
        "was trained on scenes": made(tmp_path, "scenes", 2, data="scenes"),
        "other words": made(tmp_path, "words", 2, Vocabulary([*SPECIALS, "a", "dog"])),
        "settings": made(tmp_path, "settings", 2, attention="dot"),
        "several decoders already": str(both),
        "no card.json": str(tmp_path / "nowhere"),
    }
    for reason, other in others.items():
        out = tmp_path / "out"
        assert cli.main(["join", one, two, other, "--data", str(album), "--out", str(out)]) == 1
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert reason in err
        assert other in err
        assert not [*out.iterdir()]


def test_one_alone_is_not_joined_and_a_full_folder_is_not_written_to(joined, album, tmp_path, capsys):
    _, (one, two), both = joined
    before = {file.name: file.read_bytes() for file in both.iterdir()}
    assert cli.main(["join", one, "--data", str(album), "--out", str(tmp_path / "out")]) == 1
    assert "two checkpoints or more" in capsys.readouterr().err
    assert cli.main(["join", one, two, "--data", str(album), "--out", str(both)]) == 1
    assert "choose another --out" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in both.iterdir()} == before
    assert not (tmp_path / "out").exists()
