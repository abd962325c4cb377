"""Everything that can go wrong, a row a fault: what must happen then, and what happens if the guard is not there.

Each law is tried twice. With its guard it holds; without, it fails, and in the way that the row says.
"""

import functools
import hashlib
import http.server
import io
import json
import math
import os
import pickle
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from faults import Guard, environment, refused, run_of, take_away
from PIL import Image, ImageFile

TESTS = Path(__file__).parent


def listing(folder: Path) -> dict[str, bytes | None]:
    return {str(f.relative_to(folder)): f.read_bytes() if f.is_file() else None for f in sorted(folder.rglob("*"))}


def unchanged(folder: Path, before: dict) -> None:
    after = listing(folder)
    if after != before:
        # not by `assert`: pytest would compare the contents letter by letter
        raise AssertionError(f"written: {[name for name in after if after[name] != before.get(name, '')]}")


def works(call: Callable):
    """The result of `call`; AssertionError, not whatever it raised, if it fails."""
    try:
        return call()
    except Exception as error:
        raise AssertionError(f"broken: {type(error).__name__}: {error}") from error


def program(code: str, folder: Path, **variables: str) -> str:
    """What a program prints that runs in `folder`, in a process of its own, without the guards of the row."""
    done = subprocess.run(
        [sys.executable, "-c", f"import faults; faults.take_away_named()\n{code}"],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr.strip()[-1000:]}"
    return done.stdout


# -- archives ---------------------------------------------------------------------------------------------------------


