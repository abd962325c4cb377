"""Save and load checkpoints: `weights.safetensors`, `vocabulary.json` and `card.json` in one folder.

The card says how the model was made and what it scores; it also holds the SHA-256 of the two other files, which `load`
verifies. A frozen encoder is not stored: the weights of EfficientNet-Lite0 come with their own package. Explained in
the chapter on learning.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of
from torch import Tensor

from companion.checkpoints.quantization import dequantize, quantize
from companion.files import atomic_write
from companion.models import Captioner, build
from companion.tokenizer import find_tokenizer
from companion.vocabulary import Vocabulary

FORMAT = 2  # of the card's keys and the tensors' names; increased when either changes
PRETRAINED = Path(__file__).parents[1] / "weights"  # the shipped models, each in a folder of its name
REQUIRED = ("format", "config", "vocabulary_size", "sha256", "vocabulary_sha256")  # keys of every card


def trained_weights(captioner: Captioner) -> dict[str, Tensor]:
    """Return the tensors that training changes: without a frozen encoder, and a matrix that two layers share once."""
    encoder = captioner.encoder
    frozen = {f"encoder.{name}" for name, p in encoder.named_parameters() if not p.requires_grad}
    if not any(p.requires_grad for p in encoder.parameters()):
        frozen |= {f"encoder.{name}" for name, _ in encoder.named_buffers()}
    # These iterators list a shared tensor once, under its first name; a state dict lists it under every name.
    names = {name for each in (captioner.named_parameters(), captioner.named_buffers()) for name, _ in each}
    return {name: tensor for name, tensor in captioner.state_dict().items() if name in names - frozen}


def set_weights(captioner: Captioner, state: dict[str, Tensor]) -> None:
    """Copy tensors with the names of `trained_weights` into the captioner.

    Raises:
        ValueError: a tensor is missing, unexpected or not finite, or has another shape or kind of number. Then nothing
            has been copied.
    """
    own = trained_weights(captioner)
    for name in own.keys() | state.keys():
        if name not in state or name not in own:
            raise ValueError(f"the tensor {name} is {'missing' if name in own else 'not one of this model'}")
        if own[name].shape != state[name].shape:
            given, wanted = tuple(state[name].shape), tuple(own[name].shape)
            raise ValueError(f"the tensor {name} is {given}; this model needs {wanted}")
        if state[name].is_floating_point() != own[name].is_floating_point():
            raise ValueError(f"the tensor {name} is of {state[name].dtype}; this model needs {own[name].dtype}")
        if not torch.isfinite(state[name]).all():
            raise ValueError(f"the tensor {name} holds numbers that are not finite")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])


def save(captioner: Captioner, folder: Path | str, card: dict[str, Any]) -> None:
    """Write the three files, each atomically and the card last: a folder without a card is not a checkpoint.

    Args:
        captioner: the model.
        folder: where to save it; created if it is missing.
        card: facts for the card, beside those that `REQUIRED` names.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights, words = bytes_of(quantize(trained_weights(captioner))), captioner.vocabulary.as_bytes()
    (folder / "card.json").unlink(missing_ok=True)
    atomic_write(folder / "weights.safetensors", weights)
    atomic_write(folder / "vocabulary.json", words)
    facts = {  # digests of these bytes and not of the files: another process may be saving into the same folder
        "format": FORMAT,
        "config": captioner.config,
        "language": captioner.vocabulary.tokenizer.language,
        "vocabulary_size": len(captioner.vocabulary),
        "sha256": hashlib.sha256(weights).hexdigest(),
        "vocabulary_sha256": hashlib.sha256(words).hexdigest(),
    }
    atomic_write(folder / "card.json", json.dumps(facts | card, indent=1).encode() + b"\n")


def load(name: Path | str) -> Captioner:
    """Return the captioner in a folder, or a shipped one by its name, "scenes" or "photos"; in eval mode.

    Raises:
        ValueError: a file is missing, truncated, changed or of another kind; the message names it and the reason.
    """
    folder = resolve(name)
    facts = card(folder)
    tokenizer = find_tokenizer(facts["language"])
    vocabulary = Vocabulary.load(verify_sha256(folder / "vocabulary.json", facts["vocabulary_sha256"]), tokenizer)
    weights = verify_sha256(folder / "weights.safetensors", facts["sha256"])
    try:
        captioner = build(vocabulary=vocabulary, **facts["config"])
    except (ValueError, TypeError) as error:
        raise ValueError(f"{folder / 'card.json'}: no model has this config: {' '.join(str(error).split())}") from None
    try:
        set_weights(captioner, dequantize(tensors_of(weights.read_bytes())))
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{weights}: {' '.join(str(error).split())}") from None
    return captioner.eval()


def card(name: Path | str) -> dict[str, Any]:
    """Return the model card of a checkpoint.

    Raises:
        ValueError: it is missing, is not a card, or has a format that this version does not read.
    """
    path = require_file(resolve(name) / "card.json")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        missing = sorted(set(REQUIRED) - facts.keys())
    except (ValueError, AttributeError, RecursionError):
        raise ValueError(f"{path}: not a model card") from None
    version = facts.get("format", 1 if "settings" in facts else FORMAT)  # format 1 had settings and no number
    if version != FORMAT:
        raise ValueError(f"{path}: format {version}, and this version reads format {FORMAT}; train the model again")
    if missing or not isinstance(facts["config"], dict):
        raise ValueError(f"{path}: not a model card of this package: no {', '.join(missing) or 'config'}")
    try:
        find_tokenizer(facts.setdefault("language", "en"))  # cards had no such key when all captions were English
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None
    return facts


def resolve(name: Path | str) -> Path:
    """Return the folder of a checkpoint: for the strings "scenes" and "photos" a shipped one, else the path itself."""
    return PRETRAINED / name if name in ("scenes", "photos") else Path(name)


def require_file(path: Path) -> Path:
    """Return the path. Raises ValueError, saying what a checkpoint is, if there is no such file."""
    if not path.is_file():
        raise ValueError(f"{path.parent}: no {path.name} here; a checkpoint is a folder that `companion train` wrote")
    return path


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def verify_sha256(path: Path, digest: str) -> Path:
    """Return the path. Raises ValueError if the file is missing or has another SHA-256."""
    if sha256(require_file(path)) != digest:
        raise ValueError(f"{path}: not the file that was saved (its SHA-256 differs from the card's); copy it again")
    return path
