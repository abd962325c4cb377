"""A checkpoint saved over another one, and killed at the n-th change of the disk, for every n.

Run in an empty folder.
"""

import os
import signal
import sys
from pathlib import Path

import torch

from companion import checkpoints
from companion.captioner import build
from companion.vocabulary import SPECIALS, Vocabulary

torch.set_num_threads(1)  # a child has none but the thread that forked


def model(seed):
    torch.manual_seed(seed)
    return build("scenes", Vocabulary([*SPECIALS, "a", "red", "circle"]), "tiny")


models, folder = [model(0), model(1)], Path("model")
CHANGES = {"os.remove", "os.rename", "os.chmod", "tempfile.mkstemp"}


def child(n):
    left = n

    def watch(event, arguments):
        nonlocal left
        if event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    checkpoints.save(models[1], folder, {"minutes": 1})
    os._exit(0)


n, outcomes = 0, []
while True:
    checkpoints.save(models[0], folder, {"minutes": 0})
    pid = os.fork()
    if not pid:
        child(n)
    status = os.waitpid(pid, 0)[1]
    try:
        loaded = checkpoints.trained_weights(checkpoints.load(folder))
        own = checkpoints.halved(checkpoints.trained_weights(models[checkpoints.card(folder)["minutes"]]))
        same = all(torch.equal(own[k].float(), loaded[k].float()) for k in own)
        assert same, "mixed: the card of one, the weights of the other"
        outcomes.append(checkpoints.card(folder)["minutes"])
    except ValueError:
        outcomes.append("refused")
    for name in os.listdir(folder):
        if name.startswith("."):
            os.unlink(folder / name)
    if not status:
        break
    n += 1
assert n >= 10, outcomes
assert (outcomes[0], outcomes[-1], "refused" in outcomes) == (0, 1, True), outcomes
