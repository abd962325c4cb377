"""A seed in, a drawn scene out: image, things, masks, captions with alignment, and a judge of what is true of it.

Explained in chapter 8, "Pictures into grids". In the order in which a scene comes about: `world` (what
there is), `drawing` (pixels and masks), `words` and `grammar` (captions), `parsing` (captions read back), `truth`
(captions judged), `making` (scenes and data sets), `export` (files).
"""

from companion.scenes.drawing import RGB
from companion.scenes.exporting import export
from companion.scenes.making import draw, make, mirror, render
from companion.scenes.parsing import Claim, Phrase, Statement, parse, thing
from companion.scenes.truth import align, explain, is_exact, is_true
from companion.scenes.words import WORDS, word_class
from companion.scenes.world import (
    COLOURS,
    HELD_OUT,
    RELATIONS,
    SHAPES,
    SIZES,
    SPLITS,
    TEXTURES,
    Reference,
    Scene,
    Thing,
    holds,
)

__all__ = [
    "COLOURS",
    "HELD_OUT",
    "RELATIONS",
    "RGB",
    "SHAPES",
    "SIZES",
    "SPLITS",
    "TEXTURES",
    "WORDS",
    "Claim",
    "Phrase",
    "Reference",
    "Scene",
    "Statement",
    "Thing",
    "align",
    "draw",
    "explain",
    "export",
    "holds",
    "is_exact",
    "is_true",
    "make",
    "mirror",
    "parse",
    "render",
    "thing",
    "word_class",
]
