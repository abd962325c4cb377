"""From a word's map to a mask and to an edit: masks worked out by hand, edits that change what they should and no more.

The captioner of the command says the same of every photograph; what real ones say and where they look is measured by
`benchmarks.editing`.
"""

import itertools
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional as F

from benchmarks import editing as benchmark
from companion import checkpoints, cli, scenes
from companion.apps import editing
from companion.cli import editing as command
from companion.decoding import Caption, Tag
from companion.metrics import masks
from companion.models import Captioner
from companion.tokenizer import TOKENIZERS
from tests.faults.injection import snapshot

SIZE = (60, 40)  # width, height


def random_map(seed, rows=5, cols=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows * cols, generator=generator).softmax(-1).view(rows, cols)


def make_caption(text="a dog and a cat", *, language="en", tags=()):
    """Return a caption; word t has all its attention on place t of a grid of four by four."""
    words = tuple(TOKENIZERS[language].tokenize(text))
    weights = torch.eye(16)[: len(words)].view(-1, 4, 4)
    return Caption(words, -1.0, weights, TOKENIZERS[language], None, tuple(tags))


def photograph(size=SIZE, seed=0):
    """Return a picture of noise, in which every pixel differs from its neighbours."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def rectangle(top=10, bottom=25, left=20, right=45, size=SIZE):
    mask = np.zeros(size[::-1], dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


# -- masks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(64, 64), (50, 90), (5, 7)])
def test_interpolation_is_that_of_pytorch(height, width):
    weights = random_map(0)
    expected = F.interpolate(weights[None, None], (height, width), mode="bilinear", align_corners=False)[0, 0]
    np.testing.assert_allclose(masks.interpolate(weights, height, width), expected.numpy(), atol=1e-6)


def test_a_map_of_four_places_on_sixteen_pixels_by_hand():
    """A place of weight 1 falls off along a row as 1, 3/4, 1/4, 0, and so does it along a column."""
    weights = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    fall = np.array([1, 0.75, 0.25, 0])
    np.testing.assert_allclose(masks.interpolate(weights, 4, 4), np.outer(fall, fall), atol=1e-6)
    assert masks.from_map(weights, 4, 4, threshold=0.5).astype(int).tolist() == [
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [0] * 4,
        [0] * 4,
    ]
    assert masks.from_map(weights, 4, 4, threshold=0.6).sum() == 3


@given(st.integers(0, 99), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_a_higher_threshold_gives_a_smaller_part_of_the_mask_and_none_gives_no_mask(seed, one, other):
    low, high = (masks.from_map(random_map(seed), 30, 20, threshold=t) for t in sorted((one, other)))
    assert (low | ~high).all()
    assert high.any()
    assert masks.from_map(random_map(seed), 30, 20, threshold=0.0).all()


def test_the_scale_of_a_map_changes_nothing():
    weights = random_map(1)
    assert (masks.from_map(weights, 30, 20) == masks.from_map(weights * 1e-3, 30, 20)).all()


@pytest.mark.parametrize(
    "box", [(0.0, 0.0, 1.0, 1.0), (0.1, 0.2, 0.5, 0.9), (0.61, 0.4, 0.62, 0.41), (-0.2, 0.5, 0.3, 1.4)]
)
def test_the_pixels_of_a_box_are_those_that_it_touches(box):
    left, top, right, bottom = box
    height, width = 13, 9
    expected = [
        [
            col < right * width and col + 1 > left * width and row < bottom * height and row + 1 > top * height
            for col in range(width)
        ]
        for row in range(height)
    ]
    assert masks.from_box(box, height, width).tolist() == expected


def test_a_box_without_extent_has_one_pixel():
    for at in (0.0, 0.3, 1.0):
        assert masks.from_box((at, at, at, at), 10, 10).sum() == 1


def test_within_a_box_the_map_is_compared_with_its_largest_value_there():
    weights = torch.zeros(4, 4)
    weights[0, 0], weights[3, 3] = 1.0, 0.01
    box = (0.5, 0.5, 1.0, 1.0)
    assert not (masks.from_map(weights, 40, 40) & masks.from_box(box, 40, 40)).any()
    inside = masks.from_map(weights, 40, 40, box=box)
    assert inside[39, 39]
    assert not inside[:20].any()
    empty = (0.5, 0.0, 0.75, 0.25)  # there is no attention in it
    assert (masks.from_map(weights, 40, 40, box=empty) <= masks.from_box(empty, 40, 40)).all()
    assert masks.from_map(torch.zeros(4, 4), 40, 40, box=empty).sum() == masks.from_box(empty, 40, 40).sum()


def test_iou_is_that_of_sets_of_pixels():
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 9, 8)) > 0.6
    ours, theirs = ({(i, j) for i, j in zip(*np.nonzero(mask), strict=True)} for mask in (one, other))
    assert masks.iou(one, other) == len(ours & theirs) / len(ours | theirs) == masks.iou(other, one)
    assert masks.iou(one, one) == 1
    assert masks.iou(one & False, other & False) == 0


# -- words and tags ---------------------------------------------------------------------------------------------------


def test_a_word_is_found_as_the_language_reads_it():
    caption = make_caption("a dog and a brown dog")
    assert editing.find_word(caption, "Dog") == (1, 2, 2)
    assert editing.find_word(caption, "brown dog!") == (4, 6, 1)
    assert editing.find_word(make_caption("一只狗在跑", language="zh"), "狗在") == (2, 4, 1)


@pytest.mark.parametrize("word", ["cat", "dogs", "do", "", "!"])
def test_a_word_that_is_not_said_is_refused_with_the_caption_and_its_words(word):
    with pytest.raises(ValueError, match=r'"a dog and a horse"; its words are a, dog, and, horse$'):
        editing.find_word(make_caption("a dog and a horse"), word)


def tag(word, box=(0.5, 0.0, 1.0, 1.0), confidence=1.0):
    return Tag(word, confidence, True, box)


def test_the_tag_of_a_word_is_the_first_that_it_mentions_and_that_has_a_box():
    place = editing.Place(1, 2, 1)
    whole, boxed, other = tag("couch", (0.0, 0.0, 1.0, 1.0)), tag("couch"), tag("dog")
    assert editing.find_tag(make_caption("a sofa", tags=[other, boxed]), place) == boxed
    assert editing.find_tag(make_caption("a sofa", tags=[other]), place) is None
    assert editing.find_tag(make_caption("a sofa", tags=[whole]), place) is None
    assert editing.find_tag(make_caption("a sofa"), place) is None


def test_the_mask_of_a_word_lies_in_the_box_of_its_tag():
    alone = editing.word_mask(make_caption("a dog"), editing.Place(1, 2, 1), SIZE)
    boxed = editing.word_mask(make_caption("a dog", tags=[tag("dog")]), editing.Place(1, 2, 1), SIZE)
    assert alone.mask.shape == SIZE[::-1]
    assert alone.tag is None
    assert alone.mask[0, 22]  # the second place of four is the second quarter
    assert boxed.tag == tag("dog")
    assert (boxed.mask <= masks.from_box((0.5, 0.0, 1.0, 1.0), SIZE[1], SIZE[0])).all()


def test_several_tokens_have_the_mean_of_their_maps():
    caption = make_caption("a brown dog")
    mask, _ = editing.word_mask(caption, editing.Place(1, 3, 1), SIZE)
    assert (mask == masks.from_map(caption.weights[1:].mean(0), SIZE[1], SIZE[0])).all()


# -- edits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["blur", "grey", "inpaint", "highlight"])
def test_an_edit_changes_its_pixels_and_leaves_all_others(name):
    image, mask = photograph(), rectangle()
    before, after = np.asarray(image), np.asarray(editing.EDITS[name](image, mask))
    changes = (before != after).any(-1)
    where = ~mask if name == "highlight" else mask
    assert changes[where].mean() > 0.95
    assert not changes[~where].any()


def test_each_edit_does_what_its_name_says():
    image, mask = photograph(), rectangle()
    inside = {name: np.asarray(edit(image, mask)).astype(float) for name, edit in editing.EDITS.items()}
    assert np.asarray(image, dtype=float)[mask].std() > 5 * inside["blur"][mask].std()
    assert (np.ptp(inside["grey"][mask], axis=-1) == 0).all()
    assert (inside["highlight"][~mask] <= 0.3 * np.asarray(image)[~mask] + 1).all()
    assert (inside["crop"] == np.asarray(image)[10:25, 20:45]).all()


def test_inpainting_continues_a_slope_whatever_stood_there():
    """A plane is biharmonic, so it comes back; here red rises along the rows, and green along the columns."""
    rows, cols = np.mgrid[:40, :60]
    plane = np.stack([3 * rows, 2 * cols, 100 + 0 * rows], axis=-1).astype(np.uint8)
    mask = rectangle()
    spoilt = np.where(mask[..., None], 255, plane).astype(np.uint8)
    filled = np.asarray(editing.inpaint(Image.fromarray(spoilt), mask)).astype(int)
    assert abs(filled - plane).max() <= 1


def test_a_large_picture_is_filled_in_at_a_bounded_size_and_nothing_of_the_mask_comes_back(monkeypatch):
    from skimage import restoration

    sizes, original = [], restoration.inpaint_biharmonic
    monkeypatch.setattr(
        restoration, "inpaint_biharmonic", lambda image, *a, **k: sizes.append(image.shape) or original(image, *a, **k)
    )
    image = Image.new("RGB", (1000, 300), (10, 120, 200))
    mask = rectangle(101, 203, 403, 607, image.size)
    image.paste((255, 0, 0), (403, 101, 607, 203))
    filled = np.asarray(editing.inpaint(image, mask)).astype(int)
    assert sizes == [(48, 160, 3)]
    assert abs(filled - [10, 120, 200]).max() <= 2


def test_there_must_be_something_to_fill_in_from():
    with pytest.raises(ValueError, match="raise the threshold"):
        editing.inpaint(photograph(), np.ones(SIZE[::-1], dtype=bool))


def test_without_scikit_image_inpainting_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.restoration", None)
    with pytest.raises(ValueError, match="pip install scikit-image"):
        editing.inpaint(photograph(), rectangle())


@pytest.mark.parametrize("name", editing.EDITS)
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (300, 2)])
def test_pictures_of_a_single_line_are_edited_too(name, size):
    mask = np.zeros(size[::-1], dtype=bool)
    mask[0, 0] = True
    if name == "inpaint" and size == (1, 1):
        return  # nothing is left of it
    assert editing.EDITS[name](photograph(size), mask).size == ((1, 1) if name == "crop" else size)


@pytest.mark.parametrize("suffix", editing.FORMATS)
def test_a_file_has_the_format_of_its_suffix_and_no_metadata(tmp_path, suffix):
    image = photograph((3, 2)).resize(SIZE, Image.Resampling.BICUBIC)  # smooth, as JPEG wants it
    image.info |= {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0", "icc_profile": b"profile", "comment": b"home", "dpi": (7, 7)}
    path = tmp_path / f"a{suffix.upper()}"
    path.write_bytes(editing.encode(image, path))
    with Image.open(path) as written:
        assert (written.format, written.size) == (editing.FORMATS[suffix], image.size)
        assert not {"exif", "icc_profile", "comment", "xmp"} & written.info.keys()
        assert abs(np.asarray(written, dtype=float) - np.asarray(image)).mean() < 5


def test_a_picture_too_large_for_its_format_and_an_unknown_suffix_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"17000 x 1 pixels .*choose \.png"):
        editing.encode(Image.new("RGB", (17000, 1)), tmp_path / "a.webp")
    with pytest.raises(ValueError, match=r"a\.txt: its suffix must be one of \.png"):
        editing.encode(photograph(), tmp_path / "a.txt")


# -- the command ------------------------------------------------------------------------------------------------------


class OneCaption(Captioner):
    """A captioner that says the same of every photograph."""

    def __init__(self, **options):
        torch.nn.Module.__init__(self)
        self.image_size, self.options = 32, options

    def caption(self, source, beam=5, **search):
        return [make_caption("a dog and a dog", **self.options)] * len(source)


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run `companion edit` with that captioner; return its status, standard output and error, in lines."""
    monkeypatch.setattr(checkpoints, "load", lambda name: OneCaption())

    def call(photo, out, *, word="dog", do="grey", more=()):
        try:
            status = cli.main(["edit", str(photo), "--word", word, "--do", do, "--out", str(out), *more])
        except SystemExit as stop:
            status = stop.code
        printed = capsys.readouterr()
        return status, printed.out.splitlines(), printed.err.splitlines()

    return call


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a photo.png"
    photograph().save(path)
    return path


