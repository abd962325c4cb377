"""Checkpoints: folders with `weights.safetensors`, `vocabulary.json` and `card.json`. `io` saves and loads them,
`quantization` reduces their size. Nothing is pickled, so loading a checkpoint cannot run code.
"""

from companion.checkpoints.io import (
    FORMAT,
    PRETRAINED,
    card,
    load,
    require_file,
    resolve,
    save,
    set_weights,
    sha256,
    trained_weights,
    verify_sha256,
)
from companion.checkpoints.quantization import (
    SCALE_EXPONENT,
    dequantize,
    quantize,
    quantize_int8,
    to_half,
)

__all__ = [
    "FORMAT",
    "PRETRAINED",
    "SCALE_EXPONENT",
    "card",
    "dequantize",
    "load",
    "quantize",
    "quantize_int8",
    "require_file",
    "resolve",
    "save",
    "set_weights",
    "sha256",
    "to_half",
    "trained_weights",
    "verify_sha256",
]
