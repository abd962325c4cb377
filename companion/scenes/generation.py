"""Scenes from seeds. Explained in the chapter on pictures as grids.

`sample_scene` generates one scene, `make_dataset` a data set, `render_scene` a scene from objects chosen by hand, and
`mirror` the mirror image of a scene.
"""

from collections.abc import Sequence

import numpy as np

from companion.scenes.grammar import references
from companion.scenes.rendering import background, paint
from companion.scenes.semantics import is_true
from companion.scenes.world import (
    COLOURS,
    HELD_OUT,
    IMAGE_SIZE,
    MAX_OBJECTS,
    SHAPES,
    SIZES,
    SPLITS,
    TEXTURES,
    Scene,
    SceneObject,
    SeededRandom,
)

SCENES_PER_SEED = 1_000_000  # that one seed of `make_dataset` can give

# The objects of a scene form groups alike in colour and shape. For each combination of group sizes: its weight.
_GROUP_SIZES = (
    ((1,), 10), ((1, 1), 40), ((2,), 8), ((1, 1, 1), 13), ((2, 1), 11),
    ((3,), 4), ((2, 2), 4), ((3, 1), 4), ((2, 1, 1), 3), ((1, 1, 1, 1), 3),
)  # fmt: skip
_NESTING_PROBABILITY = 0.3  # that, of two single objects, one is put inside the other
_MIN_GAP = 3  # pixels between two objects
# radii in pixels, at half pixels so that straight edges fall between pixels
_RADII = {"small": (6.5, 7.5), "large": (11.5, 12.5)}
_OUTER_RADIUS, _INNER_RADIUS = 15.5, 5.5  # of an object that contains another, and of the object in it
# the shapes with room for another object, and how many pixels below their centre the room lies
_ROOM_BELOW_CENTRE = {"circle": 0, "square": 0, "heart": -2, "triangle": 5}
_ATTEMPTS = 20  # positions tried for an object before the whole layout is started again

_TRAINING_PAIRS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES if (colour, shape) not in HELD_OUT)

_Pair = tuple[str, str]  # colour and shape


def _sample_pairs(rng: SeededRandom, count: int, split: str) -> list[_Pair]:
    """Return `count` different pairs; exactly one is held out in the compositional split, and none in the others."""
    pairs = [rng.choice(HELD_OUT)] if split == "compositional" else []
    while len(pairs) < count:
        pair = rng.choice(_TRAINING_PAIRS)
        if pair not in pairs:
            pairs.append(pair)
    return rng.shuffled(pairs)


def _sample_group_sizes(rng: SeededRandom) -> tuple[int, ...]:
    """Return the sizes of the groups of a scene, sampled with the weights of `_GROUP_SIZES`."""
    remaining = rng.randrange(sum(weight for _, weight in _GROUP_SIZES))
    for sizes, weight in _GROUP_SIZES:
        remaining -= weight
        if remaining < 0:
            return sizes
    raise AssertionError("the weights add up")


def _sample_objects(rng: SeededRandom, split: str) -> list[SceneObject]:
    """Return the objects of a scene, not yet placed.

    Of a nested pair the outer object comes first, and the inner one has its position relative to it.
    """
    sizes = _sample_group_sizes(rng)
    pairs = _sample_pairs(rng, len(sizes), split)
    objects: list[SceneObject] = []
    if sizes[:2] == (1, 1) and rng.bernoulli(_NESTING_PROBABILITY):
        outer = [pair for pair in pairs if pair[1] in _ROOM_BELOW_CENTRE]
        inner = [pair for pair in pairs if outer and pair[0] != outer[0][0]]  # red on red would be invisible
        if outer and inner:
            objects = _nested_objects(rng, outer[0], inner[0])
            pairs = [pair for pair in pairs if pair not in (outer[0], inner[0])]
            sizes = sizes[2:]
    for (colour, shape), count in zip(pairs, sizes, strict=True):
        for _ in range(count):
            size = rng.choice(SIZES)
            if sum(placed.size == "large" for placed in objects) == 2:  # there is no room for a third large object
                size = "small"
            objects.append(SceneObject(shape, colour, size, rng.choice(TEXTURES), 0, 0, rng.choice(_RADII[size])))
    return objects


def _nested_objects(rng: SeededRandom, outer: _Pair, inner: _Pair) -> list[SceneObject]:
    """Return a large object and a small one to be placed inside it."""
    textures = rng.choice((("plain", "plain"), ("plain", "striped"), ("striped", "plain")))  # stripes on stripes blur
    (outer_colour, outer_shape), (inner_colour, inner_shape) = outer, inner
    return [
        SceneObject(outer_shape, outer_colour, "large", textures[0], 0, 0, _OUTER_RADIUS),
        SceneObject(inner_shape, inner_colour, "small", textures[1], _ROOM_BELOW_CENTRE[outer_shape], 0, _INNER_RADIUS),
    ]


