"""Run command lines, given as JSON, with every socket refused; fail, too, if a refusal would not have been noticed.

A second argument names the folder of the models that ship. Training is short, and scenes are few.
"""

import functools
import json
import sys
import urllib.request
from pathlib import Path

import torch

from companion import checkpoints, cli, scenes, tasks
from companion.training import TrainConfig

FEW = 12  # scenes of every split
SHORT = TrainConfig(epochs=2, lr=2e-3, rl_epochs=1)


def refuse(event: str, arguments: tuple) -> None:
    """Raise AssertionError for every event of a socket."""
    if event.startswith("socket."):
        raise AssertionError(f"{event} {arguments}")


commands, *pretrained = sys.argv[1:]
if pretrained:
    checkpoints.io.PRETRAINED = Path(pretrained[0])
make_dataset = scenes.make_dataset
scenes.make_dataset = lambda split, count, *rest, **options: make_dataset(split, min(count, FEW), *rest, **options)
tasks.scenes.train = functools.partial(tasks.scenes.train, config=SHORT, count=FEW)
torch.set_num_threads(1)
sys.addaudithook(refuse)
for line in json.loads(commands):
    status = cli.main(line)
    assert status == 0, (line, status)
try:
    urllib.request.urlopen("http://127.0.0.1:9")
except AssertionError:
    sys.exit(0)
sys.exit("a socket would not have been noticed")
