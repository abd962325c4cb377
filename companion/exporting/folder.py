"""An export as a folder: `export` writes it, the manifest last, `read_manifest` checks it, `restore` reads it back."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from companion.encoders import fold_batch_norms
from companion.exporting import graphs
from companion.exporting.arrays import pack, unpack, weights_of
from companion.exporting.graphs import OPSET, require_packages
from companion.files import atomic_write
from companion.models import LENGTH_POWER, Captioner, build
from companion.tokenizer import find_tokenizer
from companion.vocabulary import Vocabulary

FORMAT = 1  # of the manifest's keys; increased when they change
MANIFEST = "manifest.json"


def export(captioner: Captioner, folder: Path | str) -> dict[str, Any]:
    """Write a captioner as ONNX graphs and plain arrays into a folder, the manifest last, and return the manifest.

    Batch norms are folded into the convolutions before them. Every file is written atomically, and none before all of
    them have been made.

    Args:
        captioner: the model; it is not changed.
        folder: created if it is missing.

    Raises:
        RuntimeError: a package of the extra `export` is missing.
        ValueError: a part of the model has no translation to ONNX.
    """
    require_packages()
    captioner = copy.deepcopy(captioner).cpu().float().eval()
    fold_batch_norms(captioner.encoder)
    traced, state = graphs.trace(captioner)
    files = {f"{name}.onnx": graphs.to_onnx(name, graph) for name, graph in traced.items()}
    weights = {}
    for kind in ("float32", "int8"):
        files[f"weights.{kind}.bin"], tensors = pack(weights_of(captioner), quantized=kind == "int8")
        weights[kind] = {"file": f"weights.{kind}.bin", "tensors": tensors}
    grid = traced["start"].module
    manifest = {
        "format": FORMAT,
        "config": captioner.config,
        "image_size": captioner.image_size,
        "grid": [grid.rows, grid.cols],
        "language": captioner.vocabulary.tokenizer.language,
        "max_words": captioner.vocabulary.tokenizer.max_words,
        "length_power": LENGTH_POWER,
        "vocabulary": captioner.vocabulary.words,
        "opset": OPSET,
        "state": {"memory": len(state.memory), "carry": len(state.carry)},
        "graphs": {name: graphs.describe(f"{name}.onnx", graph) for name, graph in traced.items()},
        "weights": weights,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    files[MANIFEST] = json.dumps(manifest, indent=1).encode() + b"\n"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        atomic_write(folder / name, data)
    return manifest


def read_manifest(folder: Path | str) -> dict[str, Any]:
    """Return the manifest of an export, after comparing every file with its SHA-256.

    Raises:
        ValueError: a file is missing or has changed, or the manifest has a format that this version does not read.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise ValueError(f"{folder}: no {MANIFEST} here; `companion export` writes it")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    if manifest["format"] != FORMAT:
        raise ValueError(f"{path}: format {manifest['format']}, and this version reads format {FORMAT}; export again")
    for name, digest in manifest["sha256"].items():
        file = path.with_name(name)
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise ValueError(f"{file}: missing, or not the file that was exported; export again")
    return manifest


def read_weights(folder: Path | str, kind: str = "int8") -> dict[str, Float[Tensor, "..."]]:
    """Return the weights of an export in single precision, from its arrays of "float32" or "int8"."""
    weights = read_manifest(folder)["weights"][kind]
    return unpack((Path(folder) / weights["file"]).read_bytes(), weights["tensors"])


def restore(folder: Path | str, kind: str = "int8") -> Captioner:
    """Return the captioner of an export in PyTorch, in eval mode, with its weights as "float32" or "int8" has them."""
    manifest = read_manifest(folder)
    words = Vocabulary(manifest["vocabulary"], find_tokenizer(manifest["language"]))
    captioner = build(vocabulary=words, **manifest["config"]).eval()
    fold_batch_norms(captioner.encoder)
    state, own = read_weights(folder, kind), weights_of(captioner)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])
    return captioner
