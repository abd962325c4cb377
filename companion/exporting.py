"""Export: a captioner as files that run without PyTorch, and a runner of these files.

`export` writes three ONNX graphs, the weights as plain arrays and `manifest.json`, which describes them all.
`OnnxCaptioner` runs the graphs with onnxruntime; it has `start` and `step`, so the searches of `decoding` accept it.
The extra `export` of the package installs what both need. Explained in the chapter on captions in real time.
"""

import copy
import hashlib
import importlib.util
import itertools
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int, Int8
from torch import Tensor, nn

from companion.checkpoints import SCALE_EXPONENT, quantize_int8
from companion.decoders import Decoder, State, Step, expand_beams
from companion.encoders import Grid, Images, Tags, check_images, fold_batch_norms
from companion.files import atomic_write
from companion.models import LENGTH_POWER, Captioner, Source, build
from companion.tokenizer import find_tokenizer
from companion.vocabulary import Vocabulary

FORMAT = 1  # of the manifest's keys; increased when they change
OPSET = 20  # of ONNX; onnxruntime reads it from version 1.17 on
GRAPHS = ("encoder", "start", "step")
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
MANIFEST = "manifest.json"


class EncoderGraph(nn.Module):
    """From images to features, and to the four tensors of tags if there are any."""

    def __init__(self, captioner: Captioner):
        super().__init__()
        self.encoder = captioner.encoder

    def forward(self, images: Images) -> tuple[Tensor, ...]:
        """Return the features (batch place channel) of images, and their tags."""
        grid = self.encoder(images)
        return grid.features, *(grid.tags or ())


