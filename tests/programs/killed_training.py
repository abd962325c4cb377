"""A training run that is killed at random moments and resumed, against one that is left alone.

    killed_training.py UNINTERRUPTED [SEED] [scenes|photos]

Every run is a child of this process, killed by SIGKILL at a step, at a file operation, or while the encoder computes
the grids of photographs. Run it in an empty folder. The run that is left alone is made in the folder UNINTERRUPTED
unless it is there already; SEED chooses where the others are killed.
"""

import functools
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from companion import models, tasks
from companion.encoders import Grid, to_grid
from companion.training import TrainConfig, feature_cache
from tests.albums import write_album

torch.set_num_threads(1)  # a child has no thread but the one that forked
CONFIG = TrainConfig(epochs=2, lr=2e-3, batch_size=4, captions_per_image=2, rl_epochs=1)
SCENES, STEPS = 12, 9
ENCODED_AT_ONCE = 2
TRAIN, DEV, DAMAGED = 13, 3, (2, 14)  # photographs; of the last, one is in train and one in dev
ENCODER_CALLS = 2 * (7 + 2)  # two views of each batch, the last of dev with one photograph
FILE_OPERATIONS = {"os.remove", "os.rename", "os.chmod", "tempfile.mkstemp"}
MOST_KILLS = 3  # of one run
FINAL_FILES = ("weights.safetensors", "training.safetensors", "vocabulary.json")
GRIDS = ("train.npy", "train.sha256", "dev.npy", "dev.sha256")  # of photographs

tasks.scenes.VALIDATION_SIZE = tasks.scenes.MEASURED = 4
tasks.run.plots.learning_curves = lambda *_: None  # type: ignore[assignment,misc] # drawing takes longer than training
tasks.run.plots.png = lambda *_: b"a picture"  # type: ignore[assignment,misc]
models.SIZES["tiny"] = ((16, 16, 16, 16), 32)
# A reward that samples of an untrained model differ in: their length.
by_length = lambda *_: lambda ids, captions: [[len(c.split()) for c in s] for s in captions]  # noqa: E731
tasks.scenes.scene_reward = tasks.photos.cider_reward = by_length  # type: ignore[assignment]
tasks.photos.feature_cache.cache_features = functools.partial(feature_cache.cache_features, batch_size=ENCODED_AT_ONCE)  # type: ignore[assignment]
tasks.photos.MIN_COUNT = 1

on_encoding: Callable[[], None] = lambda: None  # noqa: E731


class MeanColours(nn.Module):
    """Stands in for the frozen encoder: the mean colours of 4 x 4 parts. It writes down what it has encoded."""

    channels = 3

    def forward(self, images: torch.Tensor) -> Grid:
        """Return the grid of byte images."""
        on_encoding()
        grid = to_grid(nn.functional.adaptive_avg_pool2d(images.float() / 255, 4))
        with open(f"encoded.{os.getppid()}", "a", encoding="ascii") as file:
            file.writelines(f"{row.double().sum().item()} {row[0].tolist()}\n" for row in grid.features)
        return grid


models.EfficientNetLite0 = MeanColours  # type: ignore[assignment,misc]


def train_scenes(out: Path) -> None:
    """Train on drawn scenes, resuming what is there."""
    tasks.scenes.train(out, seed=1, size="tiny", attention="dot", resume=True, config=CONFIG, count=SCENES)


def train_photos(out: Path) -> None:
    """Train on an album with damaged photographs, resuming what is there."""
    tasks.photos.train(Path("album"), out, seed=1, resume=True, config=CONFIG)


def make_album() -> None:
    """Write the album."""
    words = "a dog runs on the green grass and then it stops".split()
    splits = ["train"] * TRAIN + ["dev"] * DEV
    write_album(Path("album"), splits=splits, captions=lambda i: [" ".join(words[: 3 + (i + j) % 8]) for j in range(3)])
    for number in DAMAGED:
        path = Path("album", f"{number}.png")
        path.write_bytes(path.read_bytes()[:-100])


TASKS = {"scenes": train_scenes, "photos": train_photos}
KINDS = {"scenes": ("step", "file operation"), "photos": ("step", "file operation", "call of the encoder")}


