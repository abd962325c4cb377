"""Draw the figures of `companion caption --attention`, in one file or in a file for each photograph."""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from companion.cli.arguments import report_note

FRAME_PIXELS = 320  # longest side of a photograph in its filmstrip
NARROWEST = 10  # shortest side of it; a picture that would be a mere line is drawn wider than it is
SHARED = 5  # photographs that share a figure; if there are more, each has its own
NAME_LETTERS = 60  # of a photograph's name in that of its figure, which must not become too long for the disk


class Figures:
    """The figures of attention: `OUT.png` for a few photographs, else a folder with one for each, as they come."""

    def __init__(self, out: Path, names: Mapping[Path, str], *, apart: bool = False) -> None:
        """Choose where the figures go; nothing is written yet.

        Args:
            out: a PNG file or a folder.
            names: each photograph and what its figure is named after: its name, or its path inside a folder.
            apart: give each photograph a file even if they are few, because some may have theirs from a run before.

        Raises:
            ValueError: the figures cannot be written there, or would overwrite one of the photographs.
        """
        is_png = out.suffix.lower() == ".png"
        self.out, self.strips = out, list[Any]()
        self.paths: dict[Path, Path] = {}  # of the figure of each photograph, if each has its own
        if apart or len(names) > SHARED or not is_png:
            self.out = out.with_suffix("") if is_png else out
            self.paths = dict(zip(names, self._unique_paths(names), strict=True))
            if is_png:
                report_note(f"each photograph has its own figure, in the folder {self.out}")
        self._check(out, names)
        import_matplotlib()

    def _unique_paths(self, names: Mapping[Path, str]) -> list[Path]:
        """Return a path in the folder for each photograph, numbered where two would have the same."""
        paths: dict[Path, None] = {}
        for name in names.values():
            place = Path(name)
            path = wanted = self.out / place.parent / place.name[:NAME_LETTERS]
            number = 1
            while (figure := path.with_name(f"{path.name}.png")) in paths:
                number += 1
                path = wanted.with_name(f"{wanted.name}-{number}")
            paths[figure] = None
        return list(paths)

    def _check(self, out: Path, names: Mapping[Path, str]) -> None:
        """Raise ValueError if the figures cannot be written, or would overwrite one of the photographs."""
        photographs = set(map(os.path.realpath, names))
        is_folder, suffix = self.out.is_dir(), self.out.suffix.lower()
        wrong_kind = (self.out.exists() or bool(suffix)) and not is_folder if self.paths else is_folder
        for wrong, reason in (
            (wrong_kind, "is not the name of a PNG file, or of a folder for several"),
            (not out.parent.is_dir(), f"there is no folder {out.parent}"),
            (any(os.path.realpath(figure) in photographs for figure in (self.out, *self.paths.values())),
             "is one of the photographs, or would overwrite one"),
        ):  # fmt: skip
            if wrong:
                raise ValueError(f"{out}: {reason}; choose another --attention")

    def add(self, path: Path, caption: Any) -> None:
        """Draw the figure of a photograph, or keep it for the figure of all."""
        from companion import datasets

        photograph = datasets.load_original(path)
        photograph.thumbnail((FRAME_PIXELS, FRAME_PIXELS))
        photograph = photograph.resize([max(side, NARROWEST) for side in photograph.size])
        strip = photograph, caption
        if self.paths:
            self.paths[path].parent.mkdir(parents=True, exist_ok=True)
            write_figure(self.paths[path], [strip])
        else:
            self.strips.append(strip)

    def finish(self) -> None:
        """Write the figure of all photographs, if they share one and there are any."""
        if self.strips:
            write_figure(self.out, self.strips)


def write_figure(path: Path, strips: list[Any]) -> None:
    """Write a figure of the attention for each photograph and its caption: to places, and to tags if there are any."""
    from companion import plots
    from companion.files import atomic_write

    if all(caption.tags for _, caption in strips):
        axes = plots.two_memories_each(strips)
    else:
        axes = plots.filmstrips([(photograph, caption.words, caption.weights) for photograph, caption in strips])
    atomic_write(path, plots.png(axes))


def import_matplotlib() -> None:
    """Import Matplotlib with a backend that needs no screen, and without the user's settings.

    Settings that are not valid, or are meant for a screen or a notebook, would end the command or fill standard error.
    Matplotlib reads them when it is imported, those in the current folder first; so that is for a moment the folder of
    its own defaults. A program that has imported Matplotlib before it runs a command keeps its settings.
    """
    specification = importlib.util.find_spec("matplotlib")
    if "matplotlib" in sys.modules or specification is None or specification.origin is None:
        return
    chosen = os.environ.get("MPLBACKEND")
    os.environ["MPLBACKEND"] = "agg"
    try:
        with contextlib.chdir(Path(specification.origin).parent / "mpl-data"):
            import matplotlib  # noqa: F401
    finally:
        del os.environ["MPLBACKEND"]
        if chosen is not None:
            os.environ["MPLBACKEND"] = chosen
