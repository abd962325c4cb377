"""Captions, image names and splits in files that other people wrote, with the mistakes that such files have."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from companion import datasets
from companion.datasets import Dataset, Example
from companion.vocabulary import Vocabulary
from tests.faults.injection import Fault, Guard, assert_refused, attempt, fault_tests

GOOD_LINE = "a.jpg#0\ta dog runs\n"


def read_album(folder: Path, files: dict[str, str], images: tuple[str, ...] = ("a.jpg",)) -> Dataset:
    """Write these caption files, and these images in images/, into a subfolder, and read it as a data set."""
    (folder / "data" / "images").mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(images):
        Image.new("RGB", (4, 4), (i, i, i)).save(folder / "data" / "images" / name)
    for name, text in files.items():
        (folder / "data" / name).write_text(text, encoding="utf-8")
    return datasets.read(folder / "data")


def bad_line(added: str, words: str, train: str = "a.jpg\n", images: tuple[str, ...] = ("a.jpg",)):
    """The line is reported with its number, and the good line is kept."""

    def law(folder: Path) -> None:
        files = {"Flickr8k.token.txt": GOOD_LINE + added, "Flickr_8k.trainImages.txt": train}
        dataset = attempt(lambda: read_album(folder, files, images))
        kept = [(e.name, e.captions) for e in dataset.splits["train"]]
        assert kept == [("a.jpg", ("a dog runs",))], f"kept: {kept}"
        assert any(words in issue for issue in dataset.issues), f"issues: {dataset.issues}"

    return law


def leakage(folder: Path) -> None:
    """The same image is in two splits."""
    files = {"captions.csv": "image,caption,split\na.jpg,a dog,train\na.jpg,a cat,test\n"}
    assert_refused(lambda: read_album(folder, files), "'a.jpg'", "captions.csv:3", "captions.csv:2")


def leakage_under_another_name(folder: Path) -> None:
    """Images of two splits have the same bytes."""
    (folder / "data" / "images").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(folder / "data" / "images" / "b.jpg")
    files = {"captions.csv": "image,caption,split\na.jpg,a dog,train\nb.jpg,a cat,test\n"}
    assert_refused(lambda: read_album(folder, files), "'a.jpg'", "'b.jpg'", "captions.csv:3", "captions.csv:2")


def climbing_name(layout: str) -> Callable[[Path], None]:
    """A file outside the image folder stays unread, whatever a JSON file calls an image."""

    def law(folder: Path) -> None:
        (folder / "etc").mkdir()
        (folder / "etc" / "passwd").write_text("root")
        names = ("a.jpg", "../../etc/passwd")
        record: dict[str, Any] = {
            "images": [{"filename": name, "split": "train", "sentences": [{"raw": "x"}]} for name in names]
        }
        if layout == "captions.json":
            record = {
                "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
                "annotations": [{"image_id": i, "caption": "x"} for i in (0, 1)],
            }
        dataset = attempt(lambda: read_album(folder, {layout: json.dumps(record)}))
        opened = [e.name for e in dataset.splits["train"]]
        assert opened == ["a.jpg"], f"opened: {opened}"
        assert any("never opened" in issue for issue in dataset.issues)

    return law


def empty_split(folder: Path) -> None:
    files = {"Flickr8k.token.txt": GOOD_LINE, "Flickr_8k.trainImages.txt": "a.jpg\n", "Flickr_8k.devImages.txt": ""}
    dataset = read_album(folder, files)
    assert_refused(lambda: datasets.get_split(dataset, "dev"), "'dev'", "has train")


def no_examples(folder: Path) -> None:
    assert_refused(lambda: read_album(folder, {"captions.csv": "image,caption\n"}), "no picture with a caption")


def long_caption(folder: Path) -> None:
    examples = [Example("a.jpg", Path("a.jpg"), ("dog " * 10_000,))]
    columns = datasets.caption_tensor(examples, Vocabulary.build(["dog"])).shape[-1]
    assert columns == 22, f"{columns} words"


NAME_CHECK = Guard("datasets.image_folder.is_unsafe", "", "lambda name: False")
LISTED = Guard(  # no listing of a folder holds ".."
    "datasets.image_folder.ImageFolder._match",
    "return name if name in self._list(folder)[folders] else None",
    "return name",
)

FAULTS = {
    "2258277193_586949ec62.jpg.1": Fault(
        bad_line("2258277193_586949ec62.jpg.1#0\ta dog\n", "no picture '2258277193_586949ec62.jpg.1'"),
        [Guard("datasets.validation.DatasetBuilder._report_unused", "if self._paths[name] is None:", "if False:")],
        "issues: [",
    ),
    "line without a tab": Fault(
        bad_line("a.jpg#1 a dog\n", "Flickr8k.token.txt:2: no tab"),
        [Guard("datasets.layouts.flickr._read_tokens", "if len(captions) != 1:", "if False:")],
        "issues: [",
    ),
    "line without a number": Fault(
        bad_line("a.jpg\ta dog\n", "should end in a caption number"),
        [
            Guard(
                "datasets.layouts.flickr._read_tokens",
                'if not hash_sign or caption_number not in ("0", "1", "2", "3", "4"):',
                "if False:",
            )
        ],
        "issues: [",
    ),
    "line twice": Fault(
        bad_line("a.jpg#0\ta cat\n", "was there before"),
        [Guard("datasets.layouts.flickr._read_tokens", "if label in labels:", "if False:")],
        "kept: ",
    ),
    "caption without a word": Fault(
        bad_line("a.jpg#1\t . !\n", "no word"),
        [Guard("datasets.validation.DatasetBuilder.add_caption", 'if not re.search(r"[^\\W_]", text):', "if False:")],
        "kept: ",
    ),
    "caption without its picture": Fault(
        bad_line("b.jpg#0\ta dog\n", "no picture 'b.jpg'", train="a.jpg\nb.jpg\n"),
        [Guard("datasets.validation.DatasetBuilder.build", "if path is None:", "if False:")],
        "broken: AssertionError: b.jpg",
    ),
    "picture without a caption": Fault(
        bad_line("", "'b.jpg' has no caption", train="a.jpg\nb.jpg\n", images=("a.jpg", "b.jpg")),
        [Guard("datasets.validation.DatasetBuilder.build", "elif name not in self._captions:", "elif False:")],
        "broken: KeyError",
    ),
    "leakage": Fault(
        leakage,
        [
            Guard(
                "datasets.validation.DatasetBuilder.assign_split",
                "if other_split != split:",
                "if False:",
            )
        ],
        "accepted",
    ),
    "leakage under another name": Fault(
        leakage_under_another_name,
        [Guard("datasets.validation.DatasetBuilder.build", "if copies := [copy", "if copies := [] and [copy")],
        "accepted",
    ),
    "Karpathy: ../../etc/passwd": Fault(climbing_name("dataset.json"), [NAME_CHECK, LISTED], "opened: "),
    "COCO: ../../etc/passwd": Fault(climbing_name("captions.json"), [NAME_CHECK, LISTED], "opened: "),
    "empty split": Fault(
        empty_split, [Guard("datasets.readers.get_split", "if examples is None:", "if False:")], "accepted"
    ),
    "no examples": Fault(
        no_examples, [Guard("datasets.readers.read", "if not dataset.splits:", "if False:")], "accepted"
    ),
    "over-long captions": Fault(
        long_caption,
        [
            Guard(
                "datasets.collate.caption_tensor", "vocabulary.encode(caption, max_words)", "vocabulary.encode(caption)"
            )
        ],
        "10002 words",
    ),
}

test_with_its_guard_the_law_holds, test_without_its_guard_the_harm_is_done = fault_tests(FAULTS)
