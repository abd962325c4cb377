"""The weights of a captioner as plain arrays of bytes, in single precision or as 8-bit integers by row."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from companion.checkpoints import SCALE_EXPONENT, quantize_int8
from companion.models import Captioner


def weights_of(captioner: Captioner) -> dict[str, Tensor]:
    """Return all parameters and the stored buffers, a matrix that two layers share once, under its first name."""
    stored = captioner.state_dict()
    named = [*captioner.named_parameters(), *captioner.named_buffers()]  # these list a shared tensor once
    return {name: tensor.detach() for name, tensor in named if name in stored}


def pack(state: dict[str, Tensor], *, quantized: bool) -> tuple[bytes, list[dict[str, Any]]]:
    """Return tensors as one array of bytes, and where in it each is: name, dtype, shape and offset in bytes.

    Arrays are row-major and little-endian, and begin at multiples of four bytes. With `quantized`, a tensor of two axes
    or more is int8, and followed by the scale exponents of its rows (`checkpoints.quantize_int8`), int8 as well, under
    its name with the suffix `SCALE_EXPONENT`; a convolution's row is what one output channel is made of.
    """
    data, tensors = bytearray(), []
    for name, tensor in state.items():
        parts: dict[str, Tensor] = {name: tensor.float()}
        if quantized and tensor.ndim > 1:
            integers, exponents = quantize_rows(tensor)
            parts = {name: integers, f"{name}{SCALE_EXPONENT}": exponents}
        for part, values in parts.items():
            array = values.contiguous().numpy()
            dtype = "int8" if values.dtype == torch.int8 else "float32"
            tensors.append({"name": part, "dtype": dtype, "shape": list(array.shape), "offset": len(data)})
            data += array.astype(array.dtype.newbyteorder("<")).tobytes()
            data += bytes(-len(data) % 4)
    return bytes(data), tensors


def quantize_rows(tensor: Float[Tensor, "row *col"]) -> tuple[Int8[Tensor, "row *col"], Int8[Tensor, " row"]]:
    """Return a tensor as integers and one scale exponent per row; all axes but the first belong to the row."""
    integers, exponents = quantize_int8(tensor.flatten(1))
    return integers.view(tensor.shape), exponents


def unpack(data: bytes, tensors: Sequence[dict[str, Any]]) -> dict[str, Float[Tensor, "..."]]:
    """Return what `pack` was given, up to rounding where it was quantized."""
    read = {}
    for entry in tensors:
        dtype, count = getattr(torch, entry["dtype"]), torch.Size(entry["shape"]).numel()
        values = torch.frombuffer(bytearray(data), dtype=dtype, count=count, offset=entry["offset"])
        read[entry["name"]] = values.view(entry["shape"])
    exponents = {name: read.pop(name) for name in list(read) if name.endswith(SCALE_EXPONENT)}
    for name in (suffixed.removesuffix(SCALE_EXPONENT) for suffixed in exponents):
        rows = exponents[f"{name}{SCALE_EXPONENT}"].view(-1, *[1] * (read[name].ndim - 1))
        read[name] = torch.ldexp(read[name].float(), rows)
    return read
