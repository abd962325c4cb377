"""Quantization of stored weights: half precision, and int8 with a scale per row for the matrices of an ensemble.

An ensemble of two decoders is then about as large on disk as one decoder in half precision. Explained in the chapter on
real photographs.
"""

import torch
from jaxtyping import Float, Int8
from torch import Tensor

SCALE_EXPONENT = ".scale_exponent"  # suffix of the tensor that holds a matrix's scale exponents


def to_half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the same tensors, floating-point ones in half precision and all of them contiguous."""
    return {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in state.items()}


def quantize(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that a weights file holds: those of `to_half`, with the matrices of an ensemble as int8.

    The scale exponents of a matrix are stored under its name with the suffix `SCALE_EXPONENT`.
    """
    stored = to_half(state)
    for name in [name for name, tensor in stored.items() if name.startswith("decoder.decoders.") and tensor.ndim == 2]:
        stored[name], stored[f"{name}{SCALE_EXPONENT}"] = quantize_int8(state[name])
    return stored


def dequantize(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that `quantize` was given, up to rounding."""
    state = dict(stored)
    for name, tensor in stored.items():
        exponent = stored.get(f"{name}{SCALE_EXPONENT}")
        if exponent is not None and tensor.dtype == exponent.dtype == torch.int8 and tensor.shape[:1] == exponent.shape:
            state[name] = torch.ldexp(tensor.float(), exponent.unsqueeze(1))
            del state[f"{name}{SCALE_EXPONENT}"]
    return state


def quantize_int8(matrix: Float[Tensor, "row col"]) -> tuple[Int8[Tensor, "row col"], Int8[Tensor, " row"]]:
    """Return integers from -127 to 127, and one scale exponent per row: `matrix ~ integers * 2 ** exponent`.

    The exponent is the smallest with which the largest entry of the row fits into 127. Quantizing a dequantized matrix
    again changes nothing.
    """
    mantissa, exponent = torch.frexp(matrix.float().abs().amax(1) / 127)
    exponent = (exponent - (mantissa == 0.5).int()).clamp(-100, 100)  # a mantissa of 0.5 is a power of two itself
    return torch.ldexp(matrix.float(), -exponent.unsqueeze(1)).round().to(torch.int8), exponent.to(torch.int8)
