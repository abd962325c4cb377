"""The three ONNX graphs of a captioner: encoder, start and step, traced with axes of any size and translated."""

import importlib.util
import itertools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from companion.decoders import Decoder, State, expand_beams
from companion.encoders import Grid, Images, Tags
from companion.models import Captioner
from companion.vocabulary import Vocabulary

OPSET = 20  # of ONNX; onnxruntime reads it from version 1.17 on
GRAPHS = ("encoder", "start", "step")
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


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
