"""The files of the live laboratory: the model as a script, the scripts on its page, and the record of its benchmark."""

import base64
import json
import re
from pathlib import Path

import pytest
import torch

from benchmarks import laboratory as benchmark
from companion import checkpoints, exporting
from companion.encoders import fold_batch_norms
from companion.exporting.arrays import unpack, weights_of
from companion.models import build
from companion.vocabulary import SPECIALS, Vocabulary
from tools import laboratory

SOURCES = sorted(laboratory.SOURCES.glob("*.js"))


def read(script):
    """Return what a script assigns to `attentionBook.model`."""
    return json.loads(re.fullmatch(r"attentionBook\.model = (.*);\n", script)[1])


def small(words=("a", "star"), **config):
    options = {"attention": "coverage", "blocks": 1} | config
    return build("scenes", Vocabulary([*SPECIALS, *words]), "tiny", **options).eval()


def test_a_script_holds_the_weights_up_to_the_rounding_of_a_row():
    captioner = small()
    before = {name: tensor.clone() for name, tensor in captioner.state_dict().items()}
    model = read(exporting.script(captioner))
    assert model["vocabulary"] == [*SPECIALS, "a", "star"]
    assert model["grid"] == [8, 8]
    stored = unpack(base64.b64decode(model["data"]), model["tensors"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in captioner.state_dict().items())
    fold_batch_norms(captioner.encoder)
    own = weights_of(captioner)
    assert own.keys() == stored.keys()
    for name, tensor in own.items():
        step = tensor.abs().flatten(1).amax(1) / 63 if tensor.ndim > 1 else torch.tensor(0.0)  # 63 to 127 steps a side
        rows = step.view(-1, *[1] * (tensor.ndim - 1)) if tensor.ndim > 1 else step
        assert ((stored[name] - tensor).abs() <= rows / 2 + 1e-12).all()


def test_no_word_ends_the_element_of_a_script():
    script = exporting.script(small(("</script><script>alert(1)//",)))
    assert "<" not in script
    assert read(script)["vocabulary"][-1] == "</script><script>alert(1)//"


@pytest.mark.parametrize(
    "config", [{"attention": "additive"}, {"blocks": 0}, {"positions": False}, {"encoder": "patches"}, {"decoders": 2}]
)
def test_a_captioner_of_other_parts_is_refused(config):
    with pytest.raises(ValueError, match=r"captioner\.js runs"):
        exporting.script(small(**config))


def test_the_page_runs_every_script_of_the_folder_once():
    assert sorted(f"{name}.js" for name in laboratory.SCRIPTS) == [path.name for path in SOURCES]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_script_is_short_explained_and_asks_nobody(path):
    source = path.read_text(encoding="utf-8")
    assert source.startswith("// ")
    assert len(source.splitlines()) <= 300
    assert max(map(len, source.splitlines())) <= 120
    assert not re.search(r"\b(innerHTML|outerHTML|insertAdjacentHTML|eval|fetch|XMLHttpRequest)\b", source)
    assert not re.search(r"^\s*(import|export)\b|\bimport\(", source, re.MULTILINE)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", source)


def test_a_page_of_its_own_has_the_model_beside_it(tmp_path):
    page = laboratory.write_page(tmp_path)
    listed = re.findall(r'(?:src|href)="([^"]+)"', page.read_text(encoding="utf-8"))
    assert all((tmp_path / name).is_file() for name in [*listed, laboratory.MODEL])


def test_the_record_is_complete_and_of_the_model_that_ships():
    results = json.loads(benchmark.RESULTS.read_text(encoding="utf-8"))
    assert results["sha256"] == checkpoints.card("scenes")["sha256"]
    assert results["machine"].keys() == {"processor", "browser"}
    equal = results["captions equal"]
    assert equal["greedy, PyTorch with eight bits"] == [benchmark.SCENES[1]] * 2
    assert equal["beam of five, PyTorch with eight bits"] == [benchmark.SCENES[5]] * 2
    first, greedy, beam = results["milliseconds"].values()
    assert first[0] < 1000
    assert greedy[0] < 150
    assert beam[0] > greedy[0]
    model = Path(laboratory.SOURCES / laboratory.MODEL)
    assert not model.exists(), "the model is written into the built pages, not into the sources"
