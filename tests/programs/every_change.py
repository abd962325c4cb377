"""Save a checkpoint over another one, and be killed at the n-th change of the disk, for every n.

Run it in an empty folder.
"""

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import torch

from companion import checkpoints
from tests.captioners import untrained

torch.set_num_threads(1)  # a child has no other thread than the one that forked
CHANGES = {"os.remove", "os.rename", "os.chmod", "tempfile.mkstemp"}
MODELS, FOLDER = [untrained(0), untrained(1)], Path("model")


def child(n: int) -> NoReturn:
    """Save the second model, and be killed before the change of the disk with number `n`, from 0."""
    left = n

    def watch(event: str, arguments: tuple) -> None:
        nonlocal left
        if event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    checkpoints.save(MODELS[1], FOLDER, {"minutes": 1})
    os._exit(0)


n, outcomes = 0, []
while True:
    checkpoints.save(MODELS[0], FOLDER, {"minutes": 0})
    pid = os.fork()
    if not pid:
        child(n)
    status = os.waitpid(pid, 0)[1]
    try:
        loaded = checkpoints.trained_weights(checkpoints.load(FOLDER))
        own = checkpoints.to_half(checkpoints.trained_weights(MODELS[checkpoints.card(FOLDER)["minutes"]]))
        same = all(torch.equal(own[k].float(), loaded[k].float()) for k in own)
        assert same, "mixed: the card of one, the weights of the other"
        outcomes.append(checkpoints.card(FOLDER)["minutes"])
    except ValueError:
        outcomes.append("refused")
    for name in os.listdir(FOLDER):
        if name.startswith("."):
            os.unlink(FOLDER / name)
    if not status:
        break
    n += 1
assert n >= 10, outcomes
assert (outcomes[0], outcomes[-1], "refused" in outcomes) == (0, 1, True), outcomes