def test_the_help_has_the_edits_the_threshold_and_what_the_command_is_not_for(capsys):
    with pytest.raises(SystemExit):
        cli.main(["edit", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"(default {masks.THRESHOLD})" in text
    assert tuple(editing.EDITS) == command.EDITS
    assert "NOT for evidence" in text
    assert "NOT for hiding persons" in text


@pytest.mark.parametrize("do", editing.EDITS)
def test_the_command_writes_the_edit_and_says_what_it_is(run, photo, tmp_path, do):
    out, before = tmp_path / "new.png", photo.read_bytes()
    status, lines, err = run(photo, out, do=do)
    place = editing.Place(1, 2, 2)
    mask, _ = editing.word_mask(make_caption("a dog and a dog"), place, SIZE)
    assert status == 0
    assert lines == [f'{out}: {do}, {mask.mean():.0%} of the picture; the caption is "a dog and a dog"']
    assert err == ["companion: the caption says 'dog' 2 times; the first is taken"]
    with Image.open(out) as written:
        assert (np.asarray(written) == np.asarray(editing.EDITS[do](photograph(), mask))).all()
    assert photo.read_bytes() == before


def test_the_threshold_and_the_box_of_a_tag_make_the_part_smaller(run, photo, tmp_path, monkeypatch):
    def changed(path):
        with Image.open(path) as written:
            return (np.asarray(written) != np.asarray(photograph())).any(-1)

    run(photo, tmp_path / "default.png")
    run(photo, tmp_path / "same.png", more=["--threshold", str(masks.THRESHOLD)])
    run(photo, tmp_path / "high.png", more=["--threshold", "0.9"])
    monkeypatch.setattr(checkpoints, "load", lambda name: OneCaption(tags=[tag("dog", (0.4, 0.0, 1.0, 1.0))]))
    _, lines, _ = run(photo, tmp_path / "box.png")
    assert 'within the box of the tag "dog"' in lines[0]
    parts = [changed(tmp_path / f"{name}.png") for name in ("default", "same", "high", "box")]
    assert (parts[0] == parts[1]).all()
    assert 0 < parts[2].sum() < parts[0].sum()
    assert not parts[3][:, :24].any()
    assert parts[3].any()


def test_a_word_that_the_caption_does_not_say_is_one_line_and_nothing_is_written(run, photo, tmp_path):
    before = snapshot(tmp_path)
    status, lines, err = run(photo, tmp_path / "new.png", word="zebra")
    expected = f"companion: {photo}: the caption does not say 'zebra': \"a dog and a dog\"; its words are a, dog, and"
    assert (status, lines, err) == (1, [], [expected])
    assert snapshot(tmp_path) == before


def test_no_file_that_is_there_is_overwritten(run, photo, tmp_path):
    (tmp_path / "link.png").symlink_to(photo)
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "other.png").write_bytes(b"mine")
    (tmp_path / "folder.png").mkdir()
    before = snapshot(tmp_path)
    for name, reason in {
        "a photo.png": "the photograph itself",
        "link.png": "the photograph itself",
        "other.png": "there already",
        "broken.png": "there already",
        "folder.png": "there already",
        "no folder/a.png": "there is no folder",
        "a.gif": "suffix",
        "a": "suffix",
    }.items():
        status, lines, err = run(photo, tmp_path / name)
        assert (status, lines, len(err)) == (1, [], 1)
        assert reason in err[0]
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("threshold", ["-0.1", "1.1", "nan", "much"])
def test_a_threshold_is_a_number_from_0_to_1(run, photo, tmp_path, threshold):
    status, lines, err = run(photo, tmp_path / "new.png", more=[f"--threshold={threshold}"])
    assert (status, lines, len(err)) == (2, [], 1)
    assert "is not a number from 0 to 1" in err[0]


def oriented(path):
    exif = Image.Exif()
    exif[0x0112] = 6  # held on its side
    exif.get_ifd(0x8825)[1] = "N"  # GPS
    photograph().save(path, exif=exif)


KINDS = {  # how a photograph is written, and the width and height in which it is to be edited
    "turned.jpg": (oriented, SIZE[::-1]),
    "transparent.png": (lambda path: Image.new("RGBA", SIZE, (0, 0, 0, 0)).save(path), SIZE),
    "16 bit.png": (lambda path: Image.fromarray(np.full(SIZE[::-1], 40000, np.uint16)).save(path), SIZE),
    "cmyk.jpg": (lambda path: photograph().convert("CMYK").save(path), SIZE),
    "palette.gif": (lambda path: photograph().convert("P").save(path), SIZE),
    'a "new"\n狗 🐕.png': (lambda path: photograph().save(path), SIZE),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_photograph_is_edited_upright_in_its_own_size(run, tmp_path, name):
    write, size = KINDS[name]
    write(tmp_path / name)
    out = tmp_path / f"{name}.out.png"
    status, lines, _ = run(tmp_path / name, out, do="highlight")
    assert (status, len(lines)) == (0, 1)
    with Image.open(out) as written:
        assert (written.size, written.mode) == (size, "RGB")
        assert not written.getexif()
        brightest = np.asarray(written).max()
    assert name != "transparent.png" or brightest == 255  # it is white, not black
    assert name != "16 bit.png" or brightest == round(40000 * 255 / 65535)


def test_what_is_no_photograph_is_refused_in_one_line(run, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    before = snapshot(tmp_path)
    for name in ("text.png", "empty.png", "missing.png", "."):
        status, lines, err = run(tmp_path / name, tmp_path / "new.png")
        assert (status, lines, len(err)) == (1, [], 1)
    assert snapshot(tmp_path) == before


# -- the benchmark ----------------------------------------------------------------------------------------------------


@given(st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_no_choice_of_cells_is_better_than_the_best(seed):
    mask = np.random.default_rng(seed).random((6, 6)) > 0.5
    scores = [
        masks.iou(np.kron(np.array(cells).reshape(3, 3), np.ones((2, 2))) > 0, mask)
        for cells in itertools.product((0, 1), repeat=9)
    ]
    assert benchmark.best_cells(mask, 3, 3) == pytest.approx(max(scores))


def test_masks_that_are_compared_have_the_same_area():
    mask = rectangle(size=(80, 60))
    assert benchmark.elsewhere(mask).sum() == mask.sum()
    assert not (benchmark.elsewhere(mask) & mask).any()
    middle = benchmark.centre_box(mask)
    assert abs(int(middle.sum()) - int(mask.sum())) <= 0.1 * mask.sum()
    assert (middle == middle[::-1, ::-1]).all()
    assert (benchmark.bounding_box(mask) == mask).all()


def test_words_of_scenes_are_those_for_one_object_of_true_captions():
    scene = scenes.render_scene(
        [scenes.scene_object("a red circle", 16, 16, radius=8), scenes.scene_object("a blue star", 48, 48, radius=8)]
    )
    both, false = (make_caption(text) for text in ("a red circle and a blue star", "a red star"))
    words = benchmark.shape_words([both, false], [scene, scene])
    assert [word.scene for word in words] == [0, 0]
    assert [torch.equal(word.weights, both.weights[t]) for word, t in zip(words, (2, 6), strict=True)] == [True] * 2
    assert [torch.equal(word.other, both.weights[t]) for word, t in zip(words, (6, 2), strict=True)] == [True] * 2
    assert [(word.truth == mask).all() for word, mask in zip(words, scene.masks, strict=True)] == [True] * 2


def test_the_score_of_a_scene_counts_once_however_many_words_it_has():
    words = [benchmark.Word(i, torch.ones(2, 2), np.ones((2, 2), bool), None) for i in (0, 0, 0, 1)]
    assert benchmark.score(words, lambda i, _: [1.0, 0.0, 0.5, 0.0][i])["iou"] == 0.25


def test_the_first_noun_counts_and_has_a_box_where_the_detector_found_it():
    scores, boxes = torch.zeros(80), torch.zeros(80, 4)
    dog = benchmark.COCO_WORDS.index("dog")
    boxes[dog] = torch.tensor([0.1, 0.2, 0.3, 0.4])
    caption = make_caption("two brown dogs on the grass")
    assert benchmark.first_noun(caption, scores, boxes) == (2, "dog", None)
    scores[dog] = 0.9
    assert benchmark.first_noun(caption, scores, boxes).box == pytest.approx((0.1, 0.2, 0.3, 0.4))
    assert benchmark.first_noun(make_caption("and so it is"), scores, boxes) is None
    assert benchmark.says(make_caption("a dog"), "dog")
    assert not benchmark.says(make_caption("a cat"), "dog")


def test_the_summary_compares_each_photograph_with_itself():
    def record(there, elsewhere):
        names = ("map", "map in box", "box")
        gone = dict.fromkeys(names, there) | {f"{name}, elsewhere": elsewhere for name in names}
        numbers = {
            "iou": 0.5,
            "mass": 0.6,
            "mass of another map": 0.2,
            "mass of uniform attention": 0.1,
            "pointing": True,
        }
        return {"areas": dict.fromkeys(names, 0.2), "gone": dict.fromkeys(benchmark.EDITS, gone), "in_box": numbers}

    records = [record(True, False), record(True, True), record(False, False), record(False, True)]
    without = {key: value for key, value in record(True, False).items() if key != "in_box"}
    summary = benchmark.summarize([*records, without])
    assert summary["all"]["gone"]["blur, map"]["mean"] == 0.6
    assert summary["with a box"]["gone"]["blur, map"] | {"interval": None} == {"mean": 0.5, "interval": None, "n": 4}
    assert summary["all"]["gone"]["inpaint, map minus elsewhere"]["mean"] == pytest.approx(0.2)
    assert summary["mass minus that of another map"]["mean"] == pytest.approx(0.4)
