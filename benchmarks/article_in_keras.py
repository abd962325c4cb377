"""Run the article's captioning program, statement by statement, under Keras 3 on PyTorch, and record where it stops.

    pip install keras==3.15.1
    python -m benchmarks.article_in_keras ARTICLE.md

The article's four blocks of code are read from a copy of the article that you name; none of it is stored here. Keras 3
takes the place of `tensorflow.keras`. Where a statement stops, the error is recorded, a repair from `REPAIRS` takes its
place, the smallest that we found, and the program goes on. The stops, and what the program prints at the end, go to
article_in_keras.json. The chapter on repairing the article's captioner shows them.
"""

import ast
import io
import json
import os
import sys
import tempfile
import types
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from companion import scenes
from companion.files import atomic_write

RESULTS = Path(__file__).with_name("article_in_keras.json")
SIDE = 150  # pixels of the article's pictures
PICTURES = 8  # stand for its data set
MAX_MESSAGE = 160  # characters of an error message

# By the line of the article at which a statement begins: what takes its place once it has stopped, one after the other
# while it stops again. `{code}` is the statement itself.
REPAIRS = {
    163: ["from keras.src.legacy.preprocessing.image import ImageDataGenerator"],
    172: ["save_pictures('train_data')\n{code}"],
    199: ["x = LSTM(512, return_sequences=True)(keras.layers.Embedding(1024, 512)(input_seq))"],
    206: [
        "from keras.layers import concatenate\n{code}",
        "combined = keras.layers.Add()([keras.layers.Reshape((1, 512))(encoded_img.output), decoded_seq.output])",
    ],
    223: [
        "test_data, test_labels = [pictures, ids], ids\n{code}",
        "model.fit([pictures, ids], decoded_seq.output, epochs=1)",
        "model.fit([pictures, ids], ids, epochs=1)",
        "model.compile(optimizer='adam', loss='sparse_categorical_crossentropy')\n"
        "model.fit([pictures, ids], ids, epochs=1)",
    ],
    240: ["test_image = pictures[:1]"],
}


class Statement(NamedTuple):
    """One statement of the article, and the line at which it begins."""

    line: int
    code: str


def statements(article: str) -> Iterator[Statement]:
    """Yield the statements of the blocks of Python in the article."""
    lines, first = article.splitlines(), None
    for number, line in enumerate(lines, start=1):
        if line.strip() == "```python":
            first = number + 1
        elif line.strip() == "```" and first:
            block = "\n".join(lines[first - 1 : number - 1])
            for node in ast.parse(block).body:
                yield Statement(first + node.lineno - 1, ast.get_source_segment(block, node) or "")
            first = None


def stand_in_for_tensorflow(keras: Any) -> None:
    """Let `tensorflow.keras` mean Keras 3."""
    sys.modules["tensorflow"] = types.ModuleType("tensorflow")
    for name in ("", ".models", ".layers", ".preprocessing", ".preprocessing.image"):
        module = keras
        for part in name.split(".")[1:]:
            module = getattr(module, part)
        sys.modules[f"tensorflow.keras{name}"] = module


def data() -> dict[str, Any]:
    """Return pictures of drawn scenes and random ids, for the repairs that need numbers."""
    world = scenes.make_dataset("train", PICTURES)
    images = [np.asarray(Image.fromarray(scene.image).resize((SIDE, SIDE))) / 255 for scene in world]
    ids = np.random.default_rng(0).integers(1, 1024, (PICTURES, 12))
    pictures = np.stack(images).astype("float32")

    def save_pictures(folder: str) -> None:
        """Save the pictures in two folders, which are the two classes that `class_mode='binary'` asks for."""
        for i, picture in enumerate(pictures):
            path = Path(folder, "odd" if i % 2 else "even", f"{i}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((255 * picture).astype("uint8")).save(path)

    return {"pictures": pictures, "ids": ids, "save_pictures": save_pictures}


def run(article: str) -> dict[str, Any]:
    """Return the stops of the program, and the shape and dtype of what it prints as a description."""
    import keras

    stand_in_for_tensorflow(keras)
    names: dict[str, Any] = {"keras": keras} | data()
    stops: list[dict[str, Any]] = []
    for line, code in statements(article):
        for attempt in [code, *(repair.replace("{code}", code) for repair in REPAIRS.get(line, []))]:
            try:
                with redirect_stdout(io.StringIO()):
                    exec(compile(attempt, f"line {line}", "exec"), names)
                if attempt != code:
                    stops[-1]["repair"] = attempt.removesuffix(code).strip()
                break
            except Exception as error:
                message = " ".join(str(error).split(" (/")[0].split())[:MAX_MESSAGE]  # without the machine's paths
                stop = {"line": line, "statement": code.splitlines()[0], "error": type(error).__name__}
                stops.append(stop | {"message": message, "repair": ""})
                if attempt != code:
                    stops[-2]["repair"] = attempt.removesuffix(code).strip()
        else:
            raise SystemExit(f"line {line} stops, and REPAIRS has nothing (more) for it: {stops[-1]}")
    sequence = names["generated_seq"]
    return {
        "keras": keras.__version__,
        "stops": stops,
        "shape": list(sequence.shape),
        "dtype": str(sequence.dtype),
    }


def main() -> None:
    """Run the article that the command names, in an empty folder, and write the record."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m benchmarks.article_in_keras ARTICLE.md")
    os.environ["KERAS_BACKEND"] = "torch"
    article = Path(sys.argv[1]).read_text("utf-8")
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        try:
            record = run(article)
        finally:
            os.chdir(before)
    atomic_write(RESULTS, json.dumps(record, indent=1, ensure_ascii=False).encode() + b"\n")
    for stop in record["stops"]:
        print(f"{stop['line']}: {stop['error']}: {stop['message']}\n    repaired by: {stop['repair']}")
    print("its description:", record["shape"], record["dtype"])


if __name__ == "__main__":
    main()
