"""Tables of captions as spreadsheets, scripts and old computers write them: line ends, dialects, encodings."""

import csv
import io
from pathlib import Path

import pytest

from tests.cases.pictures import write_pictures

CAPTIONS = {"0.jpg": ("A dog runs.",), "1.jpg": ("A cat, asleep.",), "2.jpg": ("A bird.",)}
HEADER = ["image", "caption"]


def album(folder: Path, table: bytes, name: str = "captions.csv") -> Path:
    """Write three pictures and a table of captions, and return their folder."""
    write_pictures(folder / "album", CAPTIONS)
    (folder / "album" / name).write_bytes(table)
    return folder / "album"


def by_csv(*, header: list[str] | None = None, **dialect) -> str:
    """Return the three captions as the csv module writes them."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, **dialect)
    writer.writerow(header or HEADER)
    writer.writerows((name, caption) for name, [caption] in CAPTIONS.items())
    return file.getvalue()


LF = by_csv(lineterminator="\n")

# name: the table, words of the note that says what is unusual ("" if nothing is)
READ = {
    "as the csv module writes it": (by_csv(), "CRLF"),
    "all quoted": (by_csv(quoting=csv.QUOTE_ALL, lineterminator="\n"), ""),
    "CRLF with a byte order mark": ("\N{ZERO WIDTH NO-BREAK SPACE}" + LF.replace("\n", "\r\n"), "byte order mark"),
    "CR alone": (LF.replace("\n", "\r"), "old Macs (CR)"),
    "CR alone, quoted": (by_csv(quoting=csv.QUOTE_ALL, lineterminator="\r"), "old Macs (CR)"),
    "line ends of three systems": ('image,caption\r\n0.jpg,A dog runs.\r1.jpg,"A cat, asleep."\n2.jpg,A bird.', "CRLF"),
    "CRLF written as text on Windows": (LF.replace("\n", "\r\r\n"), "CRLF"),
    "no line end at the end": (LF.rstrip("\n"), ""),
    "semicolons": (by_csv(delimiter=";", lineterminator="\n"), ""),
    "semicolons, all quoted": (by_csv(delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\n"), ""),
    "tabs": (by_csv(delimiter="\t", lineterminator="\n"), ""),
    "bars": (by_csv(delimiter="|", lineterminator="\n"), ""),
    "a line for Excel": ("sep=;\n" + by_csv(delimiter=";", lineterminator="\n"), ""),
    "a blank before the quotation mark": (LF.replace(",", ", ").replace("cat, ", "cat,"), ""),
    "a blank after the quotation mark": (LF.replace('"A cat, asleep."', '"A cat, asleep." '), ""),
    "a backslash before a quotation mark": (by_csv(escapechar="\\", quoting=csv.QUOTE_NONE, lineterminator="\n"), ""),
    "empty columns at the end": (LF.replace("\n", ",,\n").replace("caption,,", "caption"), ""),
    "single quotation marks": (by_csv(quotechar="'", quoting=csv.QUOTE_ALL, lineterminator="\n"), ""),
    "an index in the first column": ("".join(f",{line}\n" for line in LF.splitlines()), ""),
    "other names of columns": (by_csv(header=["File Name", " Description"], lineterminator="\n"), ""),
    "empty lines": (LF.replace("\n", "\n\n"), "empty lines"),
    "UTF-16": (LF.encode("utf-16"), "UTF-16"),
    "UTF-16, big end first": (b"\xfe\xff" + LF.encode("utf-16-be"), "UTF-16"),
    "UTF-16 without a mark": (LF.encode("utf-16-le"), "UTF-16"),
    "UTF-32": (LF.encode("utf-32"), "UTF-32"),
    "Unicode text of Excel": (by_csv(delimiter="\t").encode("utf-16"), "UTF-16"),
}


@pytest.mark.parametrize("case", READ)
def test_a_legal_table_is_read_and_what_is_unusual_is_noted(tmp_path, evaluate, case):
    table, note = READ[case]
    run = evaluate(album(tmp_path, table if isinstance(table, bytes) else table.encode()))
    assert run.status == 0, run.err
    assert {name: tuple(c.replace('"', "") for c in captions) for name, captions in run.captions.items()} == CAPTIONS
    assert run.dataset.issues == []
    assert note in run.err
    assert "bleu4" in run.out


QUOTED = {  # rows below the header, the captions that are read
    "a line break": ('0.jpg,"A dog runs\non the beach."\n1.jpg,A cat.\n', ("A dog runs on the beach.", "A cat.")),
    "a line break of Windows": ('0.jpg,"A dog\r\nruns."\r\n1.jpg,A cat.\r\n', ("A dog runs.", "A cat.")),
    "two line breaks and an empty line": (
        '0.jpg,"A dog\n\nruns\naway."\n1.jpg,A cat.\n',
        ("A dog runs away.", "A cat."),
    ),
    "a line break, commas and quotes": (
        '0.jpg,"A ""big"" dog,\na cat, and ""no"" bird"\n1.jpg,A cat.\n',
        ('A "big" dog, a cat, and "no" bird', "A cat."),
    ),
    "a quotation mark inside": ('0.jpg,A 5" dog.\n1.jpg,A cat.\n', ('A 5" dog.', "A cat.")),
    "a quoted word in front": ('0.jpg,"Big" dog.\n1.jpg,A cat.\n', ("Big dog.", "A cat.")),
    "escaped by backslashes, and a line break": (
        '0.jpg,"A \\"big\\"\ndog, asleep"\n1.jpg,A cat.\n',
        ('A "big" dog, asleep', "A cat."),
    ),
    "escaped by backslashes": ('0.jpg,"A \\"big\\" dog, asleep"\n1.jpg,A cat.\n', ('A "big" dog, asleep', "A cat.")),
    "a mark after a blank, never closed": ('0.jpg, "A dog.\n1.jpg,A cat.\n', ('"A dog.', "A cat.")),
}


@pytest.mark.parametrize("case", QUOTED)
def test_quotation_marks_enclose_what_they_should(tmp_path, evaluate, case):
    rows, captions = QUOTED[case]
    run = evaluate(album(tmp_path, f"image,caption\n{rows}".encode()))
    assert run.captions == {f"{i}.jpg": (caption,) for i, caption in enumerate(captions)}, run.err
    assert run.dataset.issues == []


BAD_ROWS = {  # a row in the third line, words of the issue
    "a mark that is never closed": ('1.jpg,"A cat', "never closed"),
    "a mark that is never closed, before a closed one": ('1.jpg,"A cat\n0.jpg,"Also a dog."', "never closed"),
    "a mark that an end of another row seems to close": ('1.jpg,"A cat\n0.jpg,Also a dog"', "never closed"),
    "a mark in the name": ('"1.jpg,A cat.', "never closed"),
    "too many fields": ("1.jpg,A cat, asleep", "3 fields, not 2 (quote a caption with ',' in it)"),
    "too few fields": ("1.jpg", "1 fields, not 2"),
    "no caption": ("1.jpg,", "empty caption"),
    "cp1252": ("1.jpg,Un caf\xe9.".encode("cp1252"), "is not UTF-8 (perhaps cp1252"),
    "GBK": ("1.jpg,一只狗在草地上奔跑".encode("gbk"), "is not UTF-8 (perhaps GBK"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_costs_itself_and_no_other(tmp_path, evaluate, case):
    row, words = BAD_ROWS[case]
    row = row if isinstance(row, bytes) else row.encode()
    many = b"".join(b"0.jpg,Line %d.\n" % i for i in range(150))
    run = evaluate(album(tmp_path, b"image,caption\n0.jpg,A dog.\n" + row + b'\n2.jpg,"A bird, too."\n' + many))
    assert run.status == 0
    assert run.captions["2.jpg"] == ("A bird, too.",)
    assert len(run.captions["0.jpg"]) == 151 + row.count(b"0.jpg")
    assert "1.jpg" not in run.captions
    issue = next(issue for issue in run.dataset.issues if "captions.csv:3: " in issue)
    assert words in issue
    assert issue in run.err


GONE = "captions.csv:2: there is no picture 'gone.jpg'"
CAUSES = {  # a table of which no row can be used, the issue that the error quotes
    "CRLF, and no such picture": (b"image,caption\r\ngone.jpg,A dog.\r\n", GONE),
    "byte order mark, and no such picture": (b"\xef\xbb\xbfimage,caption\ngone.jpg,A dog.\n", GONE),
    "CR, and no such picture": (b"image,caption\rgone.jpg,A dog.\r", GONE),
    "UTF-16, and no caption": ("image,caption\n0.jpg,\n".encode("utf-16"), "captions.csv:2: an empty caption of"),
    "empty lines, and a name outside": (b"image,caption\n\n\n../0.jpg,A dog.\n", "captions.csv:4: '../0.jpg' names no"),
    "CRLF, and nothing else": (b"image,caption\r\n", "its files are empty"),
    "a workbook": (b"PK\x03\x04\x14\0\x06\0", "captions.csv: it is a workbook (save it as CSV)"),
    "compressed": (b"\x1f\x8b\x08\0", "captions.csv: it is compressed (unpack it), not text"),
}


@pytest.mark.parametrize("case", CAUSES)
def test_an_error_quotes_what_caused_it_and_no_note(tmp_path, evaluate, case):
    table, cause = CAUSES[case]
    run = evaluate(album(tmp_path, table))
    assert run.status == 1
    [line] = run.err.splitlines()
    assert cause in line
    for note in ("CRLF", "byte order mark", "(CR)", "UTF-16", "empty line"):
        assert note not in line


def test_a_header_without_a_picture_is_named_with_what_it_holds(tmp_path, evaluate):
    run = evaluate(album(tmp_path, b"a;b\n0.jpg;A dog.\n"))
    assert run.status == 1
    [line] = run.err.splitlines()
    assert line.endswith("captions.csv:1: image,caption or image,caption,split was expected, not 'a;b'")


def test_line_ends_of_other_files_than_tables_are_read(tmp_path, evaluate):
    folder = write_pictures(tmp_path / "set" / "Flicker8k_Dataset", ["a.jpg", "b.jpg"]).parent
    (folder / "Flickr8k.token.txt").write_bytes(b"a.jpg#0\tA dog .\rb.jpg#0\tA cat .\r")
    (folder / "Flickr_8k.trainImages.txt").write_bytes("a.jpg\r\nb.jpg\r\n".encode("utf-16"))
    run = evaluate(folder)
    assert run.captions == {"a.jpg": ("A dog .",), "b.jpg": ("A cat .",)}
    assert [note.partition(": ")[2] for note in run.dataset.notes if ".txt" in note] == [
        "the file is UTF-16, not UTF-8; read all the same",
        "lines end as on Windows (CRLF); read all the same",
        "lines end as on old Macs (CR); read all the same",
    ]
