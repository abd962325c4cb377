"""Frames: how values pass between the process of the teacher and that of the student.

A frame is two lengths of 8 bytes, a structure in JSON, and its arrays in safetensors. Nothing is pickled, since to
unpickle is to run what the other side wrote. Entry points: `send` and `receive`.
"""

import json
import os
import select
import struct
import time
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

FRAME_LIMIT = 64 * 2**20  # bytes, of the structure and of the arrays each
DEPTH_LIMIT = 20
_SIMPLE = (bool, int, float, str, type(None))


class ProtocolError(Exception):
    """A value that may not pass, or bytes that are no frame."""


class ClosedError(Exception):
    """The other process has ended."""


class LateError(Exception):
    """The other process did not answer in time."""


def encode(value: Any) -> bytes:
    """Return the frame of a value.

    What may pass, by its exact type: None, bool, int, float, str, list, tuple, dict, `Tensor`, `Parameter` and
    `ndarray`, which arrives as a tensor. A subclass could bring code of its own and is refused.

    Raises:
        ProtocolError: another type, or more than fits.
    """
    arrays: dict[str, torch.Tensor] = {}

    def flat(part: Any, depth: int) -> Any:
        if depth > DEPTH_LIMIT:
            raise ProtocolError(f"something that is nested more than {DEPTH_LIMIT} deep")
        if type(part) in _SIMPLE:
            return part
        if type(part) in (list, tuple):
            return {type(part).__name__: [flat(x, depth + 1) for x in part]}
        if type(part) is dict:
            return {"dict": [[flat(k, depth + 1), flat(v, depth + 1)] for k, v in part.items()]}
        if type(part) is np.ndarray:
            try:
                part = torch.as_tensor(part)
            except (TypeError, ValueError):
                raise ProtocolError(f"an array of {part.dtype}") from None
        if type(part) in (torch.Tensor, torch.nn.Parameter):
            return _flat_tensor(part.detach(), arrays)
        raise ProtocolError(f"a value of the type {type(part).__name__}")

    try:
        structure = json.dumps(flat(value, 0)).encode()
        body = save(arrays) if arrays else b""
    except ProtocolError:
        raise
    except Exception as error:  # a number of too many digits, a complex tensor, ...
        raise ProtocolError(f"something that cannot be sent ({type(error).__name__})") from None
    if max(len(structure), len(body)) > FRAME_LIMIT:
        raise ProtocolError(f"more than {FRAME_LIMIT // 2**20} MB")
    return struct.pack(">QQ", len(structure), len(body)) + structure + body


def _flat_tensor(tensor: torch.Tensor, arrays: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Store a tensor among the arrays and return its place there and its strides."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_complex():
        kind = f"{tensor.dtype}, {tensor.layout}, on {tensor.device.type}"
        raise ProtocolError(f"a tensor that is {kind}, not one of real numbers, dense, on the CPU")
    if tensor.numel() * tensor.element_size() > FRAME_LIMIT:
        raise ProtocolError(f"a tensor of {tensor.numel():,} numbers, which are too many")
    key = str(len(arrays))
    arrays[key] = tensor.clone(memory_format=torch.contiguous_format)
    return {"tensor": key, "strides": None if tensor.is_contiguous() else list(tensor.stride())}


def decode(structure: bytes, body: bytes, *, strides: bool) -> Any:
    """Return the value of a frame. With `strides`, a tensor lies in memory as it did at the sender's.

    What a student's process sends is read without them, since it could ask for any amount of memory.

    Raises:
        ProtocolError: the bytes are no frame.
    """

    def built(part: Any) -> Any:
        if type(part) is not dict:
            return part
        ((kind, content), *more) = part.items()
        if kind == "tensor":
            tensor = arrays[content]
            if not (strides and more[0][1]):
                return tensor
            return torch.empty_strided(tensor.shape, more[0][1], dtype=tensor.dtype).copy_(tensor)
        if kind == "dict":
            return {built(k): built(v) for k, v in content}
        return {"list": list, "tuple": tuple}[kind](map(built, content))

    try:
        arrays = load(body) if body else {}
        return built(json.loads(structure))
    except Exception as error:  # the sender may have written anything
        raise ProtocolError(f"something that cannot be read ({type(error).__name__})") from None


def send(descriptor: int, value: Any) -> None:
    """Write the frame of a value to a file descriptor.

    Raises:
        ProtocolError: the value may not pass; then nothing was written.
        ClosedError: nobody reads any more.
    """
    data = memoryview(encode(value))
    try:
        while data:
            data = data[os.write(descriptor, data[: 2**20]) :]
    except OSError:
        raise ClosedError from None


def receive(descriptor: int, seconds: float, *, strides: bool = False) -> Any:
    """Read one frame from a file descriptor and return its value.

    Raises:
        LateError: it was not there within `seconds`.
        ClosedError: the writer has closed it.
        ProtocolError: it is no frame, or too large a one.
    """
    end = time.monotonic() + seconds
    sizes = struct.unpack(">QQ", _read(descriptor, 16, end))
    if max(sizes) > FRAME_LIMIT:
        raise ProtocolError(f"more than {FRAME_LIMIT // 2**20} MB")
    structure, body = (_read(descriptor, size, end) for size in sizes)
    return decode(structure, body, strides=strides)


def _read(descriptor: int, size: int, end: float) -> bytes:
    """Read so many bytes until the time `end` on the monotonic clock."""
    data = bytearray()
    while len(data) < size:
        if not select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
            raise LateError
        piece = os.read(descriptor, min(size - len(data), 2**20))
        if not piece:
            raise ClosedError
        data += piece
    return bytes(data)
