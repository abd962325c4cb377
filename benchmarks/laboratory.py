"""The captioner of the live laboratory in Chromium: its size, its times, and whether its captions are PyTorch's.

    python -m benchmarks.laboratory

Opens the laboratory as a page of its own, from the disk (`tools.laboratory.write_page`). Measured are the time from
opening it to the first caption, and the time from a change of the scene to the caption on the page: draw, encode,
generate, grade, show. An edit moves an object by one pixel with the arrow keys, and the next one waits for its caption.
Captions are compared on scenes of the validation split, with those of PyTorch with the same eight-bit weights, and in
single precision.

Writes laboratory.json, part by part, and measures again what is of other weights. Needs Chromium. The chapter on
captions in real time and the laboratory show the numbers.
"""

import base64
import copy
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import Page

from benchmarks import record
from benchmarks.run import processor
from companion import checkpoints, scenes
from companion.encoders import fold_batch_norms
from companion.exporting.arrays import pack, unpack, weights_of
from companion.models import Captioner
from tools import laboratory, page_browser

RESULTS = Path(__file__).with_name("laboratory.json")
SCENES = {1: 200, 5: 50}  # of the validation split, by the width of the beam
OPENINGS, EDITS, WARM_UP = 10, 60, 5

# Captions of pictures, base64, by the scripts of the page.
CAPTIONS = """([pictures, width]) => {
  const serve = attentionBook.makeServer(attentionBook.model);
  return pictures.map((text) => {
    const image = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return serve({ image, method: "beam", width }).words.join(" ");
  });
}"""
ANSWERED = "(count) => performance.getEntriesByName('attentionBook.edit').length >= count"
TIMES = "() => performance.getEntriesByName('attentionBook.edit').map((entry) => entry.duration)"
FIRST = """() => {
  const [first] = performance.getEntriesByName("attentionBook.edit");
  return first.startTime + first.duration;
}"""


def rounded(captioner: Captioner) -> Captioner:
    """Return a copy with the weights of the page: batch norms folded, matrices as int8 by row and back."""
    captioner = copy.deepcopy(captioner)
    fold_batch_norms(captioner.encoder)
    own = weights_of(captioner)
    stored = unpack(*pack(own, quantized=True))
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(stored[name])
    return captioner


def percentiles(milliseconds: list[float]) -> list[int]:
    """Return the 50th and the 95th percentile, in whole milliseconds."""
    cuts = statistics.quantiles(milliseconds, n=20)
    return [round(cuts[9]), round(cuts[18])]


def opened(view: Page, page: Path) -> float:
    """Open the page and return the milliseconds until its first caption is there."""
    view.goto(page.as_uri())
    view.wait_for_function(ANSWERED, arg=1)
    return float(view.evaluate(FIRST))


def sizes(page: Path) -> dict[str, int]:
    """Return the size of the scripts together, and of the model, in kilobytes."""
    model = page.with_name(laboratory.MODEL)
    scripts = sum(path.stat().st_size for path in page.parent.glob("*.js") if path != model)
    return {"scripts": round(scripts / 1000), "model": round(model.stat().st_size / 1000)}


def times(view: Page, page: Path) -> dict[str, list[int]]:
    """Return the percentiles of all times."""
    return {
        "from opening the page to a caption": percentiles([opened(view, page) for _ in range(OPENINGS)]),
        "an edit, greedy": edits(view, 1),
        "an edit, beam of five": edits(view, 5),
    }


def edits(view: Page, width: int) -> list[int]:
    """Return the percentiles of edits, captioned by greedy search (a width of 1) or by beam search."""
    if width > 1:
        view.check("input[value=beam]")
        view.get_by_label("Width").fill(str(width))
    view.wait_for_timeout(1000)
    view.evaluate("performance.clearMeasures()")
    view.locator(".laboratory-handle").first.focus()
    for count in range(EDITS + WARM_UP):
        view.keyboard.press("ArrowRight" if count // 20 % 2 == 0 else "ArrowLeft")
        view.wait_for_function(ANSWERED, arg=count + 1)
    return percentiles(view.evaluate(TIMES)[WARM_UP:])


def equal_captions(view: Page, page: Path) -> dict[str, list[int]]:
    """Return how many captions of validation scenes the page has in common with PyTorch, and of how many."""
    opened(view, page)
    captioner = checkpoints.load("scenes")
    eight_bits = rounded(captioner)
    return {
        "greedy, PyTorch with eight bits": equal(view, eight_bits, 1),
        "beam of five, PyTorch with eight bits": equal(view, eight_bits, 5),
        "greedy, PyTorch in single precision": equal(view, captioner, 1),
    }


def equal(view: Page, captioner: Captioner, width: int) -> list[int]:
    """Return how many captions of a search the page has in common with a captioner, and of how many."""
    world = scenes.make_dataset("validation", SCENES[width])
    pictures = [base64.b64encode(scene.image.tobytes()).decode() for scene in world]
    ours = [caption.text for caption in captioner.caption(scenes.image_tensor(world), width)]
    return [sum(map(str.__eq__, ours, view.evaluate(CAPTIONS, [pictures, width]))), len(world)]


def main() -> None:
    """Measure what is missing in laboratory.json, or has other weights there."""
    torch.set_num_threads(1)
    results = record.read(RESULTS, {"sha256": checkpoints.card("scenes")["sha256"]})
    with tempfile.TemporaryDirectory() as scratch, page_browser.browser() as running:
        page = laboratory.write_page(Path(scratch))
        view = running.new_page(viewport={"width": 1280, "height": 900})
        work: dict[str, Callable[[], Any]] = {
            "machine": lambda: {"processor": processor(), "browser": f"Chromium {running.version}"},
            "kilobytes": lambda: sizes(page),
            "milliseconds": lambda: times(view, page),
            "captions equal": lambda: equal_captions(view, page),
        }
        record.complete(RESULTS, results, work)
    for name, part in results.items():
        print(name, part)


if __name__ == "__main__":
    main()