def train(task: str, out: Path, kill_at: tuple[str, int] | None) -> bool:
    """Start or resume the run in `out` and kill it at its n-th event of a kind; return True if it ended itself.

    Raises AssertionError if the run ends in any other way.
    """
    pid = os.fork()
    if not pid:
        run_in_child(task, out, kill_at)
    status = os.waitpid(pid, 0)[1]
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, f"status {status}"
    return status == 0


def run_in_child(task: str, out: Path, kill_at: tuple[str, int] | None) -> NoReturn:
    """Train, and write the number of events of each kind into a file beside `out`."""
    global on_encoding
    counts = dict.fromkeys(KINDS["photos"], 0)

    def count(kind: str) -> None:
        counts[kind] += 1
        if kill_at == (kind, counts[kind]):
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        opened = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR) and out.name in str(arguments[0])
        if opened or event in FILE_OPERATIONS:
            count("file operation")

    on_encoding = lambda: count("call of the encoder")  # noqa: E731
    register_optimizer_step_post_hook(lambda *_: count("step"))
    sys.addaudithook(audit)
    try:
        TASKS[task](out)
    except BaseException as error:
        print(f"broken: {error!r}", file=sys.stderr, flush=True)
        os._exit(1)
    counts_file(out).write_text(json.dumps(counts))
    os._exit(0)


def counts_file(out: Path) -> Path:
    """Return the file with the counts of the run in `out`."""
    return out.with_name(f"{out.name}.json")


def assert_same_run(uninterrupted: Path, out: Path, kills: list[tuple[str, int]]) -> None:
    """Assert that two runs left the same files, bit for bit, and the same log but for the seconds that it took."""
    for name in (*FINAL_FILES, *(name for name in GRIDS if (uninterrupted / name).exists())):
        if name == "training.safetensors":  # its log holds the seconds of each epoch
            ours, theirs = load_file(out / name), load_file(uninterrupted / name)
            same = ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
        else:
            same = (out / name).read_bytes() == (uninterrupted / name).read_bytes()
        assert same, f"another model after {kills}: {name} differs"
    logs = ([json.loads(x) for x in (f / "log.jsonl").read_text().splitlines()] for f in (uninterrupted, out))
    one, other = ([record | {"seconds": 0} for record in log] for log in logs)
    assert one == other, f"another log after {kills}"


def assert_encoded_once(kills: list[tuple[str, int]]) -> None:
    """Assert that no photograph was encoded twice, but for those of the batch at which it was killed."""
    path = Path(f"encoded.{os.getpid()}")
    views = Counter(path.read_text(encoding="ascii").splitlines())
    path.unlink()
    lost = {"call of the encoder": 1, "file operation": 2}  # views of the photographs of a batch
    most = sum(lost.get(kind, 0) * ENCODED_AT_ONCE for kind, _ in kills)
    assert len(views) == 2 * (TRAIN + DEV - len(DAMAGED)), f"{len(views)} views were encoded"
    assert views.total() <= len(views) + most, f"{views.total()} views were encoded, after {kills}"


def main(uninterrupted: Path, seed: int, task: str) -> None:
    """Kill one run for each kind of event, and compare each with the uninterrupted one."""
    rng = random.Random(seed)
    if task == "photos":
        make_album()
    if not counts_file(uninterrupted).exists():
        assert train(task, uninterrupted, None)
        if task == "photos":
            assert_encoded_once([])
    counts = json.loads(counts_file(uninterrupted).read_text())
    assert counts["step"] == STEPS, counts
    assert counts["file operation"] > 20, counts
    assert task == "scenes" or counts["call of the encoder"] == ENCODER_CALLS, counts
    for kind in KINDS[task]:
        out, kills = Path(f"killed at a {kind}"), []
        while True:  # killed again and again, until it gets through
            kills.append((kind, rng.randint(1, counts[kind])))
            if len(kills) > MOST_KILLS or train(task, out, kills[-1]):
                break
        resumable = [*out.glob("*training.safetensors"), *out.glob(".train.sha256.unfinished"), *out.glob("train.npy")]
        assert resumable, f"nothing to resume from after {kills}: take another seed"
        assert train(task, out, None)
        assert_same_run(uninterrupted, out, kills)
        if task == "photos":
            assert_encoded_once(kills)


main(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0, sys.argv[3] if sys.argv[3:] else "scenes")
