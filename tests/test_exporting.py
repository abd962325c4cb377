"""An exported captioner says what it says in PyTorch, and its arrays lie where the manifest says."""

import hashlib
import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import latency
from companion import checkpoints, cli, decoding, exporting, models, scenes
from companion.checkpoints import SCALE_EXPONENT
from companion.decoders import DECODERS, expand_beams
from companion.encoders import fold_batch_norms
from companion.exporting import OnnxCaptioner, graphs
from companion.exporting.graphs import Graph
from companion.models import LENGTH_POWER
from companion.vocabulary import SPECIALS, Vocabulary

WORDS = Vocabulary([*SPECIALS, *"there is a red circle and blue square".split()])


def export(weights, out):
    """Run the command in a process of its own, where no shape is checked while the exporter reads the code."""
    command = [sys.executable, "-m", "companion.cli", "export", str(weights), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An export of the scenes model that ships."""
    out = tmp_path_factory.mktemp("export") / "scenes"
    export("scenes", out)
    return out


@pytest.fixture(scope="module")
def captioner():
    return checkpoints.load("scenes")


@pytest.fixture(scope="module")
def folded():
    captioner = checkpoints.load("scenes")
    fold_batch_norms(captioner.encoder)
    return captioner


@pytest.mark.slow
@pytest.mark.parametrize("beam", [1, 5])
def test_captions_of_200_scenes_are_those_of_pytorch(folder, captioner, beam):
    images = scenes.image_tensor(scenes.make_dataset("validation", 200))
    model = OnnxCaptioner(folder)
    ours = decoding.beam_search(model, images, model.vocabulary, beam, length_power=LENGTH_POWER)
    theirs = captioner.caption(images, beam)
    assert [c.words for c in ours] == [c.words for c in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert a.log_probability == pytest.approx(b.log_probability, abs=1e-3)
        torch.testing.assert_close(a.weights, b.weights.flatten(1), atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "beam"), [(1, 1), (1, 4), (5, 2)])
def test_batch_and_beam_may_have_any_size(folder, captioner, batch, beam):
    images = scenes.image_tensor(scenes.make_dataset("validation", batch))
    tokens = torch.randint(4, len(captioner.vocabulary), (batch, beam))
    with torch.inference_mode():
        ours, theirs = (
            model.step(tokens, expand_beams(model.start(images), beam)) for model in (OnnxCaptioner(folder), captioner)
        )
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-4, rtol=0)
    for a, b in zip(ours.state.carry, theirs.state.carry, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_the_manifest_lists_every_file_with_its_digest_and_all_that_a_program_needs(folder, captioner):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {file.name for file in folder.iterdir()} == {*manifest["sha256"], "manifest.json"}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert manifest["vocabulary"] == captioner.vocabulary.words
    assert manifest["grid"] == [8, 8]
    assert manifest["image_size"] == 64
    for graph in manifest["graphs"].values():
        assert b"companion/" not in (folder / graph["file"]).read_bytes()  # no path of this machine


@pytest.mark.slow
def test_the_arrays_lie_row_by_row_where_the_manifest_says(folder, folded):
    """Read by NumPy alone. A row's integers times two to its exponent are off by half of that at most."""
    manifest = json.loads((folder / "manifest.json").read_text())
    read = {}
    for kind, weights in manifest["weights"].items():
        data = (folder / weights["file"]).read_bytes()
        read[kind] = {
            entry["name"]: np.frombuffer(data, f"<{entry['dtype'][0]}{int(entry['dtype'][-2:].lstrip('t')) // 8}",
                                         np.prod(entry["shape"], dtype=int), entry["offset"]).reshape(entry["shape"])
            for entry in weights["tensors"]
        }  # fmt: skip
    state = dict(folded.named_parameters())
    assert set(read["float32"]) == set(state)
    for name, tensor in state.items():
        np.testing.assert_array_equal(read["float32"][name], tensor.detach().numpy())
        rounded = read["int8"][name]
        if tensor.ndim < 2:
            np.testing.assert_array_equal(rounded, tensor.detach().numpy())
            continue
        scale = 2.0 ** read["int8"][f"{name}{SCALE_EXPONENT}"].astype(float)
        error = np.abs(rounded.reshape(len(scale), -1) * scale[:, None] - tensor.detach().flatten(1).numpy())
        assert (error <= scale[:, None] / 2).all()
        assert np.abs(rounded.astype(int)).max() <= 127


@pytest.mark.slow
def test_the_model_is_restored_from_either_kind_of_array(folder, folded):
    images = scenes.image_tensor(scenes.make_dataset("validation", 8))
    exact, rounded = exporting.restore(folder, "float32"), exporting.restore(folder, "int8")
    assert torch.equal(exact.encode(images).features, folded.encode(images).features)
    assert [c.words for c in exact.caption(images)] == [c.words for c in folded.caption(images)]
    weight = folded.decoder.get_submodule("cell").weight_ih
    integers, exponents = checkpoints.quantize_int8(weight)
    expected = checkpoints.dequantize({"w": integers, f"w{SCALE_EXPONENT}": exponents})["w"]
    assert torch.equal(rounded.decoder.get_submodule("cell").weight_ih, expected)
    assert not torch.equal(weight, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(DECODERS) - {"lstm"}))  # which `folder` has
