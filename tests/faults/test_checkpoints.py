"""Checkpoints whose files were damaged, exchanged, or made to do harm: refused with the file and the reason."""

import hashlib
import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load, save

from companion import checkpoints
from tests.captioners import untrained
from tests.faults.injection import Fault, Guard, assert_refused, assert_unchanged, fault_tests, snapshot

WEIGHTS, WORDS = "weights.safetensors", "vocabulary.json"


class TouchWhenUnpickled:
    """An object that writes a file as soon as it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def checkpoint_refused(
    name: str, change: Callable[[bytes, Path], bytes], *words: str, digest_matches: bool = False
) -> Callable[[Path], None]:
    """One file of a checkpoint was changed; if `digest_matches`, the card has the SHA-256 of the changed file."""

    def law(folder: Path) -> None:
        checkpoints.save(untrained(), folder / "model", {})
        path, card = folder / "model" / name, folder / "model" / "card.json"
        path.write_bytes(change(path.read_bytes(), folder))
        if digest_matches:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            card.write_text(json.dumps(json.loads(card.read_text()) | {"sha256": digest}))
        before = snapshot(folder)
        try:
            assert_refused(lambda: checkpoints.load(folder / "model"), str(path), *words)
        finally:
            assert_unchanged(folder, before)

    return law


def flip_bit(data: bytes, _) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


def set_nan(data: bytes, _) -> bytes:
    tensors = load(data)
    tensors["decoder.output_proj.bias"][5] = math.nan
    return save(tensors)


def reverse_words(data: bytes, _) -> bytes:
    words = json.loads(data)
    return json.dumps([*words[:4], *words[:3:-1]]).encode()


DIGEST_CHECK = Guard("checkpoints.io.verify_sha256", "if sha256(require_file(path)) != digest:", "if False:")

FAULTS = {
    "weights: pickle": Fault(
        checkpoint_refused(WEIGHTS, lambda _, f: pickle.dumps(TouchWhenUnpickled(f / "opened")), digest_matches=True),
        [
            Guard(
                "checkpoints.io.load",
                "tensors_of(weights.read_bytes())",
                "__import__('pickle').loads(weights.read_bytes())",
            )
        ],
        "written: ['opened']",
    ),
    "weights: cut short": Fault(
        checkpoint_refused(WEIGHTS, lambda data, _: data[:-100]),
        [DIGEST_CHECK, Guard("checkpoints.io.SafetensorError", "", "ZeroDivisionError")],
        "broken: SafetensorError",
    ),
    "weights: a bit flipped": Fault(checkpoint_refused(WEIGHTS, flip_bit, "SHA-256"), [DIGEST_CHECK], "accepted"),
    "weights: NaN": Fault(
        checkpoint_refused(WEIGHTS, set_nan, "decoder.output_proj.bias", "finite", digest_matches=True),
        [Guard("checkpoints.io.set_weights", "if not torch.isfinite(state[name]).all():", "if False:")],
        "accepted",
    ),
    "vocabulary: another of the same length": Fault(
        checkpoint_refused(WORDS, reverse_words, "SHA-256"), [DIGEST_CHECK], "accepted"
    ),
}

test_with_its_guard_the_law_holds, test_without_its_guard_the_harm_is_done = fault_tests(FAULTS)
