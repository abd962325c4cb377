"""Training that is killed at random steps and changes of the disk, and resumed, against training that is left alone.

Every run is a child of this process, killed by SIGKILL. Run in an empty folder; the number is the seed of chance.
"""

import functools
import json
import os
import random
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_post_hook

from companion import evaluation, recipes, scenes
from companion.training import Plan

torch.set_num_threads(1)  # a child has none but the thread that forked
PLAN = Plan(epochs=3, rate=2e-3, batch=8, captions=2, judged=1)
CHANGES = {"os.remove", "os.rename", "os.chmod", "tempfile.mkstemp"}
FINAL = ("weights.safetensors", "training.safetensors", "vocabulary.json")

make = scenes.make
recipes.scenes.make = lambda split, count, *rest: make(split, min(count, 24), *rest)
evaluation.evaluate_scenes = functools.partial(evaluation.evaluate_scenes, count=4)


def train(out: Path, stop_at: tuple[str, int] | None) -> bool:
    """Go on with the run in `out` until its n-th step, or its n-th change of the disk; did it end by itself?"""
    pid = os.fork()
    if not pid:
        child(out, stop_at)
    status = os.waitpid(pid, 0)[1]
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, f"status {status}"
    return status == 0


def child(out: Path, stop_at: tuple[str, int] | None) -> None:
    """One run; it counts what it does into a file beside `out`."""
    done = {"step": 0, "change": 0}

    def count(what: str) -> None:
        done[what] += 1
        if stop_at == (what, done[what]):
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(event: str, given: tuple) -> None:
        if event in CHANGES or (event == "open" and given[2] & (os.O_WRONLY | os.O_RDWR) and out.name in str(given[0])):
            count("change")

    register_optimizer_step_post_hook(lambda *_: count("step"))
    sys.addaudithook(watch)
    try:
        recipes.train_scenes(out, seed=1, size="tiny", resume=True, plan=PLAN, drawn=24)
    except BaseException as error:
        print(f"broken: {error!r}", file=sys.stderr, flush=True)
        os._exit(1)
    Path("done.json").write_text(json.dumps(done))
    os._exit(0)


def compare(whole: Path, out: Path, stops: list) -> None:
    """The same files, bit for bit, and the same log but for the time that it took."""
    for name in FINAL:
        if name == "training.safetensors":  # its log tells how long each epoch took
            ours, theirs = load_file(out / name), load_file(whole / name)
            same = ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
        else:
            same = (out / name).read_bytes() == (whole / name).read_bytes()
        assert same, f"another model after {stops}: {name} differs"
    one, other = ([json.loads(line) for line in (f / "log.jsonl").read_text().splitlines()] for f in (whole, out))
    assert [r | {"seconds": 0} for r in one] == [r | {"seconds": 0} for r in other], f"another log after {stops}"


def main() -> None:
    chance, whole = random.Random(int(sys.argv[1]) if sys.argv[1:] else 0), Path("whole")
    assert train(whole, None)
    done = json.loads(Path("done.json").read_text())
    assert done["step"] == 12, done
    assert done["change"] > 20, done
    for i, what in enumerate(("step", "step", "change", "change")):
        out, stops = Path(f"killed {i}"), []
        while True:  # killed again and again, each time a little further on, until it gets through
            stops.append((what, chance.randint(1, done[what])))
            if len(stops) == 4 or train(out, stops[-1]):
                break
        assert train(out, None)
        compare(whole, out, stops)


main()
