"""Drawn scenes: the image shows the objects that the scene lists, and a seed gives the same scene everywhere."""

import hashlib
import json
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from companion import scenes
from companion.scenes import SPLITS, scene_object
from tests.scene_worlds import all_scenes, scenes_by_split

GOLDEN = "62561b50fde968151b4856ecec8e0167de6e97d27903031b0d718cfb19e6c986"


# --- attributes and splits ----------------------------------------------------------------------------------------


def test_all_attributes_relations_and_counts_occur():
    world = scenes_by_split()["train"]
    objects = [o for scene in world for o in scene.objects]
    assert {o.shape for o in objects} == set(scenes.SHAPES)
    assert {o.colour for o in objects} == set(scenes.COLOURS)
    assert {o.size for o in objects} == set(scenes.SIZES)
    assert {o.texture for o in objects} == set(scenes.TEXTURES)
    assert {len(scene.objects) for scene in world} == {1, 2, 3, 4}
    claims = [claim for scene in world for c in scene.captions for claim in scenes.parse(c.text).claims]
    assert {claim.relation for claim in claims} == set(scenes.RELATIONS)


def test_held_out_pairs_are_in_every_compositional_scene_and_in_no_other():
    for split, world in scenes_by_split().items():
        for scene in world:
            held_out = [o for o in scene.objects if (o.colour, o.shape) in scenes.HELD_OUT]
            assert bool(held_out) == (split == "compositional")
            text = " ".join(caption.text for caption in scene.captions)
            mentioned = [f"{colour} {shape}" in text for colour, shape in scenes.HELD_OUT]
            assert any(mentioned) == (split == "compositional")
    trained = {(o.colour, o.shape) for scene in scenes_by_split()["train"] for o in scene.objects}
    assert {c for c, _ in scenes.HELD_OUT} <= {c for c, _ in trained}, "each colour occurs, only the pair is new"
    assert {s for _, s in scenes.HELD_OUT} <= {s for _, s in trained}


def test_no_image_occurs_twice_in_one_split_or_in_two():
    assert len({scene.image.tobytes() for scene in all_scenes()}) == len(all_scenes())


# --- pixels and masks ---------------------------------------------------------------------------------------------


def test_masks_are_disjoint_and_as_large_as_their_objects():
    for scene in all_scenes():
        assert scene.masks.shape == (len(scene.objects), 64, 64)
        assert scene.masks.sum(axis=0).max() == 1
        for mask, o in zip(scene.masks, scene.objects, strict=True):
            rows, cols = np.nonzero(mask)
            box = (rows.min(), rows.max(), cols.min(), cols.max())
            expected = (o.row - o.radius, o.row + o.radius, o.col - o.radius, o.col + o.radius)
            assert np.abs(np.subtract(box, expected)).max() <= 1.5, o


