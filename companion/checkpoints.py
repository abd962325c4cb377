"""A captioner in, a folder out, and back: `weights.safetensors`, `vocabulary.json`, `card.json`. Never pickle.

The card says how the model was made and how good it is; it also holds the SHA-256 of the other two, which is checked.
Weights are kept in half precision, the matrices of an ensemble in bytes: two decoders are then no larger than one. The
frozen EfficientNet is not kept: it comes with its own package.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int8
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of
from torch import Tensor

from companion.captioner import Captioner, build
from companion.files import write_whole
from companion.vocabulary import Vocabulary

SHIPPED = Path(__file__).parent / "weights"
POWER = ".power"  # the end of the name of a matrix's powers


def trained_weights(captioner: Captioner) -> dict[str, Tensor]:
    """The tensors that training made: all but the frozen ones of an encoder, a shared matrix once."""
    frozen = {f"encoder.{name}" for name, p in captioner.encoder.named_parameters() if not p.requires_grad}
    state = captioner.state_dict()  # in a decoder, words.weight is the embedding by another name
    return {k: v for k, v in state.items() if k not in frozen and not k.endswith(".words.weight")}


def set_weights(captioner: Captioner, state: dict[str, Tensor]) -> None:
    """Put `trained_weights` back. ValueError if one is missing, left over, not finite, or of another shape or kind."""
    own = trained_weights(captioner)
    for name in own.keys() | state.keys():
        if name not in state or name not in own:
            raise ValueError(f"the tensor {name} is {'missing' if name in own else 'not one of this model'}")
        if own[name].shape != state[name].shape:
            found, wanted = tuple(state[name].shape), tuple(own[name].shape)
            raise ValueError(f"the tensor {name} is {found}; this model needs {wanted}")
        if state[name].is_floating_point() != own[name].is_floating_point():
            raise ValueError(f"the tensor {name} is of {state[name].dtype}; this model needs {own[name].dtype}")
        if not torch.isfinite(state[name]).all():
            raise ValueError(f"the tensor {name} holds numbers that are not finite")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, floats in half precision."""
    return {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in state.items()}


def packed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a file holds: `halved`, and of an ensemble every matrix `in_bytes`, its powers beside it."""
    kept = halved(state)
    for name in [name for name, tensor in kept.items() if name.startswith("decoder.decoders.") and tensor.ndim == 2]:
        kept[name], kept[f"{name}{POWER}"] = in_bytes(state[name])
    return kept


def unpacked(kept: dict[str, Tensor]) -> dict[str, Tensor]:
    """`packed`, backwards."""
    state = dict(kept)
    for name, tensor in kept.items():
        power = kept.get(f"{name}{POWER}")
        if power is not None and tensor.dtype == power.dtype == torch.int8 and tensor.shape[:1] == power.shape:
            state[name] = torch.ldexp(tensor.float(), power.unsqueeze(1))
            del state[f"{name}{POWER}"]
    return state


def in_bytes(matrix: Float[Tensor, "row col"]) -> tuple[Int8[Tensor, "row col"], Int8[Tensor, " row"]]:
    """Whole numbers from -127 to 127, and for each row the power of two with which to multiply them.

    Of all powers, the smallest with which the row's largest number fits. What was rounded once stays as it is.
    """
    part, power = torch.frexp(matrix.float().abs().amax(1) / 127)
    power = (power - (part == 0.5).int()).clamp(-100, 100)
    return torch.ldexp(matrix.float(), -power.unsqueeze(1)).round().to(torch.int8), power.to(torch.int8)


def save(captioner: Captioner, folder: Path | str, card: dict[str, Any]) -> None:
    """Write the three files, each whole or not at all; the card last, since without it nothing loads."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights, words = bytes_of(packed(trained_weights(captioner))), captioner.vocabulary.as_bytes()
    (folder / "card.json").unlink(missing_ok=True)
    write_whole(folder / "weights.safetensors", weights)
    write_whole(folder / "vocabulary.json", words)
    facts = {  # digests of what was written here: somebody else may be saving into the same folder
        "settings": captioner.settings,
        "words": len(captioner.vocabulary),
        "sha256": hashlib.sha256(weights).hexdigest(),
        "vocabulary_sha256": hashlib.sha256(words).hexdigest(),
    }
    write_whole(folder / "card.json", json.dumps(facts | card, indent=1).encode() + b"\n")


def load(name: Path | str) -> Captioner:
    """The captioner in a folder, or a shipped one by its name, "scenes" or "photos"; in eval mode.

    ValueError, naming the file and what is wrong with it, for anything missing, cut short, changed or foreign.
    """
    folder = find(name)
    facts = card(folder)
    vocabulary = Vocabulary.load(unchanged(folder / "vocabulary.json", facts["vocabulary_sha256"]))
    weights = unchanged(folder / "weights.safetensors", facts["sha256"])
    try:
        captioner = build(vocabulary=vocabulary, **facts["settings"])
    except (ValueError, TypeError) as error:
        raise ValueError(f"{folder / 'card.json'}: settings of no model: {' '.join(str(error).split())}") from None
    try:
        set_weights(captioner, unpacked(tensors_of(weights.read_bytes())))
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{weights}: {' '.join(str(error).split())}") from None
    return captioner.eval()


def card(name: Path | str) -> dict[str, Any]:
    """The model card of a checkpoint. ValueError if it is missing or is no card."""
    path = existing(find(name) / "card.json")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        missing = {"settings", "words", "sha256", "vocabulary_sha256"} - facts.keys()
    except (ValueError, AttributeError, RecursionError):
        raise ValueError(f"{path}: not a model card") from None
    if missing or not isinstance(facts["settings"], dict):
        raise ValueError(f"{path}: not a model card of this package: no {', '.join(sorted(missing)) or 'settings'}")
    return facts


def find(name: Path | str) -> Path:
    """The folder of a checkpoint: a shipped one for the string "scenes" or "photos"; a Path is always what it says."""
    return SHIPPED / name if name in ("scenes", "photos") else Path(name)


def existing(path: Path) -> Path:
    """The file itself, or a ValueError that says what a checkpoint is."""
    if not path.is_file():
        raise ValueError(f"{path.parent}: no {path.name} here; a checkpoint is a folder that `companion train` wrote")
    return path


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unchanged(path: Path, digest: str) -> Path:
    """The file itself, or a ValueError if it is missing or is not the one that was saved."""
    if sha256(existing(path)) != digest:
        raise ValueError(f"{path}: not the file that was saved (its SHA-256 differs from the card's); copy it again")
    return path
