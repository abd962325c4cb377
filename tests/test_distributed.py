"""Several processes train as one: the same batches, the same gradient, the same weights; what is killed goes on."""

import functools
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from torch import nn

from companion import checkpoints, cli, distribution, evaluation, recipes, scenes
from companion.batches import batches, caption_tensor
from companion.captioner import build
from companion.training import Batch, Plan, fit
from companion.vocabulary import Vocabulary

# What both the test, alone, and torchrun's processes run: this file is the program of the latter.
COUNT, STEPS = 7, 3  # batches of 3, 3 and 1 scenes: shares of unlike size, and one smaller than two processes
EXACT = Plan(epochs=2, rate=3e-4, batch=3, smoothing=0.1, doubly=0.1, shown=0.5)
USUAL = EXACT._replace(forget=0.3, judged=1, judged_rate=1e-3)
DOUBLE: Any = "64-true"  # AdamW divides by the size of a gradient, and so makes steps of the rounding of one near zero
DIE_AT = 4  # the step, counted over all epochs, that the second process does not live to see: in the second epoch


def lesson():
    """Seven small scenes, the odd ones with one short caption, so that the shares hold unlike numbers of words."""
    drawn = scenes.make("train", COUNT)
    where = recipes.shown(drawn)
    examples = evaluation.scene_examples(drawn)
    vocabulary = Vocabulary.build(caption for example in examples for caption in example.captions)
    tokens = caption_tensor(examples, vocabulary)
    tokens[1::2, 1:] = Vocabulary.pad
    where[1::2, 1:] = False
    return Batch(evaluation.scene_images(drawn), tokens, torch.arange(COUNT), where), vocabulary


def student(vocabulary, dropout):
    torch.manual_seed(0)
    captioner = build("scenes", vocabulary, "tiny")
    for module in captioner.modules():
        if isinstance(module, nn.Dropout) and not dropout:
            module.p = 0.0
    return captioner


def run(out, plan, fabric=None, resume=False, dropout=False, die_at=None):
    """One training; at the step `die_at` the second process is killed."""
    whole, vocabulary = lesson()
    step = itertools.count()

    def feed(generator):
        for chosen in batches(COUNT, plan.batch, generator):
            if next(step) == die_at and distribution.rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            mine = chosen[distribution.share(len(chosen))]
            yield Batch(*(x[mine] for x in whole if x is not None))

    def judge(pictures, captions):
        return [[1 / (1 + len(line.split())) for line in several] for several in captions]

    def validate(captioner):
        return {"validated by": float(distribution.rank())}

    return fit(student(vocabulary, dropout), feed, STEPS, plan, out, validate, resume, fabric, judge)


def program(what, folder):
    """What each of the two processes does."""
    torch.set_num_threads(1)
    fabric = distribution.start(devices=2, precision=DOUBLE if what == "exact" else "32-true")
    if what == "exact":
        run(folder / "exact", EXACT, fabric)
    if what == "whole":
        run(folder / "usual", USUAL, fabric, dropout=True)
    if what == "killed":
        run(folder / "killed", USUAL, fabric, dropout=True, die_at=DIE_AT)
    if what == "resumed":
        run(folder / "killed", USUAL, fabric, dropout=True, resume=True)
        recipes.train_scenes = functools.partial(recipes.train_scenes, plan=USUAL._replace(epochs=1), drawn=8)
        recipes.MEASURED = 4
        command = ["train", "scenes", "--size", "tiny", "--devices", "2", "--out", str(folder / "command")]
        assert cli.main(command) == 0
        sys.exit(cli.main(command))  # which is refused: the folder is not empty


