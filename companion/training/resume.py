"""Save the state of a training run after every epoch, and resume from it bit for bit.

Explained in the chapters on learning and on more than one machine.
"""

import copy
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as bytes_of
from torch import Tensor

from companion.checkpoints import set_weights, trained_weights
from companion.files import atomic_write
from companion.models import Captioner
from companion.training.config import TrainConfig

STATE_FILE, LOG_FILE, REFERENCE_FILE = "training.safetensors", "log.jsonl", "reference.safetensors"


def save_state(
    captioner: Captioner, optimizer: Any, config: TrainConfig, *, out: Path, log: list[dict[str, Any]]
) -> None:
    """Write weights, optimizer moments, config and log to one file, atomically, and the log once more as JSON lines."""
    tensors = {f"model.{k}": v.contiguous() for k, v in trained_weights(captioner).items()}
    for i, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": v for k, v in moments.items()}
    about = {"train_config": json.dumps(config), "log": json.dumps(log), "config": json.dumps(captioner.config)}
    out.mkdir(parents=True, exist_ok=True)
    # The log first: after a stop between the two it is one epoch ahead, and resuming writes that epoch again.
    atomic_write(out / LOG_FILE, "".join(json.dumps(record) + "\n" for record in log).encode())
    atomic_write(out / STATE_FILE, bytes_of(tensors, metadata=about))


def load_state(captioner: Captioner, optimizer: Any, config: TrainConfig, *, out: Path) -> list[dict[str, Any]]:
    """Restore what `save_state` wrote and return its log; an empty log if nothing has been written yet.

    Raises:
        ValueError: the file is damaged or belongs to another run; the message names it.
    """
    path = out / STATE_FILE
    if not path.exists():
        return []
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        written = {key: json.loads(about[key]) for key in ("train_config", "config", "log")}
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: cannot be resumed from ({error}); delete it to start again") from None
    if (written["train_config"], written["config"]) != (list(config), captioner.config):
        other = f"{about['train_config']}, {about['config']}"
        raise ValueError(f"{path}: belongs to another run ({other}); use its options or another --out")
    try:
        restore(captioner, optimizer, tensors)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; delete it to start again") from None
    return written["log"]


def reference_model(captioner: Captioner, *, out: Path) -> Captioner:
    """Return a frozen copy of the captioner with the weights that `save_reference` wrote to `out`.

    Raises:
        ValueError: the file is missing or damaged; the message names it.
    """
    path = out / REFERENCE_FILE
    reference = copy.deepcopy(captioner).eval()
    try:
        set_weights(reference, load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); delete {out / STATE_FILE} to start again") from None
    return reference.requires_grad_(False)


def save_reference(captioner: Captioner, *, out: Path) -> None:
    """Write the weights from which reinforcement starts, atomically: its divergence penalty is measured from them."""
    out.mkdir(parents=True, exist_ok=True)
    atomic_write(out / REFERENCE_FILE, bytes_of({k: v.contiguous() for k, v in trained_weights(captioner).items()}))


def restore(captioner: Captioner, optimizer: Any, tensors: dict[str, Tensor]) -> None:
    """Put the tensors of `save_state` back. Raises ValueError if they are not this captioner's."""
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    set_weights(captioner, parts["model"])
    state = optimizer.state_dict()
    for name, tensor in parts["optimizer"].items():
        i, _, key = name.partition(".")
        state["state"].setdefault(int(i), {})[key] = tensor
    optimizer.load_state_dict(state)
