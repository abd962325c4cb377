"""Drawn scenes with complete ground truth: image, objects, masks, aligned captions, and a check of any caption's truth.

In the order in which a scene is made: `world` (what it consists of), `rendering` (pixels and masks), `words` and
`grammar` (captions), `parser` (captions read back), `semantics` (truth and alignment), `generation` (scenes and data
sets), `tensors` and `exporting`. Explained in the chapter on pictures as grids.
"""

from companion.scenes.exporting import export
from companion.scenes.generation import make_dataset, mirror, render_scene, sample_scene
from companion.scenes.parser import Claim, Phrase, Statement, parse, scene_object
from companion.scenes.rendering import RGB
from companion.scenes.semantics import align, explain, is_exact, is_true
from companion.scenes.tensors import image_tensor
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
    SceneObject,
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
    "SceneObject",
    "Statement",
    "align",
    "explain",
    "export",
    "holds",
    "image_tensor",
    "is_exact",
    "is_true",
    "make_dataset",
    "mirror",
    "parse",
    "render_scene",
    "sample_scene",
    "scene_object",
    "word_class",
]