def made_tar(path: Path, *members: tuple[str | tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name) if isinstance(name, str) else name
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def made_zip(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name if isinstance(name, zipfile.ZipInfo) else undated(name), data)
    return path


def undated(name: str) -> zipfile.ZipInfo:
    """A member that is the same whenever the archive is made."""
    member = zipfile.ZipInfo(name)
    member.compress_type = zipfile.ZIP_DEFLATED
    return member


def special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo("one")
    entry.type, entry.linkname = kind, target
    return entry


def archive_refused(folder: Path, make: Callable[[Path], Path], *words: str) -> None:
    """Nothing is unpacked, nor written anywhere else."""
    from companion import archives

    (folder / "out").mkdir()
    (folder / "secret").write_text("secret")
    archive = make(folder)
    before = listing(folder)
    try:
        refused(lambda: archives.unpack(archive, folder / "out"), str(archive), *words)
    finally:
        unchanged(folder, before)


def bad_name(make: Callable, name: str) -> Callable[[Path], None]:
    def law(folder: Path) -> None:
        path = name.replace("HERE", str(folder))
        archive_refused(folder, lambda f: make(f / "archive", ("good.txt", b"1"), (path, b"2")), "leads out")

    return law


def bad_kind(kind: bytes, target: str = "") -> Callable[[Path], None]:
    def law(folder: Path) -> None:
        link = special(kind, target.replace("HERE", str(folder)))
        through = (("one/x", b"2"),) if kind == tarfile.SYMTYPE else ()
        archive_refused(folder, lambda f: made_tar(f / "archive", (link, b""), *through), "link")

    return law


def zip_link(folder: Path) -> None:
    entry = zipfile.ZipInfo("one.jpg")
    entry.create_system, entry.external_attr = 3, 0o120777 << 16
    archive_refused(folder, lambda f: made_zip(f / "archive", (entry, b"/etc/passwd")), "link")


def long_header(path: Path) -> Path:
    entry = tarfile.TarInfo("one")
    entry.pax_headers = {"comment": "a" * 3_000_000}
    return made_tar(path, (entry, b"1"))


def cut(path: Path, keep: int) -> Path:
    path.write_bytes(path.read_bytes()[:keep])
    return path


def bad_archive(make: Callable[[Path], Path], words: str) -> Callable[[Path], None]:
    return lambda folder: archive_refused(folder, lambda f: make(f / "archive"), words)


def page(path: Path) -> Path:
    path.write_text("\n<!DOCTYPE html><html><body>Please log in</body></html>")
    return path


def too_many(folder: Path) -> None:
    from companion import archives

    empties = [(f"{i}.txt", b"") for i in range(30)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(archives, "MOST", 20)
        archive_refused(folder, lambda f: made_zip(f / "archive", *empties), "far more")


NAME_CHECKED = Guard("archives.unsafe", "", "lambda name: False")
OWN_WRITER = Guard(  # Python before 3.11.4 trusts every member and knows no other filter
    "archives.unpack",
    "_members(archive)",
    "(tarfile.open(archive).extractall("
    "folder, **{'filter': 'fully_trusted'} if hasattr(tarfile, 'data_filter') else {}), [])[1]",
)
MEASURED = Guard("archives.unpack", "if room < 0 or count == MOST:", "if False:")
PAGE_KNOWN = Guard("archives._members", r'head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")', "False")

# -- downloads --------------------------------------------------------------------------------------------------------


def small_set(path: Path) -> bytes:
    """The bytes of a zip with a picture, a caption, and a split."""
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "JPEG")
    made_zip(path, ("set/images/a.jpg", picture.getvalue()), ("set/captions.csv", b"image,caption\na.jpg,a dog\n"))
    return path.read_bytes()


@contextmanager
def serving(body: bytes, announced: int | None = None, status: int = 200) -> Iterator[str]:
    """The address of a server on this machine that answers everything with `body`, and may announce another length."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            if announced is not None:
                self.send_header("Content-Length", str(announced))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/set.zip"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def bad_download(reply: Callable[[bytes], dict], *words: str, **named) -> Callable[[Path], None]:
    """The reply is refused, the address named, and the folder as empty as before."""

    def law(folder: Path) -> None:
        from companion import downloads

        (folder / "out").mkdir()
        with serving(**reply(small_set(folder / "set.zip"))) as address:
            before = listing(folder)
            try:
                source = downloads.Source(address, **named)
                refused(lambda: downloads.data_set([source], folder / "out"), address, *words)
            finally:
                unchanged(folder, before)

    return law


def cut_download(folder: Path) -> None:
    from companion import downloads

    body = small_set(folder / "set.zip")
    with serving(body[:-100], announced=len(body)) as address:
        refused(lambda: downloads.download(address, folder / "new"), "stopped after")


def local_address(folder: Path) -> None:
    """Only the network is asked: file:///etc/passwd is no address."""
    from companion import downloads

    refused(lambda: downloads.download((TESTS / "faults.py").as_uri(), folder / "new"), "https://")
    unchanged(folder, {})


# -- photographs ------------------------------------------------------------------------------------------------------


def noise(side: int = 300) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def photo_refused(make: Callable[[], bytes], *words: str, name: str = "a.jpg") -> Callable[[Path], None]:
    def law(folder: Path) -> None:
        from companion import photos

        (folder / name).write_bytes(make())
        refused(lambda: photos.load(folder / name, 64), name, *words)

    return law


def truncated() -> bytes:
    data = encoded(noise(), "JPEG")[:9000]
    Image.open(io.BytesIO(data)).verify()  # the trap: it has nothing to say
    return data


def filled_by_others(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        photo_refused(truncated, "truncated")(folder)


def two_readers(folder: Path) -> None:
    """While one thread reads, another ends and gives Pillow's settings back: the first is strict all the same."""
    from companion import photos

    started, go, result = threading.Event(), threading.Event(), []
    (folder / "a.jpg").write_bytes(truncated())

    def read() -> None:
        try:
            result.append(photos.load(folder / "a.jpg"))
        except ValueError as error:
            result.append(str(error))

    def wait(path: Path) -> None:
        started.set()
        go.wait(20)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        patched.setattr(photos, "_check_file", wait)
        reader = threading.Thread(target=read)
        with photos._refusing(folder / "b.jpg"):
            reader.start()
            started.wait(1)
        go.set()
        reader.join()
    assert isinstance(result[0], str), "taken"


def bomb() -> bytes:
    """120 megapixels of black, at which Pillow would only warn."""
    return encoded(Image.new("L", (12_000, 10_000)), "JPEG", quality=1)


def photo_seen(make: Callable[[Path], None], *wanted: tuple[int, int, int], name: str = "a.png"):
    """In the middle of the left and of the right half, the picture has the colours `wanted`."""

    def law(folder: Path) -> None:
        from companion import photos

        make(folder / name)
        pixels = works(lambda: photos.load(folder / name, 8))
        assert pixels.shape == (3, 8, 8), f"its shape is {tuple(pixels.shape)}"
        for col, colour in zip((1, 6), wanted, strict=True):
            found = tuple(pixels[:, 4, col].tolist())
            assert all(abs(a - b) < 30 for a, b in zip(found, colour, strict=True)), f"seen: {found}, not {colour}"

    return law


def halves(left, right, mode: str = "RGB") -> Image.Image:
    image = Image.new(mode, (16, 16), right)
    image.paste(left, (0, 0, 8, 16))
    return image


def palette_with_a_hole(path: Path) -> None:
    image = halves(0, 1, "P")
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(path, transparency=0)


def upside_down(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    halves("red", "blue").save(path, exif=exif)


def not_a_number(path: Path) -> None:
    values = np.zeros((16, 16), np.float32)
    values[:, 8:], values[0, 0], values[0, 15] = 1.0, math.nan, math.inf
    Image.fromarray(values).save(path, "TIFF")


def deep(path: Path) -> None:
    values = np.full((16, 16), 32_768, np.uint16)
    values[:, 8:] = 65_535
    Image.fromarray(values).save(path)


RED, BLUE, WHITE, BLACK, GREY = (255, 0, 0), (0, 0, 255), (255,) * 3, (0,) * 3, (128,) * 3

# -- captions ---------------------------------------------------------------------------------------------------------


def read_set(folder: Path, files: dict[str, str], pictures: tuple[str, ...] = ("a.jpg",)):
    """The data set in `folder`/data, which gets these files, and these pictures in images/."""
    from companion import datasets

    (folder / "data" / "images").mkdir(parents=True)
    for i, name in enumerate(pictures):
        Image.new("RGB", (4, 4), (i, i, i)).save(folder / "data" / "images" / name)
    for name, text in files.items():
        (folder / "data" / name).write_text(text, encoding="utf-8")
    return datasets.read(folder / "data")


GOOD = "a.jpg#0\ta dog runs\n"


def bad_lines(added: str, words: str, train: str = "a.jpg\n", pictures: tuple[str, ...] = ("a.jpg",)):
    """The line is named with its number, and the good one is kept."""

    def law(folder: Path) -> None:
        files = {"Flickr8k.token.txt": GOOD + added, "Flickr_8k.trainImages.txt": train}
        found = works(lambda: read_set(folder, files, pictures))
        kept = [(e.name, e.captions) for e in found.splits["train"]]
        assert kept == [("a.jpg", ("a dog runs",))], f"kept: {kept}"
        assert any(words in fault for fault in found.faults), f"faults: {found.faults}"

    return law


def leak(folder: Path) -> None:
    files = {"captions.csv": "image,caption,split\na.jpg,a dog,train\na.jpg,a cat,test\n"}
    refused(lambda: read_set(folder, files), "'a.jpg'", "captions.csv:3", "captions.csv:2")


def climbing(layout: str) -> Callable[[Path], None]:
    """A file outside of the folder of pictures stays unread, whatever a JSON file calls a picture."""

    def law(folder: Path) -> None:
        (folder / "etc").mkdir()
        (folder / "etc" / "passwd").write_text("root")
        name = "../../etc/passwd"
        record = {"images": [{"filename": n, "split": "train", "sentences": [{"raw": "x"}]} for n in ("a.jpg", name)]}
        if layout == "captions.json":
            record = {
                "images": [{"id": i, "file_name": n} for i, n in enumerate(("a.jpg", name))],
                "annotations": [{"image_id": i, "caption": "x"} for i in (0, 1)],
            }
        found = works(lambda: read_set(folder, {layout: json.dumps(record)}))
        names = [e.name for e in found.splits["train"]]
        assert names == ["a.jpg"], f"opened: {names}"
        assert any("never opened" in fault for fault in found.faults)

    return law


def empty_split(folder: Path) -> None:
    from companion import datasets

    files = {"Flickr8k.token.txt": GOOD, "Flickr_8k.trainImages.txt": "a.jpg\n", "Flickr_8k.devImages.txt": ""}
    found = read_set(folder, files)
    refused(lambda: datasets.pick(found, "dev"), "'dev'", "has train")


def no_examples(folder: Path) -> None:
    refused(lambda: read_set(folder, {"captions.csv": "image,caption\n"}), "no picture with a caption")


HTML = "<script>alert('a')</script> &lt;b&gt; a <b onclick=x()>dog</b>"


def html_captions(folder: Path) -> None:
    """Markup in a caption is no word, so no model can say it."""
    from companion.vocabulary import Vocabulary

    words = "".join(Vocabulary.build([HTML]).words[4:])
    assert not set(words) & set('<>&"=;()'), f"a word: {words}"


def html_vocabulary(folder: Path) -> None:
    from companion.vocabulary import SPECIALS, Vocabulary

    for word in ("<img src=x>", "a\x1b[31m", "$\\frac$", "two words", ""):
        (folder / "words.json").write_text(json.dumps([*SPECIALS, "dog", word]))
        refused(lambda: Vocabulary.load(folder / "words.json"), "words.json", "is not a word")


# -- checkpoints ------------------------------------------------------------------------------------------------------


@functools.cache
def scribbled(seed: int = 0):
    """A small captioner that has learnt nothing."""
    import torch

    from companion.captioner import build
    from companion.vocabulary import SPECIALS, Vocabulary

    torch.manual_seed(seed)
    return build("scenes", Vocabulary([*SPECIALS, "a", "red", "circle"]), "tiny")


class Opened:
    """What does harm as soon as it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def checkpoint_refused(
    name: str, change: Callable[[bytes, Path], bytes], *words: str, vouched: bool = False
) -> Callable[[Path], None]:
    """A checkpoint one of whose files was changed; with `vouched`, the card has the digest of the changed one."""

    def law(folder: Path) -> None:
        from companion import checkpoints

        checkpoints.save(scribbled(), folder / "model", {})
        path, card = folder / "model" / name, folder / "model" / "card.json"
        path.write_bytes(change(path.read_bytes(), folder))
        if vouched:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            card.write_text(json.dumps(json.loads(card.read_text()) | {"sha256": digest}))
        before = listing(folder)
        try:
            refused(lambda: checkpoints.load(folder / "model"), str(path), *words)
        finally:
            unchanged(folder, before)

    return law


def flip(data: bytes, _) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


def with_nan(data: bytes, _) -> bytes:
    from safetensors.torch import load, save

    tensors = load(data)
    tensors["decoder.words.bias"][5] = math.nan
    return save(tensors)


def swapped(data: bytes, _) -> bytes:
    words = json.loads(data)
    return json.dumps([*words[:4], *words[:3:-1]]).encode()


WEIGHTS, WORDS = "weights.safetensors", "vocabulary.json"
DIGEST = Guard("checkpoints.unchanged", "if sha256(existing(path)) != digest:", "if False:")
UNREADABLE = Guard("checkpoints.SafetensorError", "", "ZeroDivisionError")


def unfinished_refused(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """What training would go on from is no safetensors file, or half of one."""

    def law(folder: Path) -> None:
        import torch

        from companion import training
        from companion.training import Plan

        captioner, plan = scribbled(), Plan(epochs=1, rate=1e-3)
        optimizer = torch.optim.AdamW(captioner.parameters())
        training.save_training(captioner, optimizer, plan, folder, [])
        path = folder / "training.safetensors"
        path.write_bytes(change(path.read_bytes()))
        refused(lambda: training.load_training(captioner, optimizer, plan, folder), str(path), "delete it")

    return law


# -- numbers ----------------------------------------------------------------------------------------------------------


def one_epoch(folder: Path, images, count: int) -> list[dict]:
    """The log of one epoch on `count` scenes with these images."""
    import torch

    from companion import evaluation, recipes, scenes
    from companion.batches import batches, caption_tensor
    from companion.captioner import build
    from companion.training import Batch, Plan, fit
    from companion.vocabulary import Vocabulary

    drawn = scenes.make("train", count)
    examples = evaluation.scene_examples(drawn)
    vocabulary = Vocabulary.build(c for e in examples for c in e.captions)
    tokens, plan = caption_tensor(examples, vocabulary), Plan(epochs=1, rate=1e-3)
    torch.manual_seed(0)
    captioner = build("scenes", vocabulary, "tiny")

    def feed(generator):
        for chosen in batches(count, plan.batch, generator):
            yield Batch(images[chosen], tokens[chosen])

    return fit(captioner, feed, recipes.steps(examples, plan), plan, folder, lambda _: {})


def one_image(folder: Path) -> None:
    import torch

    from companion import metrics

    log = works(lambda: one_epoch(folder, torch.zeros(1, 3, 64, 64, dtype=torch.uint8), 1))
    assert math.isfinite(log[0]["loss"])
    assert works(lambda: metrics.score(["a dog"], [["a dog"]]))["cider_d"] == 0


def nan_pixels(folder: Path) -> None:
    import torch

    refused(lambda: one_epoch(folder, torch.full((2, 3, 64, 64), math.nan), 2), "epoch 1: the loss is nan")
    unchanged(folder, {})


def all_unknown(folder: Path) -> None:
    """Strangers are one word in training, and a word that is never said."""
    import torch

    from companion import decoding
    from companion.decoders import State, Step
    from companion.vocabulary import SPECIALS, Vocabulary

    vocabulary = Vocabulary([*SPECIALS, "a"])
    assert works(lambda: vocabulary.encode("xylophone zebra")) == [1, 3, 3, 2]

    class Model:
        """Nine times in ten it would say that it does not know."""

        def start(self, source):
            return State((torch.zeros(1),), (torch.zeros(1, 1, 2),))

        def step(self, tokens, state):
            scores = torch.tensor([0.001, 0.001, 0.04, 0.9, 0.058]).log().expand(*tokens.shape, 5)
            return Step(scores.clone(), torch.ones(*tokens.shape, 1), state)

    for found in (decoding.greedy(Model(), None, vocabulary, 3), decoding.beam(Model(), None, vocabulary, 2, 3)):
        assert "<unk>" not in found[0].words, f"said: {found[0].words}"


def over_long(folder: Path) -> None:
    from companion.batches import caption_tensor
    from companion.datasets import Example
    from companion.vocabulary import Vocabulary

    examples = [Example("a.jpg", Path("a.jpg"), ("dog " * 10_000,))]
    columns = caption_tensor(examples, Vocabulary.build(["dog"])).shape[-1]
    assert columns == 22, f"{columns} words"


def empty_hypotheses(folder: Path) -> None:
    from companion import metrics

    scores = works(lambda: metrics.score(["", "..."], [["a dog"], ["a cat"]]))
    assert set(scores.values()) == {0.0}


# -- saving -----------------------------------------------------------------------------------------------------------


def every_byte(mode: str) -> Callable[[Path], None]:
    return lambda folder: program(run_of("every_byte", mode), folder) and None


def two_writers(folder: Path) -> None:
    """While one is about to finish, another writes the same file from beginning to end: the last to finish stays."""
    from companion import files

    path, real = folder / "file", os.fsync

    def meanwhile(handle):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(os, "fsync", real)
            files.write_whole(path, b"two" * 100)
        real(handle)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", meanwhile)
        works(lambda: files.write_whole(path, b"one"))
    unchanged(folder, {"file": b"one"})


def two_savers(folder: Path) -> None:
    """Two save a checkpoint into one folder at once: what loads is one of the two whole, or nothing."""
    import torch

    from companion import checkpoints

    for moment in range(3):
        real, left = checkpoints.write_whole, [moment]

        def interrupted(path, data, real=real, left=left):
            real(path, data)
            left[0] -= 1
            if left[0] == -1:
                checkpoints.save(scribbled(1), folder, {"minutes": 1})

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(checkpoints, "write_whole", interrupted)
            checkpoints.save(scribbled(0), folder, {"minutes": 0})
        try:
            loaded = checkpoints.trained_weights(checkpoints.load(folder))
        except ValueError:
            continue
        own = checkpoints.halved(checkpoints.trained_weights(scribbled(checkpoints.card(folder)["minutes"])))
        mixed = [name for name in own if not torch.equal(own[name].float(), loaded[name].float())]
        assert not mixed, "mixed: the card of one, the weights of the other"


def killed_while_saving(folder: Path) -> None:
    program(run_of("every_change"), folder)


def killed_while_training(folder: Path) -> None:
    program(run_of("killed_training"), folder)


# -- the machine around us --------------------------------------------------------------------------------------------

COMMAND = """
import sys
from companion import cli
assert cli.main(["scenes", "--out", "out", "--count", "1"]) == 0
assert cli.main(["caption", "out/images/000000.png", "--checkpoint", "scenes", "--beam", "1"]) == 0
"""


def in_a_home(home: str, more: str = "") -> Callable[[Path], None]:
    """The commands work whether or not there is a home to write into (/proc is one where not even root may)."""
    private = {"HOME": home, "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "", "TORCH_HOME": "", "MPLCONFIGDIR": ""}
    return lambda folder: program(COMMAND + more, folder, **private) and None


FILMSTRIP = (
    "assert cli.main(['caption', 'out/images/000000.png', '--checkpoint', 'scenes', '--attention', 'a.png']) == 0"
)


def broken_torchvision(folder: Path) -> None:
    """It stands first on the path and cannot be imported; nobody asks for it."""
    (folder / "torchvision").mkdir()
    line = "raise RuntimeError('operator torchvision::nms does not exist')"
    (folder / "torchvision" / "__init__.py").write_text(line)
    program(f"import sys; sys.path.insert(0, {str(folder)!r})\n{COMMAND}", folder)


PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def plain_locale(folder: Path) -> None:
    """Captions, words and file names are read as UTF-8, whatever the locale says."""
    (folder / "data" / "images").mkdir(parents=True)
    name, caption = "naïve 犬.jpg", "le café d'été"
    Image.new("RGB", (4, 4)).save(folder / "data" / "images" / name)
    record = {"images": [{"filename": name, "split": "train", "sentences": [{"raw": caption}]}]}
    (folder / "data" / "dataset.json").write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    code = f"""
import sys
assert sys.getfilesystemencoding() == "ascii", sys.getfilesystemencoding()
from companion import datasets
from companion.vocabulary import Vocabulary
found = datasets.read("data")
example, = found.splits["train"]
assert (found.faults, example.captions) == ([], ({caption!a},)), found
assert example.image.is_file()
Vocabulary.build(example.captions).save("words.json")
assert Vocabulary.load("words.json").words[-1] == {"été"!a} or "caf\\xe9" in Vocabulary.load("words.json").words
"""
    program(code, folder, **PLAIN)


# -- the table --------------------------------------------------------------------------------------------------------


class Fault(NamedTuple):
    """A law that holds with its guards; without them it fails, and says `harm`. Some have no line to remove."""

    law: Callable[[Path], None]
    guards: Sequence[Guard] = ()
    harm: str = ""


FAULTS = {
    # archives
    "zip: ../": Fault(bad_name(made_zip, "../x"), [NAME_CHECKED], "'x']"),
    "tar: ../": Fault(bad_name(made_tar, "a/../../x"), [NAME_CHECKED], "'x']"),
    "zip: absolute": Fault(bad_name(made_zip, "HERE/x"), [NAME_CHECKED], "'x']"),
    "tar: absolute": Fault(bad_name(made_tar, "HERE/x"), [NAME_CHECKED], "'x']"),
    "zip: sibling prefix": Fault(bad_name(made_zip, "../out-evil/x"), [NAME_CHECKED], "out-evil/x"),
    "tar: sibling prefix": Fault(bad_name(made_tar, "../out-evil/x"), [NAME_CHECKED], "out-evil/x"),
    "zip: Windows drive": Fault(bad_name(made_zip, "C:\\x"), [NAME_CHECKED], "C:"),
    "tar: symbolic link": Fault(bad_kind(tarfile.SYMTYPE, "HERE"), [OWN_WRITER], "written: ["),
    "zip: symbolic link": Fault(
        zip_link, [Guard("archives._zip_members", "if kind not in (0, stat.S_IFREG):", "if False:")], "out/one.jpg"
    ),
    "tar: hard link": Fault(bad_kind(tarfile.LNKTYPE, "../secret"), [OWN_WRITER], "out/one"),
    "tar: device": Fault(bad_kind(tarfile.FIFOTYPE), [OWN_WRITER], "out/one"),
    "zip: bomb": Fault(
        bad_archive(lambda p: made_zip(p, ("a", bytes(12_000_000))), "far more"), [MEASURED], "written: ['out/a']"
    ),
    "tar: bomb": Fault(
        bad_archive(lambda p: made_tar(p, ("a", bytes(12_000_000))), "far more"), [MEASURED], "written: ['out/a']"
    ),
    "zip: a million members": Fault(too_many, [MEASURED], "out/0.txt"),
    "tar: header bomb": Fault(
        bad_archive(long_header, "longer than any file name"), [Guard("archives.HEADERS", "", "10**12")], "out/one"
    ),
    "zip: cut short": Fault(
        bad_archive(lambda p: cut(made_zip(p, ("a", os.urandom(5000))), 4000), "cut short"),
        [Guard("archives._refusing", "except Exception as error:", "except ZeroDivisionError as error:")],
        "broken: BadZipFile",
    ),
    "tar: cut between members": Fault(
        bad_archive(lambda p: cut(made_tar(p, ("a", b"1"), ("b", b"2"), mode="w"), 1024), "cut short between"),
        [Guard("archives._tar_members", "if not metered.only_zeros_from(opened.offset):", "if False:")],
        "written: ['out/a']",
    ),
    "zip: a name twice": Fault(
        bad_archive(lambda p: made_tar(p, ("a", b"1"), ("a", b"2")), "comes twice"),
        [Guard("archives._write", '"xb"', '"wb"')],
        "written: ['out/a']",
    ),
    "HTML saved as zip": Fault(
        bad_archive(page, "a web page"),
        [PAGE_KNOWN],
        "refused, but not for this",
    ),
    # downloads
    "download cut short": Fault(
        cut_download,
        [Guard("downloads.download", "if expected is not None and file.tell() < expected:", "if False:")],
        "taken",
    ),
    "download of another size": Fault(
        bad_download(lambda body: {"body": body}, "it is not the file that was meant", size=9),
        [
            Guard("downloads.check", "if size is not None and found != size:", "if False:"),
            Guard("downloads.download", "(archives.LARGEST if expected is None else expected)", "archives.LARGEST"),
        ],
        "written: [",
    ),
    "download of another announced size": Fault(
        bad_download(lambda body: {"body": body, "announced": len(body)}, "the server has", size=9),
        [Guard("downloads.download", "if size is not None and expected != size:", "if False:")],
        "refused, but not for this",
    ),
    "download with another SHA-256": Fault(
        bad_download(lambda body: {"body": body}, "SHA-256", "damaged", sha256="0" * 64),
        [Guard("downloads.check", "if sha256 is not None and digest != sha256.lower():", "if False:")],
        "written: [",
    ),
    "download of a web page": Fault(
        bad_download(lambda _: {"body": b"<html>Please log in</html>"}, "a web page"),
        [PAGE_KNOWN],
        "refused, but not for this",
    ),
    "download that is not there": Fault(
        bad_download(lambda _: {"body": b"", "status": 404}, "404"),
        [Guard("downloads.HTTPError", "", "ZeroDivisionError"), Guard("downloads.URLError", "", "ZeroDivisionError")],
        "broken: HTTPError",
    ),
    "download that fails, cleared away": Fault(
        bad_download(lambda body: {"body": body[:-50]}, "cut short"),
        [Guard("downloads.data_set", "    finally:\n        shutil.rmtree(work)", "    finally:\n        pass")],
        "written: ['out/.unfinished'",
    ),
    "download from a file": Fault(
        local_address, [Guard("downloads.download", 'if scheme not in ("http", "https"):', "if False:")], "taken"
    ),
    # photographs
    "JPEG truncated": Fault(
        photo_refused(truncated, "truncated"),
        [Guard("photos._refusing", "except Exception as error:", "except ZeroDivisionError as error:")],
        "broken: OSError: image file is truncated",
    ),
    "JPEG truncated, filled with grey": Fault(
        filled_by_others, [Guard("photos._refusing", "ImageFile.LOAD_TRUNCATED_IMAGES = False", "pass")], "taken"
    ),
    "JPEG truncated, two threads reading": Fault(
        two_readers, [Guard("photos._refusing", "with _SETTINGS:", "if True:")], "taken"
    ),
    "empty .jpg": Fault(
        photo_refused(lambda: b"", "is empty"),
        [Guard("photos._check_file", "if path.stat().st_size == 0:", "if False:")],
        "not for this",
    ),
    "HTML named .jpg": Fault(
        photo_refused(lambda: b"<!DOCTYPE html><html>404</html>", "web page"),
        [Guard("photos._what_it_is", r'if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):', "if False:")],
        "not for this",
    ),
    "GIF named .jpg": Fault(
        photo_seen(lambda p: halves("red", "blue").save(p, "GIF"), RED, BLUE, name="a.jpg"),
        [Guard("photos.FORMATS", "", "('JPEG',)")],
        "broken: ValueError",
    ),
    "pixel bomb of 120 megapixels": Fault(
        photo_refused(bomb, "12000 x 10000"), [Guard("photos.MAX_PIXELS", "", "10**12")], "taken"
    ),
    "CMYK": Fault(
        photo_seen(lambda p: halves((0, 255, 255, 0), (255, 255, 0, 0), "CMYK").save(p), RED, BLUE, name="a.jpg"),
        [Guard("photos._rgb", 'return image.convert("RGB")', "return image")],
        "shape",
    ),
    "16 bits": Fault(
        photo_seen(deep, GREY, WHITE), [Guard("photos._rgb", "image = _eight_bits(image)", "pass")], "seen"
    ),
    "palette": Fault(
        photo_seen(palette_with_a_hole, WHITE, RED),
        [Guard("photos._rgb", "if image.has_transparency_data:", "if False:")],
        "seen: (0, 0, 0)",
    ),
    "alpha": Fault(
        photo_seen(lambda p: halves((255, 0, 0, 0), (255, 0, 0, 255), "RGBA").save(p), WHITE, RED),
        [Guard("photos._rgb", "if image.has_transparency_data:", "if False:")],
        "seen: (255, 0, 0)",
    ),
    "EXIF": Fault(
        photo_seen(upside_down, BLUE, RED, name="a.jpg"),
        [Guard("photos._upright", "return image if turn is None else image.transpose(turn)", "return image")],
        "seen: (25",
    ),
    # not by removing a line: what becomes of NaN in a byte depends on the processor
    "photograph with NaN": Fault(photo_seen(not_a_number, BLACK, WHITE, name="a.tif")),
    # captions
    "2258277193_586949ec62.jpg.1": Fault(
        bad_lines("2258277193_586949ec62.jpg.1#0\ta dog\n", "no picture '2258277193_586949ec62.jpg.1'"),
        [Guard("collecting.Collector._report_unused", "if self.folder.find(name) is None:", "if False:")],
        "faults: [",
    ),
    "line without a tab": Fault(
        bad_lines("a.jpg#1 a dog\n", "Flickr8k.token.txt:2: no tab"),
        [Guard("datasets._read_tokens", "elif len(captions) != 1:", "elif False:")],
        "faults: [",
    ),
    "line without a number": Fault(
        bad_lines("a.jpg\ta dog\n", "should end in a caption number"),
        [Guard("datasets._read_tokens", 'elif not mark or number not in ("0", "1", "2", "3", "4"):', "elif False:")],
        "faults: [",
    ),
    "line twice": Fault(
        bad_lines("a.jpg#0\ta cat\n", "was there before"),
        [Guard("datasets._read_tokens", "elif label in seen:", "elif False:")],
        "kept: ",
    ),
    "caption without a word": Fault(
        bad_lines("a.jpg#1\t . !\n", "no word"),
        [Guard("collecting.Collector.caption", 'if not re.search(r"[^\\W_]", text):', "if False:")],
        "kept: ",
    ),
    "caption without its picture": Fault(
        bad_lines("b.jpg#0\ta dog\n", "no picture 'b.jpg'", train="a.jpg\nb.jpg\n"),
        [Guard("collecting.Collector.dataset", "if path is None:", "if False:")],
        "kept: ",
    ),
    "picture without a caption": Fault(
        bad_lines("", "'b.jpg' has no caption", train="a.jpg\nb.jpg\n", pictures=("a.jpg", "b.jpg")),
        [Guard("collecting.Collector.dataset", "elif name not in self._captions:", "elif False:")],
        "broken: KeyError",
    ),
    "leakage": Fault(
        leak,
        [
            Guard(
                "collecting.Collector.assign",
                "if known != split and (other == name or self._same_bytes(other, name)):",
                "if False:",
            )
        ],
        "taken",
    ),
    "Karpathy: ../../etc/passwd": Fault(
        climbing("dataset.json"), [Guard("collecting.unsafe", "", "lambda name: False")], "opened: "
    ),
    "COCO: ../../etc/passwd": Fault(
        climbing("captions.json"), [Guard("collecting.unsafe", "", "lambda name: False")], "opened: "
    ),
    "HTML in captions": Fault(html_captions, [Guard("vocabulary._WORD", "", r"re.compile(r'\S+')")], "a word: "),
    "HTML in a vocabulary": Fault(
        html_vocabulary, [Guard("vocabulary.Vocabulary.load", "if not _WORD.fullmatch(word)", "if False")], "taken"
    ),
    "empty split": Fault(empty_split, [Guard("datasets.pick", "if examples is None:", "if False:")], "taken"),
    "no examples": Fault(no_examples, [Guard("datasets.read", "if not dataset.splits:", "if False:")], "taken"),
    "over-long captions": Fault(
        over_long,
        [Guard("batches.caption_tensor", "vocabulary.encode(caption, max_words)", "vocabulary.encode(caption)")],
        "10002 words",
    ),
    # checkpoints
    "weights: pickle": Fault(
        checkpoint_refused(WEIGHTS, lambda _, f: pickle.dumps(Opened(f / "opened")), vouched=True),
        [
            Guard(
                "checkpoints.load",
                "tensors_of(weights.read_bytes())",
                "__import__('pickle').loads(weights.read_bytes())",
            )
        ],
        "written: ['opened']",
    ),
    "weights: cut short": Fault(
        checkpoint_refused(WEIGHTS, lambda data, _: data[:-100]), [DIGEST, UNREADABLE], "broken: SafetensorError"
    ),
    "weights: a bit flipped": Fault(checkpoint_refused(WEIGHTS, flip, "SHA-256"), [DIGEST], "taken"),
    "weights: NaN": Fault(
        checkpoint_refused(WEIGHTS, with_nan, "decoder.words.bias", "finite", vouched=True),
        [Guard("checkpoints.set_weights", "if not torch.isfinite(state[name]).all():", "if False:")],
        "taken",
    ),
    "vocabulary: another of the same length": Fault(checkpoint_refused(WORDS, swapped, "SHA-256"), [DIGEST], "taken"),
    "training: pickle": Fault(
        unfinished_refused(lambda data: pickle.dumps(data)),
        [Guard("training.SafetensorError", "", "ZeroDivisionError")],
        "broken: SafetensorError",
    ),
    "training: cut short": Fault(
        unfinished_refused(lambda data: data[:-100]),
        [Guard("training.SafetensorError", "", "ZeroDivisionError")],
        "broken: SafetensorError",
    ),
    # numbers
    "one image": Fault(
        one_image,
        [Guard("recipes.steps", "-(-len(train) // plan.batch)", "len(train) // plan.batch")],
        "broken: ",
    ),
    "NaN pixels": Fault(nan_pixels, [Guard("training.fit", "if not math.isfinite(mean):", "if False:")], "taken"),
    "all captions unknown": Fault(
        all_unknown, [Guard("decoding.next_words", "", "lambda step, *_, **__: step.logits.log_softmax(-1)")], "said: "
    ),
    "empty hypotheses": Fault(
        empty_hypotheses, [Guard("metrics.bleu_of", " if length else 0.0", "")], "broken: ZeroDivisionError"
    ),
    # saving
    "killed at every byte": Fault(
        every_byte("killed"), [Guard("files.write_whole", "", "lambda path, data: path.write_bytes(data)")], "torn: "
    ),
    "disk full at every byte": Fault(
        every_byte("full"), [Guard("files.write_whole", "Path(name).unlink(missing_ok=True)", "pass")], "left behind: "
    ),
    "killed at every change while saving": Fault(
        killed_while_saving,
        [DIGEST, Guard("checkpoints.save", '(folder / "card.json").unlink(missing_ok=True)', "pass")],
        "mixed: ",
    ),
    "killed while training": Fault(
        killed_while_training,
        [Guard("training.put_back", 'state["state"].setdefault(int(i), {})[key] = tensor', "pass")],
        "another model",
    ),
    "two writers of a file": Fault(
        two_writers,
        [
            Guard(
                "files.write_whole",
                'handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)',
                'name = str(path) + ".new"; handle = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)',
            )
        ],
        "broken: FileNotFoundError",
    ),
    "two writers of a checkpoint": Fault(
        two_savers,
        [
            Guard(
                "checkpoints.save",
                '"sha256": hashlib.sha256(weights).hexdigest()',
                '"sha256": sha256(folder / "weights.safetensors")',
            )
        ],
        "mixed: ",
    ),
    # the machine around us
    "home: missing": Fault(in_a_home("/proc/none", FILMSTRIP)),
    "home: read-only": Fault(in_a_home("/proc")),
    "locale that is not UTF-8: words": Fault(
        plain_locale,
        [Guard("vocabulary.Vocabulary.load", 'read_text(encoding="utf-8")', "read_text()")],
        "not a vocabulary: 'ascii' codec",
    ),
    "locale that is not UTF-8: names": Fault(
        plain_locale, [Guard("collecting.on_disk", "", "lambda name: name")], "exit 1"
    ),
    "broken torchvision": Fault(
        broken_torchvision,
        [Guard("commands.draw_scenes", "from companion.scenes import export", "import torchvision")],
        "torchvision::nms",
    ),
}


@pytest.fixture(autouse=True)
def nobody_between(monkeypatch):
    """No proxy between the tests and this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_does_no_harm(name, tmp_path):
    FAULTS[name].law(tmp_path)


@pytest.mark.parametrize("name", [name for name, row in FAULTS.items() if row.guards])
def test_without_its_guard_the_fault_does_the_harm_that_the_table_says(name, tmp_path, monkeypatch):
    law, guards, harm = FAULTS[name]
    take_away(guards, monkeypatch.setattr)
    monkeypatch.setenv("REMOVED", json.dumps(guards))
    with pytest.raises(AssertionError) as caught:
        law(tmp_path)
    assert harm in str(caught.value)
