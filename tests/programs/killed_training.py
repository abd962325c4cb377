"""A training run that is killed at random steps and file operations and resumed, against one that is left alone.

    killed_training.py UNINTERRUPTED [SEED]

Every run is a child of this process, killed by SIGKILL. Run it in an empty folder. The run that is left alone is made
in the folder UNINTERRUPTED unless it is there already; SEED chooses where the others are killed.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_post_hook

from companion import models, tasks
from companion.training import TrainConfig

torch.set_num_threads(1)  # a child has no thread but the one that forked
CONFIG = TrainConfig(epochs=2, lr=2e-3, batch_size=4, captions_per_image=2, rl_epochs=1)
SCENES, STEPS = 12, 9
FILE_OPERATIONS = {"os.remove", "os.rename", "os.chmod", "tempfile.mkstemp"}
MOST_KILLS = 3  # of one run
FINAL_FILES = ("weights.safetensors", "training.safetensors", "vocabulary.json")

tasks.scenes.VALIDATION_SIZE = tasks.scenes.MEASURED = 4
tasks.run.plots.learning_curves = lambda *_: None  # type: ignore[assignment,misc] # drawing takes longer than training
tasks.run.plots.png = lambda *_: b"a picture"  # type: ignore[assignment,misc]
models.SIZES["tiny"] = ((16, 16, 16, 16), 32)
# A reward that samples of an untrained model differ in: their length.
tasks.scenes.scene_reward = lambda world, train: lambda ids, captions: [[len(c.split()) for c in s] for s in captions]


def train(out: Path, kill_at: tuple[str, int] | None) -> bool:
    """Start or resume the run in `out` and kill it at its n-th step or file operation; return True if it ended itself.

    Raises AssertionError if the run ends in any other way.
    """
    pid = os.fork()
    if not pid:
        run_in_child(out, kill_at)
    status = os.waitpid(pid, 0)[1]
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, f"status {status}"
    return status == 0


def run_in_child(out: Path, kill_at: tuple[str, int] | None) -> NoReturn:
    """Train, and write the numbers of steps and of file operations into a file beside `out`."""
    counts = {"step": 0, "file operation": 0}

    def count(kind: str) -> None:
        counts[kind] += 1
        if kill_at == (kind, counts[kind]):
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        opened = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR) and out.name in str(arguments[0])
        if opened or event in FILE_OPERATIONS:
            count("file operation")

    register_optimizer_step_post_hook(lambda *_: count("step"))
    sys.addaudithook(audit)
    try:
        tasks.scenes.train(out, seed=1, size="tiny", attention="dot", resume=True, config=CONFIG, count=SCENES)
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
    for name in FINAL_FILES:
        if name == "training.safetensors":  # its log holds the seconds of each epoch
            ours, theirs = load_file(out / name), load_file(uninterrupted / name)
            same = ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
        else:
            same = (out / name).read_bytes() == (uninterrupted / name).read_bytes()
        assert same, f"another model after {kills}: {name} differs"
    logs = ([json.loads(x) for x in (f / "log.jsonl").read_text().splitlines()] for f in (uninterrupted, out))
    one, other = ([record | {"seconds": 0} for record in log] for log in logs)
    assert one == other, f"another log after {kills}"


def main(uninterrupted: Path, seed: int) -> None:
    """Kill one run at steps and another at file operations, and compare each with the uninterrupted one."""
    rng = random.Random(seed)
    if not counts_file(uninterrupted).exists():
        assert train(uninterrupted, None)
    counts = json.loads(counts_file(uninterrupted).read_text())
    assert counts["step"] == STEPS, counts
    assert counts["file operation"] > 20, counts
    for kind in ("step", "file operation"):
        out, kills = Path(f"killed at a {kind}"), []
        while True:  # killed again and again, until it gets through
            kills.append((kind, rng.randint(1, counts[kind])))
            if len(kills) > MOST_KILLS or train(out, kills[-1]):
                break
        assert (out / "training.safetensors").exists(), f"no epoch to resume from after {kills}: take another seed"
        assert train(out, None)
        assert_same_run(uninterrupted, out, kills)


main(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0)