def torchrun(what, folder):
    """The program in two processes, on this machine and over its own network alone."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    command += ["--nproc-per-node=2", __file__, what, str(folder)]
    own = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "TQDM_DISABLE": "1"}
    return subprocess.run(command, env=os.environ | own, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What two processes left behind when nothing went wrong."""
    folder = tmp_path_factory.mktemp("two")
    for what in ("exact", "whole"):
        done = torchrun(what, folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process left behind."""
    folder = tmp_path_factory.mktemp("one")
    run(folder / "exact", EXACT, Fabric(precision=DOUBLE))
    return folder


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def untimed(records):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


# -- the same as one --------------------------------------------------------------------------------------------------


def test_two_processes_learn_the_weights_that_one_learns(folder, alone):
    """To 1e-6, with cross-entropy, label smoothing, doubly stochastic attention, being shown, and batch norms.

    One batch has a single scene, which both see: there the variances that batch norms keep for later are counted in
    another way, 1 in 64 pixels at most.
    """
    one, two = (load_file(place / "exact" / "training.safetensors") for place in (alone, folder))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        loose = {"rtol": 0.01} if name.endswith("running_var") else {"rtol": 0, "atol": 1e-6}
        if name.startswith("model."):
            assert torch.allclose(tensor.float(), two[name].float(), **loose), name
    first = student(lesson()[1], dropout=False).state_dict()
    assert any((tensor - first[name[6:]]).abs().max() > 1e-3 for name, tensor in one.items() if name[6:] in first)


def test_two_processes_report_the_loss_of_one(folder, alone):
    one, two = ([record["loss"] for record in log(place / "exact")] for place in (alone, folder))
    assert one == pytest.approx(two, abs=2e-4)


def test_the_first_process_alone_validates(folder):
    assert [record["validated by"] for record in log(folder / "usual")] == [0, 0, 0]


# -- interrupted ------------------------------------------------------------------------------------------------------


def test_a_killed_process_ends_the_run_and_what_it_left_is_resumed_bit_for_bit(folder):
    """With dropout, forgotten words and a judged epoch, each drawn at random; then the command, start to end."""
    done = torchrun("killed", folder)
    assert done.returncode != 0
    assert "Signal 9 (SIGKILL)" in done.stderr
    assert [record["epoch"] for record in log(folder / "killed")] == [1]
    done = torchrun("resumed", folder)
    whole, resumed = (load_file(folder / name / "training.safetensors") for name in ("usual", "killed"))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
    assert untimed(log(folder / "killed")) == untimed(log(folder / "usual"))

    assert checkpoints.card(folder / "command")["machine"]["processes"] == 2
    assert checkpoints.load(folder / "command").settings["size"] == "tiny"
    assert done.stdout.count(f"saved in {folder / 'command'}") == 1
    assert done.stderr.count("holds card.json already; choose another --out") == 1
    assert done.returncode == 1


# -- the parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(9))
def test_shares_make_up_the_batch_and_nobodys_is_empty(count, monkeypatch):
    monkeypatch.setattr(distribution, "processes", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(distribution, "rank", lambda rank=rank: rank)
        shares.append(list(range(count))[distribution.share(count)])
    if count < 3:
        assert shares == [list(range(count))] * 3
    else:
        assert sorted(itertools.chain(*shares)) == list(range(count))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_with_one_process_nothing_changes():
    mean, norms = torch.tensor(0.1), nn.Sequential(nn.BatchNorm2d(3))
    before = norms[0]
    distribution.join_batch_norms(norms)
    assert norms[0] is before
    assert distribution.weighed(mean, 7) is mean
    assert distribution.share(5) == slice(0, None, 1)


@pytest.mark.parametrize(("rank", "raised"), [("0", ValueError), ("1", SystemExit)])
def test_another_number_of_processes_than_asked_for_is_refused_once(rank, raised, monkeypatch):
    """torchrun with two processes and a forgotten --devices 2 would be two trainings that write to one folder."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(raised) as caught:
        distribution.start(devices=1)
    if raised is ValueError:
        assert str(caught.value) == "2 processes were started, and --devices 1 --nodes 1 asks for 1: make them agree"


def test_a_batch_norm_alone_is_the_one_of_torch(monkeypatch):
    """The same output, gradient and memory of what was seen, in training and after it."""
    monkeypatch.setattr(distribution.distributed, "all_reduce", lambda _: None)
    torch.manual_seed(0)
    ours, theirs = distribution.BatchNorm(3), nn.BatchNorm2d(3)
    for part in (ours, theirs):
        part.weight.data = torch.tensor([0.5, 1.0, 2.0])
    for _ in range(2):
        x = torch.randn(2, 3, 4, 5) * 3 + 1
        seen = [x.clone().requires_grad_() for _ in range(2)]
        said = [part(y) for part, y in zip((ours, theirs), seen, strict=True)]
        for y in said:
            (y**3).sum().backward()
        assert torch.allclose(*said, atol=1e-5)
        assert torch.allclose(seen[0].grad, seen[1].grad, atol=1e-3)
    for name, tensor in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name].float(), tensor.float(), atol=1e-5), name
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-5)


if __name__ == "__main__":
    program(sys.argv[1], Path(sys.argv[2]))
