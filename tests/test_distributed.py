"""Two processes train as one: the same batches, gradients and weights; a run that was killed is resumed bit for bit."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from torch import nn

from companion import checkpoints, models
from companion.training import distributed
from tests.helpers import read_log, small_captioner, without_seconds
from tests.programs import two_processes

ROOT = Path(__file__).parents[1]


def torchrun(task, folder):
    """Run the program in two processes, on this machine and over its loopback interface alone."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    command += ["--nproc-per-node=2", "-m", "tests.programs.two_processes", task, str(folder)]
    own = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "TQDM_DISABLE": "1"}
    return subprocess.run(
        command, env=os.environ | own, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The folder with the runs of two processes, of which the last was killed, and how torchrun ended."""
    folder = tmp_path_factory.mktemp("two")
    return folder, torchrun("train", folder)


# -- the same as one --------------------------------------------------------------------------------------------------


def test_two_processes_learn_the_weights_and_report_the_loss_of_one(together, tmp_path):
    """To 1e-6, with cross-entropy, label smoothing, doubly stochastic and alignment losses, and batch norms.

    One batch has a single scene, which both see: there the variances that batch norms keep for later are counted in
    another way, 1 in 64 pixels at most.
    """
    folder, done = together
    assert (folder / "exact" / "training.safetensors").exists(), done.stderr
    captioner = two_processes.train(tmp_path, two_processes.EXACT, fabric=Fabric(precision="64-true"), dropout=0.0)
    one, two = (load_file(out / "training.safetensors") for out in (tmp_path, folder / "exact"))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        tolerance = {"rtol": 0.01} if name.endswith("running_var") else {"rtol": 0, "atol": 1e-6}
        if name.startswith("model."):
            assert torch.allclose(tensor.float(), two[name].float(), **tolerance), name
    untrained = small_captioner(captioner.vocabulary).state_dict()
    trained = {name: tensor for name, tensor in captioner.state_dict().items() if tensor.is_floating_point()}
    assert any((tensor - untrained[name]).abs().max() > 1e-3 for name, tensor in trained.items())
    losses = [[record["loss"] for record in read_log(out)] for out in (tmp_path, folder / "exact")]
    assert losses[0] == pytest.approx(losses[1], abs=2e-4)


def test_rank_zero_alone_validates(together):
    assert [record["rank"] for record in read_log(together[0] / "uninterrupted")] == [0, 0, 0]


# -- interrupted ------------------------------------------------------------------------------------------------------


def test_a_killed_process_ends_the_run_which_is_resumed_bit_for_bit_and_then_the_command_runs(together, monkeypatch):
    """With dropout, word dropout and an epoch of reinforcement learning, each random; the command from start to end."""
    folder, done = together
    assert done.returncode != 0
    assert "Signal 9 (SIGKILL)" in done.stderr
    assert [record["epoch"] for record in read_log(folder / "killed")] == [1]
    done = torchrun("resume", folder)
    uninterrupted, resumed = (load_file(folder / name / "training.safetensors") for name in ("uninterrupted", "killed"))
    assert uninterrupted.keys() == resumed.keys()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in uninterrupted.items()), done.stderr
    assert without_seconds(read_log(folder / "killed")) == without_seconds(read_log(folder / "uninterrupted"))

    assert checkpoints.card(folder / "command")["machine"]["processes"] == 2
    monkeypatch.setattr(models, "SIZES", two_processes.SMALL)
    assert checkpoints.load(folder / "command").config["size"] == "tiny"
    assert done.stdout.count(f"saved in {folder / 'command'}") == 1
    assert done.stderr.count("holds card.json already; choose another --out") == 1
    assert done.returncode == 1


# -- the parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(9))
def test_the_parts_make_up_the_batch_and_none_is_empty(count, monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    parts = []
    for rank in range(3):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        parts.append(list(range(count))[distributed.rank_slice(count)])
    if count < 3:
        assert parts == [list(range(count))] * 3
    else:
        assert sorted(itertools.chain(*parts)) == list(range(count))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_with_one_process_nothing_changes():
    mean, norms = torch.tensor(0.1), nn.Sequential(nn.BatchNorm2d(3))
    before = norms[0]
    distributed.convert_sync_batchnorm(norms)
    assert norms[0] is before
    assert distributed.global_mean(mean, 7) is mean
    assert distributed.rank_slice(5) == slice(0, None, 1)


@pytest.mark.parametrize(("rank", "raised"), [("0", ValueError), ("1", SystemExit)])
def test_another_number_of_processes_than_asked_for_is_refused_once(rank, raised, monkeypatch):
    """torchrun with two processes and a forgotten --devices 2 would be two trainings that write to one folder."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(raised) as caught:
        distributed.launch(devices=1)
    if raised is ValueError:
        assert str(caught.value) == "2 processes were started, and --devices 1 --nodes 1 asks for 1: make them agree"


def test_a_sync_batch_norm_alone_is_the_batch_norm_of_torch(monkeypatch):
    """The same output, gradient and running statistics, in training and in eval mode."""
    monkeypatch.setattr(distributed.dist, "all_reduce", lambda _: None)
    torch.manual_seed(0)
    ours, theirs = distributed.SyncBatchNorm(3), nn.BatchNorm2d(3)
    for norm in (ours, theirs):
        norm.weight.data = torch.tensor([0.5, 1.0, 2.0])
    for _ in range(2):
        x = torch.randn(2, 3, 4, 5) * 3 + 1
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [norm(y) for norm, y in zip((ours, theirs), inputs, strict=True)]
        for y in outputs:
            (y**3).sum().backward()
        assert torch.allclose(*outputs, atol=1e-5)
        assert torch.allclose(inputs[0].grad, inputs[1].grad, atol=1e-3)
    for name, tensor in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name].float(), tensor.float(), atol=1e-5), name
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-5)
