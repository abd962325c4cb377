"""Write detections.json: what the original graph of NanoDet-g scores on scikit-image's photographs.

    python tests/golden/make_detections.py READER

READER is a Python file with a class `NanoDet`: called with a PIL image it evaluates the TensorFlow.js graph that
`tools/convert_nanodet.py` converts, operation by operation, and returns the highest score of each class. It shares no
code with this project.
"""

import importlib.util
import json
import sys
from pathlib import Path

from PIL import Image

from companion import datasets

GOLDEN = Path(__file__).with_name("detections.json")
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "camera.png", "motorcycle_left.png")
SIZE = 416  # pixels a side, which the graph is made for


def photograph(name: str) -> Path:
    """Return a photograph that comes with scikit-image."""
    return datasets.example_image("coffee").with_name(name)


def main(reader: str) -> None:
    """Run the graph on every photograph and write the scores."""
    spec = importlib.util.spec_from_file_location("reader", reader)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    graph, scores = module.NanoDet(), {}
    for name in PHOTOGRAPHS:
        pixels = datasets.load_image(photograph(name), SIZE).permute(1, 2, 0).numpy()
        scores[name] = [round(float(score), 5) for score in graph(Image.fromarray(pixels))]
    GOLDEN.write_text(json.dumps(scores) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