class StartGraph(nn.Module):
    """From features and tags to the decoder's state before the first word, as a row of tensors."""

    def __init__(self, captioner: Captioner, rows: int, cols: int):
        super().__init__()
        self.decoder, self.rows, self.cols = captioner.decoder, rows, cols

    def forward(self, features: Float[Tensor, "batch place channel"], *tags: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors of the memory, and then those of the carry."""
        grid = Grid(features, self.rows, self.cols, Tags(*tags) if tags else None)
        state = cast(Decoder, self.decoder).start(grid)
        return *state.memory, *state.carry


class StepGraph(nn.Module):
    """From one token per hypothesis and the state to logits, weights and the tensors of the next carry."""

    def __init__(self, captioner: Captioner, memory: int):
        super().__init__()
        self.decoder, self.memory = captioner.decoder, memory

    def forward(self, tokens: Int[Tensor, "batch beam"], *state: Tensor) -> tuple[Tensor, ...]:
        """Return logits, weights, those of the tags if there are any, and the tensors of the carry."""
        step = cast(Decoder, self.decoder).step(tokens, State(state[: self.memory], state[self.memory :]))
        tag_weights = () if step.tag_weights is None else (step.tag_weights,)
        return step.logits, step.weights, *tag_weights, *step.state.carry


class Graph(NamedTuple):
    """A module to be exported: its inputs, the axes of each that may have any size, and the names of its outputs."""

    module: nn.Module
    inputs: dict[str, Tensor]
    axes: list[dict[int, str]]
    outputs: list[str]


def require_packages() -> None:
    """Raise RuntimeError, naming the extra, if a package that the export needs is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeError(f'the export needs {", ".join(missing)}: pip install "attention-companion[export]"')


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
    graphs, state = trace(captioner)
    files = {f"{name}.onnx": to_onnx(name, graph) for name, graph in graphs.items()}
    weights = {}
    for kind in ("float32", "int8"):
        files[f"weights.{kind}.bin"], tensors = pack(weights_of(captioner), quantized=kind == "int8")
        weights[kind] = {"file": f"weights.{kind}.bin", "tensors": tensors}
    grid = graphs["start"].module
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
        "graphs": {name: describe(f"{name}.onnx", graph) for name, graph in graphs.items()},
        "weights": weights,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    files[MANIFEST] = json.dumps(manifest, indent=1).encode() + b"\n"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        atomic_write(folder / name, data)
    return manifest


@torch.no_grad()
def trace(captioner: Captioner) -> tuple[dict[str, Graph], State]:
    """Return the three graphs with example inputs, and the state before the first word.

    An axis of the carry that grows with the words, as that of a transformer's past keys does, is found by reading two.
    """
    size = captioner.image_size
    images = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    grid = captioner.encode(images)
    first = captioner.start(grid)
    tokens = torch.full((2, 3), Vocabulary.start)
    states = [expand_beams(first, tokens.shape[1])]
    for _ in range(2):
        step = captioner.step(tokens, states[-1])
        states.append(step.state)
    tags = {f"tag_{field}": tensor for field, tensor in grid.tags._asdict().items()} if grid.tags else {}
    features = {"features": grid.features, **tags}
    memory = {f"memory_{i}": tensor for i, tensor in enumerate(first.memory)}
    carry = {f"carry_{i}": tensor for i, tensor in enumerate(states[-1].carry)}
    weights = ["weights", "tag_weights"] if step.tag_weights is not None else ["weights"]
    batch, hypotheses = {0: "batch"}, {0: "batch", 1: "beam"}
    grown = [
        hypotheses | {axis: "words" for axis in range(2, now.ndim) if now.shape[axis] != before.shape[axis]}
        for before, now in zip(states[-2].carry, states[-1].carry, strict=True)
    ]
    return {
        "encoder": Graph(EncoderGraph(captioner), {"images": images}, [batch], list(features)),
        "start": Graph(
            StartGraph(captioner, grid.rows, grid.cols), features, [batch] * len(features), [*memory, *carry]
        ),
        "step": Graph(
            StepGraph(captioner, len(memory)),
            {"tokens": tokens, **memory, **carry},
            [hypotheses, *[batch] * len(memory), *grown],
            ["logits", *weights, *(f"next_{name}" for name in carry)],
        ),
    }, first


@torch.no_grad()
def to_onnx(name: str, graph: Graph) -> bytes:
    """Return a graph in ONNX's format. Raises ValueError, naming it, if a part of it has no translation."""
    first, *others = (dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for axes in graph.axes)
    with quiet():
        try:
            program = torch.onnx.export(
                graph.module.eval(),
                tuple(graph.inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=(first, tuple(others)) if others else (first,),  # the others are a starred argument
                input_names=list(graph.inputs),
                output_names=graph.outputs,
                custom_translation_table={
                    torch.ops.aten.searchsorted.Tensor: searchsorted,
                    torch.ops.aten.sort.stable: stable_sort,
                    torch.ops.aten.scaled_dot_product_attention.default: fused_attention,
                },
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ValueError(f"the {name} of this captioner has no translation to ONNX: {cause(error)}") from error
    assert program is not None
    model = program.model_proto
    graph_proto = model.graph
    parts = (graph_proto.node, graph_proto.input, graph_proto.output, graph_proto.value_info, graph_proto.initializer)
    for part in (graph_proto, *itertools.chain(*parts)):
        part.ClearField("metadata_props")  # the lines of source that each came from, with the paths of this machine
    return model.SerializeToString()


def searchsorted(boundaries: Any, values: Any, **_: Any) -> Any:
    """Translate `torch.searchsorted`, which ONNX lacks: count the boundaries below each value."""
    from onnxscript import opset20

    op: Any = opset20
    below = op.Cast(op.Less(boundaries, op.Unsqueeze(values, op.Constant(value_ints=[-1]))), to=7)  # 7 is int64
    return op.ReduceSum(below, op.Constant(value_ints=[-1]), keepdims=0)


def stable_sort(values: Any, *, dim: int, descending: bool, **_: Any) -> Any:
    """Translate `torch.sort`: ONNX's TopK, of all values; of equal ones, it takes the first first, too."""
    from onnxscript import opset20

    op: Any = opset20
    size = op.Gather(op.Shape(values), op.Constant(value_ints=[dim]))
    return op.TopK(values, size, axis=dim, largest=int(descending))


def fused_attention(query: Any, key: Any, value: Any, mask: Any = None, *_: Any, **__: Any) -> Any:
    """Translate PyTorch's fused attention for tensors of any rank: the exporter's own translation has four axes."""
    from onnxscript import opset20

    op: Any = opset20
    rank, channels = len(query.shape), query.shape[-1]
    transposed = op.Transpose(key, perm=[*range(rank - 2), rank - 1, rank - 2])
    scores = op.MatMul(op.Mul(query, op.Constant(value_float=channels**-0.5)), transposed)
    if mask is not None:
        scores = op.Where(mask, scores, op.Constant(value_float=float("-inf")))
    return op.MatMul(op.Softmax(scores, axis=-1), value)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporter's notes on packages that are not installed and on its own deprecated calls."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def cause(error: BaseException) -> str:
    """Return the first line of the exception that an error came from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0]


def describe(file: str, graph: Graph) -> dict[str, Any]:
    """Return what a manifest says of a graph: its file, its outputs, and dtype and shape of its inputs."""
    inputs = [
        {
            "name": name,
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": [axes.get(axis, size) for axis, size in enumerate(tensor.shape)],
        }
        for (name, tensor), axes in zip(graph.inputs.items(), graph.axes, strict=True)
    ]
    return {"file": file, "inputs": inputs, "outputs": graph.outputs}


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
