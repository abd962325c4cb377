"""The command in an environment that lacks something: a home, a UTF-8 locale, a torchvision that can be imported."""

import json
from pathlib import Path

from PIL import Image

from tests.faults.injection import Fault, Guard, fault_tests
from tests.processes import run_code

COMMANDS = """
from companion import cli
assert cli.main(["scenes", "--out", "out", "--count", "1"]) == 0
assert cli.main(["caption", "out/images/000000.png", "--checkpoint", "scenes", "--beam", "1"{}]) == 0
"""
FILMSTRIP = ', "--attention", "a.png"'


def run_in_home(code: str, folder: Path, home: str) -> None:
    """Run code in a process whose home is this folder, with no other place for caches and settings."""
    run_code(code, folder, HOME=home, XDG_CACHE_HOME="", XDG_CONFIG_HOME="", TORCH_HOME="", MPLCONFIGDIR="")


def missing_home(folder: Path) -> None:
    """The commands work where there is no home and none can be made: in /proc not even root may write."""
    run_in_home(COMMANDS.format(FILMSTRIP), folder, "/proc/none")


def nothing_to_rely_on(folder: Path) -> None:
    """The commands work where the home is read-only, and the torchvision first on the path cannot be imported.

    One process tries both, since starting one takes longest.
    """
    (folder / "torchvision").mkdir()
    line = "raise RuntimeError('operator torchvision::nms does not exist')"
    (folder / "torchvision" / "__init__.py").write_text(line)
    run_in_home(f"import sys; sys.path.insert(0, {str(folder)!r})\n{COMMANDS.format('')}", folder, "/proc")


ASCII_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def words_in_ascii_locale(folder: Path) -> None:
    """A vocabulary is written and read as UTF-8, whatever the locale says."""
    code = f"""
import locale
assert locale.getpreferredencoding().lower() in ("ascii", "us-ascii", "ansi_x3.4-1968"), locale.getpreferredencoding()
from companion.vocabulary import Vocabulary
Vocabulary.build([{"le café d'été"!a}]).save("words.json")
assert Vocabulary.load("words.json").words == ["<pad>", "<start>", "<end>", "<unk>", "caf\\xe9", "d'\\xe9t\\xe9", "le"]
"""
    run_code(code, folder, **ASCII_LOCALE)


def names_in_ascii_locale(folder: Path) -> None:
    """Captions and file names are read as UTF-8, whatever the locale says."""
    (folder / "data" / "images").mkdir(parents=True)
    name, caption = "naïve 犬.jpg", "le café d'été"
    Image.new("RGB", (4, 4)).save(folder / "data" / "images" / name)
    record = {"images": [{"filename": name, "split": "train", "sentences": [{"raw": caption}]}]}
    (folder / "data" / "dataset.json").write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    code = f"""
import sys
assert sys.getfilesystemencoding() == "ascii", sys.getfilesystemencoding()
from companion import datasets
dataset = datasets.read("data")
example, = dataset.splits["train"]
assert (dataset.issues, example.captions) == ([], ({caption!a},)), dataset
assert example.image.is_file()
"""
    run_code(code, folder, **ASCII_LOCALE)


FAULTS = {
    "home: missing": Fault(missing_home, slow=True),
    "home: read-only": Fault(nothing_to_rely_on, slow=True),
    "locale that is not UTF-8: words": Fault(
        words_in_ascii_locale,
        [Guard("vocabulary.Vocabulary.load", 'read_text(encoding="utf-8")', "read_text()")],
        "not a vocabulary: 'ascii' codec",
    ),
    "locale that is not UTF-8: names": Fault(
        names_in_ascii_locale, [Guard("datasets.image_folder.on_disk", "", "lambda name: name")], "exit 1"
    ),
    "broken torchvision": Fault(
        nothing_to_rely_on,
        [Guard("cli.commands.scenes", "from companion.scenes import export", "import torchvision")],
        "torchvision::nms",
        slow=True,
    ),
}

test_with_its_guard_the_law_holds, test_without_its_guard_the_harm_is_done = fault_tests(FAULTS)
