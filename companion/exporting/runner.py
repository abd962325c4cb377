"""A captioner that onnxruntime runs, from a folder that `export` wrote."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from companion.decoders import State, Step
from companion.encoders import Grid, Images, Tags, check_images
from companion.exporting.folder import read_manifest
from companion.exporting.graphs import GRAPHS, require_packages
from companion.models import Source
from companion.tokenizer import find_tokenizer
from companion.vocabulary import Vocabulary


class OnnxCaptioner:
    """A captioner that onnxruntime runs, from a folder that `export` wrote; a model for the searches of `decoding`.

    It runs on the CPU, with as many threads as PyTorch has when it is made.

    Args:
        folder: the export.
        files: other files for some of the graphs, by the names in `GRAPHS`, such as quantized ones.

    Raises:
        RuntimeError: a package of the extra `export` is missing.
        ValueError: the folder holds no export, or a changed one.
    """

    def __init__(self, folder: Path | str, files: dict[str, Path] | None = None):
        require_packages()
        import onnxruntime

        self.manifest = read_manifest(folder)
        self.vocabulary = Vocabulary(self.manifest["vocabulary"], find_tokenizer(self.manifest["language"]))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        paths = {name: Path(folder) / self.manifest["graphs"][name]["file"] for name in GRAPHS} | (files or {})
        self._sessions = {
            name: onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            for name, path in paths.items()
        }

    def _run(self, graph: str, inputs: Sequence[Tensor]) -> list[Tensor]:
        names = [entry["name"] for entry in self.manifest["graphs"][graph]["inputs"]]
        feed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return [torch.from_numpy(array) for array in self._sessions[graph].run(None, feed)]

    def encode(self, images: Images) -> Grid:
        """Return the grid of images, as bytes, with tags if the captioner has them."""
        features, *tags = self._run("encoder", [check_images(images)])
        rows, cols = self.manifest["grid"]
        return Grid(features, rows, cols, Tags(*tags) if tags else None)

    def start(self, source: Source) -> State:
        """Return the decoder's state before the first word."""
        grid = source if isinstance(source, Grid) else self.encode(source)
        parts, memory = self._run("start", [grid.features, *(grid.tags or ())]), self.manifest["state"]["memory"]
        return State(tuple(parts[:memory]), tuple(parts[memory:]))

    def step(self, tokens: Int[Tensor, "batch beam"], state: State) -> Step:
        """Read one token per hypothesis and return the logits of the next."""
        parts = self._run("step", [tokens, *state.memory, *state.carry])
        *predictions, carry = parts[: -len(state.carry)], tuple(parts[-len(state.carry) :])
        logits, weights, *tag_weights = predictions[0]
        return Step(logits, weights, state._replace(carry=carry), tag_weights[0] if tag_weights else None)