def _place(rng: SeededRandom, objects: list[SceneObject]) -> list[SceneObject]:
    """Return the objects in random order, each at a random position where it is clear of all others.

    The inner object of a nested pair moves with the outer one.
    """
    while True:
        placed: list[SceneObject] = []
        for new in objects:
            if placed and placed[0].radius == _OUTER_RADIUS and new.radius == _INNER_RADIUS:
                placed.append(new._replace(row=placed[0].row + new.row, col=placed[0].col + new.col))
                continue
            for _ in range(_ATTEMPTS):
                margin = int(new.radius) + 1
                row, col = (rng.randint(margin, IMAGE_SIZE - 1 - margin) for _ in range(2))
                if all(max(abs(row - o.row), abs(col - o.col)) >= new.radius + o.radius + _MIN_GAP for o in placed):
                    placed.append(new._replace(row=row, col=col))
                    break
            else:
                break  # no room left: start again
        if len(placed) == len(objects):
            return [SceneObject(*o[:4], *map(float, o[4:])) for o in rng.shuffled(placed)]


def sample_scene(seed: int, split: str = "train") -> Scene:
    """Return the scene of a seed, the same to the last bit on every machine.

    Each split has scenes of its own: the random numbers depend on seed and split. Every scene of "compositional" has
    one of the pairs of colour and shape in `HELD_OUT`; no scene of another split has one.

    Raises:
        ValueError: the split is unknown, or the seed is negative.
    """
    if split not in SPLITS:
        raise ValueError(f"there is no split called {split!r}; choose one of {', '.join(SPLITS)}")
    if seed < 0:
        raise ValueError(f"a seed is an integer from 0, not {seed}")
    rng = SeededRandom(seed * len(SPLITS) + SPLITS.index(split))
    objects = tuple(_place(rng, _sample_objects(rng, split)))
    image, masks = paint(objects, background(rng))
    return Scene(seed, image, objects, masks, references(objects, rng))


def make_dataset(split: str, count: int, seed: int = 0) -> list[Scene]:
    """Return the first `count` scenes of a split; with another `seed`, other scenes.

    The first 50 of 100 scenes are the same as those of `count=50`. Raises ValueError unless `count` is between 1 and
    `SCENES_PER_SEED`, and for an unknown split.
    """
    if not 1 <= count <= SCENES_PER_SEED:
        raise ValueError(f"cannot make {count} scenes; ask for 1 to {SCENES_PER_SEED:,}")
    return [sample_scene(seed * SCENES_PER_SEED + i, split) for i in range(count)]


def render_scene(
    objects: Sequence[SceneObject], background_colour: Sequence[int] | None = None, seed: int = 0
) -> Scene:
    """Return a scene of objects placed by hand, with captions generated for it.

    Args:
        objects: one to `MAX_OBJECTS` of them (see `scene_object`), all within the image; two may overlap only where
            one lies wholly inside the other.
        background_colour: red, green, blue from 0 to 255; sampled if None.
        seed: decides the captions, the background's texture and, where none is given, its colour.

    Raises:
        ValueError: an object is unknown, too small, outside the image or overlaps another; the message says which.
    """
    if not 1 <= len(objects) <= MAX_OBJECTS:
        raise ValueError(f"a scene has 1 to {MAX_OBJECTS} objects, not {len(objects)}")
    for i, scene_object in enumerate(objects):
        _check_object(i, scene_object)
    rng = SeededRandom(seed)
    image, masks = paint(objects, background(rng, background_colour))
    return Scene(seed, image, tuple(objects), masks, references(objects, rng))


def _check_object(i: int, scene_object: SceneObject) -> None:
    """Raise ValueError if an attribute is unknown, the object is not within the image, or it is too small."""
    for value, known in zip(scene_object[:4], (SHAPES, COLOURS, SIZES, TEXTURES), strict=True):
        if value not in known:
            raise ValueError(f"object {i}: {value!r} is unknown; choose one of {', '.join(known)}")
    shape, row, col, radius = scene_object.shape, scene_object.row, scene_object.col, scene_object.radius
    if not all(radius - 0.5 <= position <= IMAGE_SIZE - 0.5 - radius for position in (row, col)):
        raise ValueError(
            f"object {i}: a {shape} of radius {radius} at row {row}, col {col} leaves the image of "
            f"{IMAGE_SIZE} x {IMAGE_SIZE} pixels; move it inwards"
        )
    if radius < 3:
        raise ValueError(f"object {i}: radius {radius} is too small to recognise; take 3 pixels or more")


def mirror(scene: Scene) -> Scene:
    """Return the scene with left and right exchanged, and those of its captions that are still true (maybe none)."""
    objects = tuple(o._replace(col=IMAGE_SIZE - 1 - o.col) for o in scene.objects)
    image, masks = np.ascontiguousarray(scene.image[:, ::-1]), np.ascontiguousarray(scene.masks[:, :, ::-1])
    mirrored = scene._replace(image=image, objects=objects, masks=masks)
    return mirrored._replace(captions=tuple(caption for caption in scene.captions if is_true(caption.text, mirrored)))
