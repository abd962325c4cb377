"""Every command that the README, the questions, the setup page and the chapter on real photographs print is run here.

Those that take minutes, install something or need the network are parsed alone. Each has its line in `NOT_RUN`.
"""

import functools
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from companion import checkpoints, cli, datasets, models, tasks
from companion.training import TrainConfig
from companion.vocabulary import SPECIALS, Vocabulary
from tests.albums import write_album
from tests.faults.test_downloads import serving

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", *(f"book/text/{name}.md" for name in ("faq", "setup", "16_real_photographs"))]
PROGRAMS = {"companion", "make", "git", "pip", "py", "python", "jupyter-book", "export"}

# What stands for something of the reader's own, and what it is here.
PLACEHOLDERS = {
    "FOLDER": "photos",
    "PHOTO": "holiday.jpg",
    "RUN": "new",
    "DIR": "new",
    "FILE": "captions.csv",
    "FILE.html": "new.html",
    "FILE.png": "new.png",
    "FILE.toml": "policy.toml",
    "PAGE.html": "page.html",
    "FILE.zip": "album.zip",
    "COMMAND": "caption",
}

# Commands that are not run, and why. Those of `companion` are parsed all the same; of the others, the targets of make,
# the modules and the options are looked for.
INSTALLS, MINUTES, NETWORK, NAME = "it installs", "it takes minutes", "it needs the network", "it names a group of them"
NOT_RUN = {
    "export PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu": "it only sets a variable",
    "make book": MINUTES,
    "make test": MINUTES,
    "make bench": MINUTES,
    "make pdf": MINUTES,
    "make serve": "it does not end",
    "make slides": MINUTES,
    "python -m benchmarks.mechanisms": MINUTES,
    "python -m benchmarks.own_photographs FLICKR8K EVERYDAY OUT": MINUTES,
    "python -m benchmarks.rewards": MINUTES,
    "python -m benchmarks.soak": MINUTES,
    "py -3.11 -m venv .venv": "it is for Windows",
    "python -m pip install --no-deps --require-hashes -r requirements.txt": INSTALLS,
    "python -m pip install -r requirements-torch.txt": INSTALLS,
    "python -m pip install --no-deps --no-build-isolation -e .": INSTALLS,
    "python -m pip download -d wheels --no-deps -r requirements.txt": NETWORK,
    "python -m pip install --upgrade pip": INSTALLS,
    "pip install -e .": INSTALLS,
    "pip install FOLDER": INSTALLS,
    "pip install jupyter-book": INSTALLS,
    "pip install scikit-image": INSTALLS,
    "pip uninstall torchvision": INSTALLS,
    "python -m ipykernel install --user --name attention-book": INSTALLS,
    "jupyter-book build .": MINUTES,
    "companion train scenes --out run --size tiny --attention additive --decoder lstm": MINUTES,
    "companion evaluate": NAME,
    "companion edit PHOTO --word man --do blur --out FILE.png": "a caption that may change must have the word",
}


def printed(text: str) -> dict[str, str]:
    """Return the commands of a Markdown text, in one form for all, each as it is printed."""
    blocks, prose = blocks_and_prose(text)
    lines = []
    for language, body in blocks:
        if language == "console":
            lines += [line[2:] for line in joined(body) if line.startswith("$ ")]
        elif language in ("", "bash", "sh") and not body.startswith("book/"):  # the tree of files
            lines += joined(body)
    lines += [span for span in re.findall(r"`([^`\n]+)`", prose) if " " in span and plain(span).split()[0] in PROGRAMS]
    return {plain(line): line for line in lines}


def blocks_and_prose(text: str) -> tuple[list[tuple[str, str]], str]:
    """Return the fenced blocks of a Markdown text, each with its language, and the text without them."""
    blocks: list[tuple[str, str]] = []
    prose, fence = "", ""
    for line in text.splitlines(keepends=True):
        mark = re.match(r"(`{3,})(.*)", line)
        if mark and not fence:
            fence = mark[1]
            blocks.append((mark[2].strip(), ""))
        elif mark and mark[1].startswith(fence) and not mark[2].strip():
            fence = ""
        elif fence:
            blocks[-1] = blocks[-1][0], blocks[-1][1] + line
        else:
            prose += line
    return blocks, prose


def joined(body: str) -> list[str]:
    """Return the lines of a block; one that ends in a backslash, or in the backtick of PowerShell, goes on."""
    return [line for line in re.sub(r"\s*[\\`]\n\s*", " ", body).splitlines() if line.strip()]


def plain(line: str) -> str:
    """Return a command without its comment, with all its optional parts and the first of its alternatives."""
    line = re.sub(r"\s+#.*", "", line)
    line = re.sub(r"\.\.\.|[\[\]]", "", line)
    line = re.sub(r"(?<=[A-Z])\|[A-Z]+", "", line)
    return re.sub(r"^\.venv[\\/](Scripts|bin)[\\/]", "", line).strip()


TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
COMMANDS = {command: f"{page}: {line}" for page in PAGES for command, line in printed(TEXTS[page]).items()}
RUN = [command for command in COMMANDS if command.startswith("companion ") and command not in NOT_RUN]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with what the commands need: photographs, a data set, its archive, and models trained on it."""
    folder = tmp_path_factory.mktemp("trained")
    for name in datasets.EXAMPLE_IMAGES:
        shutil.copy(datasets.example_image(name), folder)
    (folder / "photos").mkdir()
    for name in ("coffee", "chelsea"):
        shutil.copy(datasets.example_image(name), folder / "photos")
    shutil.copy(datasets.example_image("rocket"), folder / "holiday.jpg")
    write_album(folder / "flickr8k", splits=["train"] * 4 + ["dev"])
    with (folder / "photos" / "captions.csv").open("w") as table:
        table.write("image,caption\ncoffee.png,A cup of coffee.\nchelsea.png,A cat.\n")
    (folder / "page.html").write_text('<p><img src="coffee.png">')
    (folder / "policy.toml").write_text('[[rule]]\nname = "dogs"\nreason = "a test"\nwords = ["dog"]\n')
    results = [{"image_id": f"{name}.png", "caption": "A cat."} for name in ("coffee", "chelsea")]
    (folder / "results.json").write_text(json.dumps(results))
    shutil.make_archive(str(folder / "album"), "zip", folder / "flickr8k")
    torch.manual_seed(0)
    words = Vocabulary([*SPECIALS, *"there is a red circle".split()])
    checkpoints.save(models.build("scenes", words, "tiny"), folder / "run", {"minutes": 0})
    tasks.photos.train(folder / "flickr8k", folder / "run0", config=QUICK)
    shutil.copytree(folder / "run0", folder / "run1")
    tasks.ensembling.ensemble([str(folder / "run0"), str(folder / "run1")], folder / "flickr8k", folder / "both")
    return folder


QUICK = TrainConfig(epochs=1, lr=1e-3, batch_size=4)


@pytest.fixture
def sandbox(trained, tmp_path, monkeypatch):
    """A copy of that folder, as the current one, where training and scoring take seconds."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(tasks.photos, "train", functools.partial(tasks.photos.train, config=QUICK))
    monkeypatch.setattr(tasks.scenes, "evaluate", functools.partial(tasks.scenes.evaluate, count=10))
    return tmp_path


def words_of(command: str, address: str) -> list[str]:
    """Return the arguments of a command of `companion`, with what stands here for its placeholders."""
    known = PLACEHOLDERS | {"URL": address, "ADDRESS": address}
    words = [known.get(word, word) for word in shlex.split(command)[1:]]
    for option in ("--coco", "--results"):
        if option in words:
            words[words.index(option) + 1] = "results.json"
    return words


@pytest.mark.slow
@pytest.mark.parametrize("command", RUN)
def test_a_printed_command_runs(sandbox, capsys, command):
    with serving((sandbox / "album.zip").read_bytes()) as address:
        words = words_of(command, address)
        if "--out" in words:
            shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
        try:
            status = cli.main(words)
        except SystemExit as stop:
            status = stop.code
    assert status == 0, f"{COMMANDS[command]}\n{capsys.readouterr().err}"
    for option in ("--out", "--csv", "--jsonl", "--coco"):
        assert option not in words or Path(words[words.index(option) + 1]).exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_printed_command_is_known_and_has_the_options_that_it_names(command):
    where = COMMANDS[command]
    program, *words = shlex.split(command)
    here = f"in {Path(__file__).name}"
    if program == "companion":
        unknown = [word for word in words if word.isupper() and word in words_of(command, "http://127.0.0.1/")]
        assert unknown == [], f"{where}\nsay {here} what stands for them: add them to PLACEHOLDERS"
        if NOT_RUN.get(command) != NAME and "--help" not in words:
            cli.build_parser().parse_args(words_of(command, "http://127.0.0.1/"))  # exits on what it does not know
        return
    assert command in NOT_RUN, (
        f"{where}\nis printed, and this test does not know it: add it to NOT_RUN {here}, with the reason"
    )
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.M), where
    if words[:1] == ["-m"]:
        assert importlib.util.find_spec(words[1]), where
        program, words = words[1], words[2:]
    options = [word for word in words if word.startswith("-") and program in ("pip", "ipykernel")]
    if options:
        known = subprocess.run(
            [sys.executable, "-m", program, words[0], "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert [option for option in options if not re.search(rf"(?<![\w-]){option}\b", known)] == [], where


def test_no_reason_is_left_of_a_command_that_is_no_longer_printed():
    assert set(NOT_RUN) - set(COMMANDS) == set()


def test_commands_are_found_in_blocks_and_in_sentences_and_not_elsewhere():
    text = """Run `companion caption PHOTO|FOLDER...`, or `companion`, or `companion.models`, or `make book`.

```console
$ companion train photos --data a \\
    --out b
saved in b
```

```
.venv\\Scripts\\python -m pip install `
    --no-deps a
companion data flickr8k --url URL... [--size 5]     # a note
```

````{solution} x
```python
companion caption no
```
````
"""
    assert list(printed(text)) == [
        "companion train photos --data a --out b",
        "python -m pip install --no-deps a",
        "companion data flickr8k --url URL --size 5",
        "companion caption PHOTO",
        "make book",
    ]
