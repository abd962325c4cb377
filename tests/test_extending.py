"""A new mechanism or decoder takes one file and one line: it then passes the existing tests and can be trained.

The file is written into a temporary folder, and the line is run by a pytest plugin, so no file of the package or of its
tests changes.
"""

import importlib
import re
import subprocess
import sys

import pytest

from companion import attention, checkpoints, cli, decoders, scenes, tasks
from companion.training import TrainConfig
from tests.processes import ROOT, environment

TOY_ATTENTION = '''
"""Attention whose score is the negative L1 distance between the projected query and key."""

from jaxtyping import Float
from torch import Tensor

from companion.attention import ProjectedAttention


class ToyAttention(ProjectedAttention):
    """`score = -|W_q q - W_k k|`."""

    def scores(
        self, query: Float[Tensor, "*batch query hidden"], keys: Float[Tensor, "*batch place hidden"]
    ) -> Float[Tensor, "*batch query place"]:
        """Return the negative L1 distance of every query to every key."""
        return -(query.unsqueeze(-2) - keys.unsqueeze(-3)).abs().sum(-1)
'''

TOY_DECODER = '''
"""A decoder whose only state is the mean of the embeddings of the words so far."""

import torch
from jaxtyping import Int
from torch import Tensor, nn

from companion.attention import build
from companion.decoders import InputProjection, State, Step, expand_beams, tied_output_proj
from companion.encoders import Grid


class ToyDecoder(nn.Module):
    """Attend with the mean embedding as the query; predict the next word from the mean embedding and the context."""

    mechanisms = ("scaled_dot",)
    default_attention = "scaled_dot"
    supports_alignment = False

    def __init__(
        self,
        vocab: int,
        channels: int,
        hidden: int = 512,
        *,
        attention: str = "scaled_dot",
        dropout: float = 0.1,
        positions: bool = False,
    ):
        super().__init__()
        self.input_proj = InputProjection(channels, hidden, dropout, positions=positions)
        self.attention = build(attention, hidden, hidden, hidden)
        self.embed = nn.Embedding(vocab, hidden)
        self.merge = nn.Linear(2 * hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.output_proj = tied_output_proj(self.embed)

    def start(self, grid: Grid) -> State:
        """Return the state before the first word."""
        values = self.input_proj(grid)
        zeros = values.new_zeros(len(values), 1, values.shape[-1] + 1)  # the sum of the embeddings, and their number
        return State(self.attention.prepare(values, values), (zeros,))

    def step(self, tokens: Int[Tensor, "batch beam"], state: State) -> Step:
        """Read one token per hypothesis and return the logits of the next."""
        embedded = self.embed(tokens)
        total = state.carry[0] + torch.cat([embedded, torch.ones_like(embedded[..., :1])], dim=-1)
        mean = total[..., :-1] / total[..., -1:]
        context, weights = self.attention.attend(mean, *state.memory)
        output = embedded + torch.tanh(self.merge(torch.cat([mean, context], dim=-1)))
        return Step(self.output_proj(self.dropout(output)), weights, state._replace(carry=(total,)))

    def forward(self, grid: Grid, tokens: Int[Tensor, "batch beam word"]) -> Step:
        """Run known captions (teacher forcing)."""
        state, steps = expand_beams(self.start(grid), tokens.shape[1]), []
        for word in tokens.unbind(2):
            steps.append(self.step(word, state))
            state = steps[-1].state
        logits, weights = (torch.stack([getattr(s, key) for s in steps], 2) for key in ("logits", "weights"))
        return Step(logits, weights, state)
'''

PLUGIN = """
def pytest_configure():
    from companion.attention import MECHANISMS
    from companion.decoders import DECODERS
    from toy_attention import ToyAttention
    from toy_decoder import ToyDecoder

    MECHANISMS["toy_attention"] = ToyAttention
    DECODERS["toy_decoder"] = ToyDecoder
"""

FILES = ("test_attention.py", "test_decoders.py", "test_models.py", "test_checkpoints.py")


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """The folder of the two files, and of the plugin that registers what they define."""
    folder = tmp_path_factory.mktemp("toys")
    for name, text in (("toy_attention", TOY_ATTENTION), ("toy_decoder", TOY_DECODER), ("toy_plugin", PLUGIN)):
        (folder / f"{name}.py").write_text(text)
    return folder


@pytest.fixture(scope="module")
def results(toys):
    """The outcome of every existing test whose parameters name a toy, by the test's name."""
    checked = "--jaxtyping-packages=companion,toy_attention,toy_decoder,beartype.beartype"
    options = ["-p", "toy_plugin", "-p", "no:cacheprovider", checked, "-v", "-k", "toy"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(f"tests/{name}" for name in FILES)],
        cwd=ROOT,
        env=environment(PYTHONPATH=f"{toys}:{ROOT}", COLUMNS="300"),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
    return dict(re.findall(r"::(\S+\[.*toy.*\]) (\w+)", run.stdout))


@pytest.mark.parametrize(
    ("toy", "laws"),
    [
        ("toy_attention", ["a_masked_place_gets_exactly_zero", "attend_is_typed", "stepping_equals_teacher_forcing"]),
        ("toy_decoder", ["stepping_equals_teacher_forcing", "has_the_parts", "in_half_precision"]),
    ],
)
def test_a_registered_toy_passes_the_existing_tests(results, toy, laws):
    outcomes = {name: outcome for name, outcome in results.items() if toy in name}
    assert len(outcomes) > 30
    assert set(outcomes.values()) == {"PASSED"}
    assert all(any(law in name for name in outcomes) for law in laws)


@pytest.mark.parametrize(
    ("registry", "name", "cls", "options"),
    [
        (attention.MECHANISMS, "toy_attention", "ToyAttention", {"attention": "toy_attention", "decoder": "lstm"}),
        (decoders.DECODERS, "toy_decoder", "ToyDecoder", {"attention": "scaled_dot", "decoder": "toy_decoder"}),
    ],
)
def test_a_registered_toy_is_trained_from_the_command_line_to_the_card(
    registry, name, cls, options, toys, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(toys)
    monkeypatch.setitem(registry, name, getattr(importlib.import_module(name), cls))
    config = TrainConfig(epochs=1, lr=1e-3, batch_size=4, captions_per_image=2, alignment_weight=1.0)
    monkeypatch.setattr(tasks.scenes, "CONFIGS", {"tiny": (config, 8)})
    monkeypatch.setattr(tasks.scenes, "VALIDATION_SIZE", 4)
    monkeypatch.setattr(tasks.scenes, "MEASURED", 4)
    arguments = [word for key, value in options.items() for word in (f"--{key}", value)]
    assert cli.main(["train", "scenes", "--out", str(tmp_path / "run"), "--size", "tiny", *arguments]) == 0
    card = checkpoints.card(tmp_path / "run")
    assert card["config"] == {"task": "scenes", "size": "tiny", "decoders": 1, "positions": True, "blocks": 1} | options
    assert " ".join(arguments) in card["command"]
    assert card["metrics"].keys() >= {"truth", "pointing", "bleu4"}
    world = scenes.make_dataset("test", 2)
    captions = tasks.scenes.caption(checkpoints.load(tmp_path / "run"), world)
    assert [caption.weights.shape[1:] for caption in captions] == [(8, 8), (8, 8)]
    monkeypatch.delitem(registry, name)
    with pytest.raises(ValueError, match=f"'{name}'"):
        checkpoints.load(tmp_path / "run")