def test_every_decoder_that_is_registered_steps_alike(name, tmp_path):
    """Also one whose state grows with the words, such as a transformer's."""
    torch.manual_seed(0)
    captioner = models.build("scenes", WORDS, "tiny", decoder=name).eval()
    checkpoints.save(captioner, tmp_path / "run", {})
    export(tmp_path / "run", tmp_path / "out")
    captioner, model = checkpoints.load(tmp_path / "run"), OnnxCaptioner(tmp_path / "out")
    images = scenes.image_tensor(scenes.make_dataset("validation", 2))
    with torch.inference_mode():
        ours, theirs = (expand_beams(each.start(images), 3) for each in (model, captioner))
        for tokens in torch.randint(4, len(WORDS), (4, 2, 3)):
            step, reference = model.step(tokens, ours), captioner.step(tokens, theirs)
            torch.testing.assert_close(step.logits, reference.logits, atol=1e-4, rtol=0)
            torch.testing.assert_close(step.weights, reference.weights, atol=1e-4, rtol=0)
            ours, theirs = step.state, reference.state


class Ranks(nn.Module):
    """What the tagger of photographs does that ONNX has no operator for."""

    def forward(self, x):
        knots = torch.tensor([-1.0, 0.0, 0.5, 2.0])
        return torch.searchsorted(knots, x), *x.sort(dim=1, descending=True, stable=True)


def test_searchsorted_and_a_stable_sort_are_translated():
    import onnxruntime

    x = torch.tensor([[0.0, 0.5, 0.5, 3.0, -2.0, 0.0], [1.0, 1.0, 1.0, -1.0, 2.0, 2.0]])
    data = graphs.to_onnx("encoder", Graph(Ranks(), {"x": x}, [{0: "batch"}], ["index", "values", "order"]))
    more = torch.cat([x, x.flip(1)])
    for ours, theirs in zip(
        onnxruntime.InferenceSession(data).run(None, {"x": more.numpy()}), Ranks()(more), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs.numpy())


class Untranslatable(nn.Module):
    def forward(self, x):
        return torch.linalg.eigvals(x).abs()


def test_a_part_without_a_translation_is_named():
    graph = Graph(Untranslatable(), {"x": torch.eye(3)[None]}, [{0: "batch"}], ["y"])
    with pytest.raises(ValueError, match=r"the start of this captioner has no translation to ONNX: .*eig"):
        graphs.to_onnx("start", graph)


def test_nothing_is_written_if_a_part_has_no_translation(tmp_path, monkeypatch):
    def fails(name, graph):
        if name == "step":
            raise ValueError("no translation")
        return b"graph"

    monkeypatch.setattr(graphs, "to_onnx", fails)
    with pytest.raises(ValueError, match="no translation"):
        exporting.export(models.build("scenes", WORDS, "tiny"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("mine")
    assert cli.main(["export", "scenes", "--out", str(tmp_path)]) == 1
    assert "holds letter.txt already" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["letter.txt"]


def test_without_its_packages_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(graphs, "PACKAGES", ("onnxruntime_that_is_not_there",))
    assert cli.main(["export", "scenes", "--out", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert 'pip install "attention-companion[export]"' in line
    assert not (tmp_path / "out").exists()
    with pytest.raises(RuntimeError, match="onnxruntime_that_is_not_there"):
        OnnxCaptioner(tmp_path)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """An export whose graphs are no graphs."""
    monkeypatch.setattr(graphs, "to_onnx", lambda name, graph: name.encode())
    exporting.export(models.build("scenes", WORDS, "tiny"), tmp_path)
    return tmp_path


def test_a_changed_file_and_another_format_are_refused(toy):
    assert exporting.read_manifest(toy)["format"] == exporting.FORMAT
    (toy / "step.onnx").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"step\.onnx: missing, or not the file"):
        exporting.read_weights(toy)
    (toy / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="format 99"):
        exporting.read_manifest(toy)
    (toy / "manifest.json").unlink()
    with pytest.raises(ValueError, match="companion export"):
        exporting.read_manifest(toy)


def test_the_captioner_that_is_exported_does_not_change(toy):
    captioner = models.build("scenes", WORDS, "tiny").train()
    before = {name: tensor.clone() for name, tensor in captioner.state_dict().items()}
    exporting.export(captioner, toy)
    assert captioner.training
    assert captioner.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in captioner.state_dict().items())


def test_the_stored_latencies_are_complete_and_of_the_weights_that_ship():
    record = json.loads(latency.RESULTS.read_text())
    assert tuple(record["models"]) == latency.MODELS
    for name, facts in record["models"].items():
        assert facts["sha256"] == checkpoints.card(name)["sha256"]
        assert list(facts["milliseconds"]) == [f"beam {beam}" for beam in latency.BEAMS]
        for ways in facts["milliseconds"].values():
            assert tuple(ways) == latency.WAYS
            assert all(row[key] == sorted(row[key]) for row in ways.values() for key in ("processor", "ratio"))
    assert len(record["models"]["scenes"]["truth"]) == len(latency.WAYS) + 1


def test_every_way_is_timed_with_every_picture_in_turn():
    """A model that takes three times as long as another has a ratio of about three."""

    class Slow:
        vocabulary = WORDS

        def __init__(self, milliseconds):
            self.milliseconds = milliseconds

        def encode(self, images):
            end = time.process_time() + self.milliseconds / 1000
            while time.process_time() < end:
                pass
            return images

    ways = {"a": Slow(2.0), "b": Slow(6.0)}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(latency, "search", lambda model, grid, beam: [decoding.Caption(("a",), 0.0, torch.ones(1, 1))])
        rows = latency.time_ways(ways, torch.zeros(5, 3, 2, 2), 1, turns=4)
    assert rows["a"]["ratio"] == [1, 1, 1]
    assert 2 < rows["b"]["ratio"][1] < 4
    assert rows["b"]["same captions"] == [5, 5]
