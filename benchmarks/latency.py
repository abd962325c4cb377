"""How long one picture takes, how large the model is and how true its captions are, as it is exported.

    python -m benchmarks.latency

Both models that ship are exported, and captioned with in `WAYS`: by PyTorch, and by onnxruntime in single precision,
with the matrix products as int8, and with the convolutions as int8, too (`quantize_dynamic`: weights once, activations
as they come). One picture after the other is captioned in every way before the next, on one thread, so whatever
disturbs one way disturbs the others. Times are milliseconds of processor time and of the clock. The truth is that of
greedy captions of 500 validation scenes, also with the int8 weights of the export, dequantized and run by PyTorch.

Writes latency.json, model by model, and measures again only what is of other weights. The chapter on captions in real
time shows the tables.
"""

import json
import logging
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.run import processor
from companion import checkpoints, datasets, decoding, exporting, scenes
from companion.decoding import Caption
from companion.encoders import Grid
from companion.exporting import OnnxCaptioner
from companion.exporting.graphs import GRAPHS
from companion.files import atomic_write
from companion.model_card import bootstrap_interval
from companion.models import LENGTH_POWER, Captioner

RESULTS = Path(__file__).with_name("latency.json")
MODELS = ("scenes", "photos")
WAYS = ("PyTorch", "ONNX", "ONNX, int8 products", "ONNX, int8 convolutions too")
OPERATORS = {WAYS[2]: ["MatMul", "Gemm"], WAYS[3]: ["MatMul", "Gemm", "Conv"]}
BEAMS = (1, 5)
PICTURES = {"scenes": 200, "photos": 5}  # of the validation split; the example photographs
TURNS = {"scenes": 1, "photos": 10}  # with every picture
WARM_UP = 3  # captions that are not counted
VALIDATION = 500  # scenes whose captions are checked
Model = Captioner | OnnxCaptioner


def pictures(name: str) -> Tensor:
    """Return the pictures that a model is timed with, as bytes."""
    if name == "scenes":
        return scenes.image_tensor(scenes.make_dataset("validation", PICTURES[name]))
    return torch.stack([datasets.load_image(datasets.example_image(image)) for image in datasets.EXAMPLE_IMAGES])


def quantize(folder: Path, out: Path, operators: list[str]) -> dict[str, Path]:
    """Write the graphs of an export with these operators as int8, and return the files by the graphs' names."""
    from onnxruntime.quantization import quantize_dynamic

    logging.disable(logging.WARNING)  # it proposes a preparation that the exporter has made already
    out.mkdir()
    for name in GRAPHS:
        quantize_dynamic(folder / f"{name}.onnx", out / f"{name}.onnx", op_types_to_quantize=operators)
    logging.disable(logging.NOTSET)
    return {name: out / f"{name}.onnx" for name in GRAPHS}


def search(model: Model, grid: Grid, beam: int) -> list[Caption]:
    """Return the captions that `Captioner.caption` returns, of any model."""
    return decoding.beam_search(model, grid, model.vocabulary, beam, length_power=LENGTH_POWER)


def clocks() -> tuple[float, float]:
    """Return the milliseconds of processor time and of the clock."""
    return 1000 * time.process_time(), 1000 * time.perf_counter()


@torch.inference_mode()
def time_ways(ways: dict[str, Model], images: Tensor, beam: int, turns: int) -> dict[str, Any]:
    """Return, for every way, the percentiles of its times and of their ratios to the first way, and what it said."""
    rows: dict[str, list[tuple[float, ...]]] = {way: [] for way in ways}
    lines: dict[str, list[str]] = {way: [] for way in ways}
    for i in range(-WARM_UP, turns * len(images)):
        image = images[i % len(images)][None]
        for way, model in ways.items():
            start = clocks()
            grid = model.encode(image)
            encoded = clocks()
            (caption,) = search(model, grid, beam)
            end = clocks()
            if i >= 0:
                rows[way].append((end[0] - start[0], end[1] - start[1], encoded[0] - start[0]))
                lines[way].append(caption.text)
    first = next(iter(ways))
    return {
        way: {
            "processor": percentiles([row[0] for row in own]),
            "clock": percentiles([row[1] for row in own]),
            "encoder": percentiles([row[2] for row in own]),
            "ratio": percentiles([row[0] / partner[0] for row, partner in zip(own, rows[first], strict=True)]),
            "same captions": [
                sum(map(str.__eq__, lines[way][: len(images)], lines[first][: len(images)])),
                len(images),
            ],
        }
        for way, own in rows.items()
    }


