"""Runs command lines, given as JSON, with every socket refused; says so if a refusal would not have been noticed.

A second argument names the folder of the models that ship. Training is short, and scenes are few.
"""

import functools
import json
import sys
import urllib.request
from pathlib import Path

import torch

from companion import checkpoints, cli, recipes, scenes
from companion.training import Plan


def refuse(event: str, arguments: tuple) -> None:
    if event.startswith("socket."):
        raise AssertionError(f"{event} {arguments}")


commands, *ships = sys.argv[1:]
if ships:
    checkpoints.SHIPPED = Path(ships[0])
make = scenes.make
scenes.make = lambda split, count, *rest: make(split, min(count, 12), *rest)
recipes.train_scenes = functools.partial(recipes.train_scenes, plan=Plan(epochs=2, rate=2e-3, judged=1), drawn=12)
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
