"""Files that are written while the process is killed, the disk is full, or somebody else writes them, too."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from companion import checkpoints, files
from tests.captioners import untrained
from tests.faults.injection import Fault, Guard, assert_unchanged, attempt, fault_tests
from tests.processes import program_code, run_code, run_program


def stopped_at_every_byte(mode: str) -> Callable[[Path], object]:
    # In a fresh process: it is small, so it forks fast.
    return lambda folder: run_code(program_code("every_byte", mode), folder)


def killed_at_every_change(folder: Path) -> None:
    run_program("every_change", folder)


def two_writers(folder: Path) -> None:
    """While one is about to finish, another writes the same file from beginning to end: the last to finish stays."""
    path, fsync = folder / "file", os.fsync

    def meanwhile(handle):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(os, "fsync", fsync)
            files.atomic_write(path, b"two" * 100)
        fsync(handle)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", meanwhile)
        attempt(lambda: files.atomic_write(path, b"one"))
    assert_unchanged(folder, {"file": b"one"})


def two_savers(folder: Path) -> None:
    """Two save a checkpoint into one folder at once: what loads is one of the two as a whole, or nothing."""
    for moment in range(3):
        atomic_write, left = files.atomic_write, [moment]

        def interrupted(path, data, atomic_write=atomic_write, left=left):
            atomic_write(path, data)
            left[0] -= 1
            if left[0] == -1:
                checkpoints.save(untrained(1), folder, {"minutes": 1})

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(checkpoints.io, "atomic_write", interrupted)
            checkpoints.save(untrained(0), folder, {"minutes": 0})
        try:
            loaded = checkpoints.trained_weights(checkpoints.load(folder))
        except ValueError:
            continue
        own = checkpoints.to_half(checkpoints.trained_weights(untrained(checkpoints.card(folder)["minutes"])))
        mixed = [name for name in own if not torch.equal(own[name].float(), loaded[name].float())]
        assert not mixed, "mixed: the card of one, the weights of the other"


DIGEST_CHECK = Guard("checkpoints.io.verify_sha256", "if sha256(require_file(path)) != digest:", "if False:")

FAULTS = {
    "killed at every byte": Fault(
        stopped_at_every_byte("killed"),
        [Guard("files.atomic_write", "", "lambda path, data: path.write_bytes(data)")],
        "torn: ",
    ),
    "disk full at every byte": Fault(
        stopped_at_every_byte("full"),
        [Guard("files.atomic_write", "Path(name).unlink(missing_ok=True)", "pass")],
        "left behind: ",
    ),
    "killed at every change while saving": Fault(
        killed_at_every_change,
        [DIGEST_CHECK, Guard("checkpoints.io.save", '(folder / "card.json").unlink(missing_ok=True)', "pass")],
        "mixed: ",
    ),
    "two writers of a file": Fault(
        two_writers,
        [
            Guard(
                "files.atomic_write",
                'handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)',
                'name = str(path) + ".new"; handle = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)',
            )
        ],
        "broken: FileNotFoundError",
    ),
    "two writers of a checkpoint": Fault(
        two_savers,
        [
            Guard(
                "checkpoints.io.save",
                '"sha256": hashlib.sha256(weights).hexdigest()',
                '"sha256": sha256(folder / "weights.safetensors")',
            )
        ],
        "mixed: ",
    ),
}

test_with_its_guard_the_law_holds, test_without_its_guard_the_harm_is_done = fault_tests(FAULTS)