def percentiles(values: Sequence[float]) -> list[float]:
    """Return the 5th, the 50th and the 95th percentile."""
    cuts = statistics.quantiles(values, n=20)
    return [round(cuts[i], 3) for i in (0, 9, 18)]


def truths(ways: dict[str, Model]) -> dict[str, Any]:
    """Return the truth of greedy captions of validation scenes in every way, and what differs from the first way."""
    world = scenes.make_dataset("validation", VALIDATION)
    images = scenes.image_tensor(world)
    lines = {way: [c.text for part in images.split(250) for c in caption(model, part)] for way, model in ways.items()}
    true = {
        way: [scenes.is_true(line, scene) for line, scene in zip(own, world, strict=True)] for way, own in lines.items()
    }
    first = next(iter(ways))
    return {
        way: {
            "truth": sum(true[way]) / VALIDATION,
            "interval": bootstrap_interval([float(x) for x in true[way]]),
            "same captions": sum(a == b for a, b in zip(own, lines[first], strict=True)),
            "became false": sum(a and not b for a, b in zip(true[first], true[way], strict=True)),
            "became true": sum(b and not a for a, b in zip(true[first], true[way], strict=True)),
        }
        for way, own in lines.items()
    }


def caption(model: Model, images: Tensor) -> list[Caption]:
    """Return greedy captions."""
    with torch.inference_mode():
        return search(model, model.encode(images), 1)


def size(paths: Sequence[Path]) -> float:
    """Return the megabytes of files together."""
    return round(sum(path.stat().st_size for path in paths) / 1e6, 2)


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Return all facts of a model that ships; `folder` is for its export."""
    captioner = checkpoints.load(name)
    start = time.process_time()
    exporting.export(captioner, folder / "float32")
    seconds = time.process_time() - start
    ways: dict[str, Model] = {WAYS[0]: captioner, WAYS[1]: OnnxCaptioner(folder / "float32")}
    sizes = {
        "float32 arrays": size([folder / "float32" / "weights.float32.bin"]),
        "int8 arrays by row": size([folder / "float32" / "weights.int8.bin"]),
        WAYS[1]: size([folder / "float32" / f"{graph}.onnx" for graph in GRAPHS]),
    }
    for way, operators in OPERATORS.items():
        files = quantize(folder / "float32", folder / way, operators)
        ways[way], sizes[way] = OnnxCaptioner(folder / "float32", files), size(list(files.values()))
    facts: dict[str, Any] = {
        "sha256": checkpoints.card(name)["sha256"],
        "export seconds": round(seconds, 1),
        "megabytes": sizes,
        "milliseconds": {f"beam {beam}": time_ways(ways, pictures(name), beam, TURNS[name]) for beam in BEAMS},
    }
    if name == "scenes":
        by_row: dict[str, Model] = {"PyTorch, int8 by row": exporting.restore(folder / "float32")}
        facts["truth"] = truths({WAYS[0]: captioner, **by_row, **{way: ways[way] for way in WAYS[1:]}})
    return facts


def table(facts: dict[str, Any]) -> str:
    """Return a line for each way and beam of a model: the times, and their ratio to PyTorch's."""
    lines = []
    for beam, ways in facts["milliseconds"].items():
        for way, row in ways.items():
            (_, p50, p95), (low, ratio, high) = row["processor"], row["ratio"]
            same = "{} of {}".format(*row["same captions"])
            lines.append(f"{beam}  {way:28} {p50:7.1f} {p95:7.1f}  x {ratio:.2f} ({low:.2f}-{high:.2f})  {same}")
    return "\n".join(lines)


def main() -> None:
    """Measure the models that are missing in latency.json, or have other weights there, and print the tables."""
    torch.set_num_threads(1)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"models": {}}
    results |= {"made by": "python -m benchmarks.latency", "processor": processor(), "threads": 1}
    for name in MODELS:
        if results["models"].get(name, {}).get("sha256") != checkpoints.card(name)["sha256"]:
            with tempfile.TemporaryDirectory() as scratch:
                results["models"][name] = measure(name, Path(scratch))
            atomic_write(RESULTS, json.dumps(results, indent=1).encode() + b"\n")
        print(f"{name}\n{table(results['models'][name])}")
        for way, row in results["models"][name].get("truth", {}).items():
            print(f"{way:28} truth {row['truth']:.3f} {row['interval']}  {row['same captions']} the same")


if __name__ == "__main__":
    main()
