"""Names of pictures as caption files write them and disks keep them: odd letters, compositions, cases, suffixes."""

import csv
import unicodedata
from pathlib import Path

import pytest

from tests.cases.pictures import write_pictures


def album(folder: Path, written: str, *on_disk: str) -> Path:
    """Write pictures with these names, and a table with one caption, of a picture that is written in another way."""
    write_pictures(folder / "album", on_disk)
    with open(folder / "album" / "captions.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["image", "caption"], [written, "A dog."]])
    return folder / "album"


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


ODD = [
    "Screenshot 2024-01-01 at 4.42.48\u202fPM.jpg",
    "Snímek obrazovky v\u00a013.05.05.png",
    "👨\u200d👩\u200d👧.jpg",
    "❤\ufe0f.jpg",
    "zero\u200bwidth.jpg",
    "می\u200cخواهم.jpg",
    "right\u200fto\u202eleft\u202c.jpg",
    "soft\u00adhyphen.jpg",
    "wide\u3000blank.jpg",
    "照片.jpg",
    "it's 100% #1 (copy) [2] & {3}.jpg",
    'a "quoted", name.jpg',
    "a;b,c|d.jpg",
    "-dash.jpg",
    "two  blanks.jpg",
    "\ue000private.jpg",
    "trailing dot..jpg",
    "deeper/down/é.jpg",
]


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_an_odd_name_is_read(tmp_path, evaluate, name):
    run = evaluate(album(tmp_path, name, name))
    assert run.captions == {name: ("A dog.",)}, run.err
    assert run.dataset.issues == run.dataset.notes == []


SPELT = {  # as it is written, as it is on the disk, words of the note
    "composed for decomposed": ("café.jpg", nfd("café.jpg"), "in another composition of letters"),
    "decomposed for composed": (nfd("Ångström.jpg"), "Ångström.jpg", "in another composition of letters"),
    "Korean syllables for letters": ("한국.jpg", nfd("한국.jpg"), "in another composition of letters"),
    "a folder decomposed": ("Fotos à/a.jpg", nfd("Fotos à") + "/a.jpg", "in another composition of letters"),
    "the suffix in capitals": ("a.jpg", "a.JPG", "in other upper and lower case"),
    "the name in capitals": ("IMG_0001.JPG", "img_0001.jpg", "in other upper and lower case"),
    "a folder in capitals": ("Photos/a.jpg", "photos/A.jpg", "in other upper and lower case"),
    "decomposed, and another case": ("É.jpg", nfd("é.JPG"), "in other upper and lower case"),
    "slashes of Windows": ("sub\\a.jpg", "sub/a.jpg", "with slashes of Windows"),
    "no suffix": ("1000092795", "1000092795.jpg", "without a suffix"),
    "no suffix, a point in the name": ("a.b", "a.b.png", "without a suffix"),
}


@pytest.mark.parametrize("case", SPELT)
def test_a_name_that_differs_in_spelling_alone_is_read_and_noted(tmp_path, evaluate, case):
    written, on_disk, difference = SPELT[case]
    run = evaluate(album(tmp_path, written, on_disk))
    assert run.captions == {written: ("A dog.",)}, run.err
    [example] = run.examples
    assert example.image == tmp_path / "album" / on_disk
    assert run.dataset.issues == []
    [note] = run.dataset.notes
    assert f"1 picture is written {difference} (the first is " in note
    assert note.isprintable()


def test_the_exact_name_comes_before_others(tmp_path, evaluate):
    composed, decomposed = "é.jpg", nfd("é.jpg")
    run = evaluate(album(tmp_path, decomposed, composed, decomposed, "É.jpg"))
    assert [example.image.name for example in run.examples] == [decomposed]


def test_two_spellings_are_one_picture(tmp_path, evaluate):
    folder = album(tmp_path, "é.jpg", "é.jpg")
    with open(folder / "captions.csv", "a", encoding="utf-8") as file:
        file.write(f"{nfd('é.jpg')},A cat.\n./é.jpg,A bird.\n")
    assert evaluate(folder).captions == {"é.jpg": ("A dog.", "A cat.", "A bird.")}


ALIKE = {  # as it is written, on the disk, words of the issue
    "a plain blank for a narrow one": ("at 4.42 PM.jpg", ["at 4.42\u202fPM.jpg"], r"only 'at 4.42\u202fPM.jpg'"),
    "a no-break space for a plain one": ("a\u00a0b.jpg", ["a b.jpg"], r"'a\xa0b.jpg' in "),
    "without an accent": ("cafe.jpg", ["café.jpg"], r"only 'caf\xe9.jpg'"),
    "without a joiner": ("👨👩.jpg", ["👨\u200d👩.jpg"], r"only '\U0001f468\u200d\U0001f469.jpg'"),
    "two that differ in case": ("a.jpg", ["A.jpg", "a.JPG"], "only 'A.jpg' and 'a.JPG'"),
    "another suffix": ("a.jpg", ["a.png"], "there is no picture 'a.jpg'"),
    "another picture": ("é.jpg", ["z.jpg"], "there is no picture 'é.jpg' in"),
}


@pytest.mark.parametrize("case", ALIKE)
def test_names_that_only_look_alike_are_told_apart_in_the_message(tmp_path, evaluate, case):
    written, on_disk, words = ALIKE[case]
    run = evaluate(album(tmp_path, written, *on_disk))
    assert run.status == 1
    assert words in run.err
    assert run.err.rstrip("\n").isprintable()


UNSAFE = [
    "../secret.jpg",
    "a/../../secret.jpg",
    "..\\secret.jpg",
    "/etc/secret.jpg",
    "C:\\secret.jpg",
    "\\\\server\\secret.jpg",
    "bell\x07.jpg",
    "escape\x1b[31m.jpg",
    "line\nbreak.jpg",
    "csi\x9b31m.jpg",
]


@pytest.mark.parametrize("name", UNSAFE, ids=ascii)
def test_a_name_that_leaves_the_folder_or_garbles_a_terminal_is_never_opened(tmp_path, evaluate, name):
    write_pictures(tmp_path, ["secret.jpg"])
    run = evaluate(album(tmp_path, name, "a.jpg"))
    assert run.status == 1
    assert "names no file inside the picture folder; never opened" in run.err
    assert run.err.rstrip("\n").isprintable()