def test_the_pixels_of_a_mask_have_the_colour_of_the_object():
    """Witness: of the eight colours, the one that most pixels of the mask have exactly."""
    palette = np.array([scenes.RGB[colour] for colour in scenes.COLOURS], dtype=int)
    for scene in all_scenes():
        for mask, o in zip(scene.masks, scene.objects, strict=True):
            pixels = scene.image[mask].astype(int)
            exact = (np.abs(pixels[:, None] - palette).sum(axis=2) == 0).sum(axis=0)
            assert scenes.COLOURS[exact.argmax()] == o.colour
            share = exact.max() / len(pixels)
            assert share > 0.55 if o.texture == "plain" else 0.2 < share < 0.7, o
            dark = (pixels == np.array(scenes.RGB[o.colour]) * 9 // 20).all(axis=1).mean()
            assert dark > 0.15 if o.texture == "striped" else dark == 0, o


def test_the_background_is_muted_and_no_object_extends_beyond_its_mask():
    """Away from the masks, an image is nearly grey: the channels differ little and are nowhere dark or bright."""
    for scene in all_scenes():
        covered = scene.masks.any(axis=0)
        near = np.zeros_like(covered)
        for row, col in np.ndindex(3, 3):
            near |= np.roll(covered, (row - 1, col - 1), axis=(0, 1))
        background = scene.image[~near].astype(int)
        assert (background.max(axis=1) - background.min(axis=1)).max() <= 16
        assert background.min() >= 120
        assert background.max() <= 215


def test_objects_overlap_only_where_one_is_inside_the_other():
    nested = 0
    for scene in all_scenes():
        for a, b in combinations(scene.objects, 2):
            gap = max(abs(a.row - b.row), abs(a.col - b.col)) - a.radius - b.radius
            if gap < 2:
                small, large = sorted((a, b), key=lambda o: o.radius)
                assert scenes.holds("inside", small, large)
                assert small.colour != large.colour
                nested += 1
    assert nested > 50


def test_every_shape_has_its_area():
    """Witness for the rendering: areas from geometry; a square to the pixel, a circle to 3 %."""
    area = {}
    for shape in scenes.SHAPES:
        area[shape] = int(scenes.render_scene([scene_object(f"red {shape}", 32, 32, radius=12.5)]).masks.sum())
    assert area["square"] == 25 * 25
    assert area["circle"] == pytest.approx(np.pi * 12.5**2, rel=0.03)
    assert area["triangle"] == pytest.approx(25 * 25 / 2, rel=0.05)
    assert area["cross"] == pytest.approx(25**2 * (0.38 * 2 - 0.38**2), rel=0.08)
    assert len(set(area.values())) == len(scenes.SHAPES)


# --- seeds --------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes():
    """The digest was written down once; another machine, Python or NumPy has to arrive at it too."""
    digest = hashlib.sha256()
    for scene in scenes.make_dataset("train", 50):
        digest.update(scene.image.tobytes())
        digest.update(np.packbits(scene.masks).tobytes())
        digest.update("\n".join(caption.text for caption in scene.captions).encode())
    assert digest.hexdigest() == GOLDEN


def test_a_shorter_data_set_is_the_beginning_of_a_longer_one():
    short, long = scenes.make_dataset("test", 3), scenes.make_dataset("test", 6)
    assert [s.captions for s in short] == [s.captions for s in long[:3]]
    assert short[2].seed == 2


def test_another_seed_gives_other_scenes_each_named_by_its_own_seed():
    (scene,) = scenes.make_dataset("test", 1, seed=1)
    assert scene.seed not in range(1000)
    assert np.array_equal(scenes.sample_scene(scene.seed, "test").image, scene.image)


# --- mirror images ------------------------------------------------------------------------------------------------


def test_the_mirror_exchanges_left_and_right_and_nothing_else():
    exchange = {"left": "right", "right": "left"}
    with_side = 0
    for scene in all_scenes()[::5]:
        mirrored = scenes.mirror(scene)
        assert np.array_equal(mirrored.image[:, 0], scene.image[:, 63])
        for mask, o in zip(mirrored.masks, mirrored.objects, strict=True):
            assert abs(np.nonzero(mask)[1].mean() - o.col) < 3
        kept = {caption.text for caption in mirrored.captions}
        for caption in scene.captions:
            names_side = not exchange.keys().isdisjoint(caption.words)
            assert (caption.text in kept) == (not names_side), caption.text
            exchanged = " ".join(exchange.get(word, word) for word in caption.words)
            assert scenes.is_exact(exchanged, mirrored), exchanged
            with_side += names_side
    assert with_side > 50
    first = all_scenes()[0]
    assert np.array_equal(scenes.mirror(scenes.mirror(first)).masks, first.masks)


# --- refusals and files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scenes.sample_scene(0, "tset"), "there is no split called 'tset'"),
        (lambda: scenes.sample_scene(-1), "a seed is an integer from 0"),
        (lambda: scenes.make_dataset("train", 0), "cannot make 0 scenes"),
        (lambda: scenes.make_dataset("elsewhere", 5), "choose one of train"),
        (lambda: scenes.render_scene([]), "1 to 4 objects"),
        (lambda: scenes.render_scene([scene_object("red star", 32, 32)] * 5), "1 to 4 objects, not 5"),
        (lambda: scenes.render_scene([scene_object("red circle", 5, 32)]), "leaves the image"),
        (
            lambda: scenes.render_scene([scene_object("red circle", 30, 20), scene_object("blue star", 32, 38)]),
            "overlap",
        ),
        (
            lambda: scenes.render_scene(
                [scene_object("red star", 32, 32, radius=15), scene_object("small blue square", 38, 32)]
            ),
            "sticks out",
        ),
        (
            lambda: scenes.render_scene([scene_object("red star", 32, 32)._replace(colour="mauve")]),
            "'mauve' is unknown",
        ),
        (lambda: scenes.render_scene([scene_object("red star", 32, 32, radius=1)]), "too small"),
        (lambda: scene_object("a mauve circle", 3, 3), "colour and shape"),
        (lambda: scene_object("two red circles", 3, 3), "is not one object"),
    ],
)
def test_what_cannot_be_rendered_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_an_export_has_the_images_masks_and_captions_of_the_scenes(tmp_path):
    """Read back with Pillow and json alone."""
    scenes.export(tmp_path, "test", 3)
    contents = json.loads((tmp_path / "captions.json").read_text())
    for record, scene in zip(contents["images"], scenes.make_dataset("test", 3), strict=True):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "images" / record["file_name"])), scene.image)
        for i, mask in enumerate(scene.masks):
            file = tmp_path / "masks" / record["file_name"].replace(".png", f"_{i}.png")
            assert np.array_equal(np.asarray(Image.open(file)) > 0, mask)
        captions = [entry["caption"] for entry in contents["annotations"] if entry["image_id"] == record["id"]]
        assert captions == [caption.text for caption in scene.captions]


def test_the_splits_are_those_that_the_seeds_count_on():
    """The position of a split is part of every seed: a new split may only be appended."""
    assert SPLITS[:4] == ("train", "validation", "test", "compositional")
