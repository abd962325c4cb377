"""Draw the picture that other sites show beside a link to the book: `python -m tools.share_image`.

It shows a scene of the test split and where the shipped network looked for three words of its caption, in 1200 by 630
pixels. The file is committed, book/_static/share.png; draw it again after a change of the shipped network.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import yaml

from companion import checkpoints, plots, scenes, tasks

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "book" / "_static" / "share.png"
WIDTH, HEIGHT, DPI = 1200, 630, 100


def draw(out: Path) -> None:
    """Draw the picture: the first true caption that names three objects, and its first three nouns."""
    world = scenes.make_dataset("test", 50)
    captions = tasks.scenes.caption(checkpoints.load("scenes"), world, beam=1)
    scene, caption = next(
        (scene, caption)
        for scene, caption in zip(world, captions, strict=True)
        if len(scene.objects) == 3 and len(_nouns(caption.words)) == 3 and scenes.is_true(caption.text, scene)
    )
    figure = plt.figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor="white", layout="none")
    frames = [(np.asarray(scene.image), "")]
    frames += [(plots.overlay(scene.image, caption.weights[i]), caption.words[i]) for i in _nouns(caption.words)]
    for column, (frame, word) in enumerate(frames):
        ax = plots.picture(frame, ax=figure.add_axes((0.045 + 0.2335 * column, 0.24, 0.215, 0.41)))
        ax.text(0.5, -0.05, word, transform=ax.transAxes, ha="center", va="top", fontsize=20, color="#444")
    title = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"]
    figure.text(0.045, 0.8, title, fontsize=44, fontweight="bold", color="#222")
    figure.text(0.045, 0.71, f"“{caption.text}”", fontsize=20, color="#c80082", parse_math=False)
    figure.text(
        0.045,
        0.06,
        "A book on attention for image captioning. Its figures and numbers are computed on the page.",
        fontsize=18,
    )
    figure.savefig(out, dpi=DPI)
    plt.close(figure)


def _nouns(words: tuple[str, ...]) -> list[int]:
    return [i for i, word in enumerate(words) if scenes.word_class(word) == "shape"]


if __name__ == "__main__":
    draw(OUT)
