"""Keep the captions of a folder's pictures in a file beside them, so that each picture is captioned once.

`PictureIndex` is that file. Applications update it, and then list its entries or search them. Explained in the chapter
on searching pictures.
"""

import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from companion import checkpoints
from companion.apps import index_rows
from companion.apps.captioning import caption_files, growing_batches
from companion.apps.folders import find_pictures
from companion.apps.index_file import NAME, IndexFile, explained_errors
from companion.apps.index_rows import Entry
from companion.decoding import Caption
from companion.metrics import calibration
from companion.models import Captioner

REPORT_SECONDS = 10.0  # between two lines of progress
GONE = "it was removed meanwhile"  # of a file without an answer

Report = Callable[[str], None]


class Hit(NamedTuple):
    """An entry that matches a query, and why."""

    entry: Entry
    score: float  # of BM25, see `WordIndex`; higher for better
    caption_words: tuple[int, ...]  # indices of the words of the caption that match
    tags: tuple[int, ...]  # indices of the tags that match


class Update(NamedTuple):
    """How many pictures were captioned by an update, kept a caption that was known, are gone, could not be read."""

    captioned: int
    kept: int
    removed: int
    failed: int


class Signature(NamedTuple):
    """What tells whether a file has changed: as long as size and time are the same, it is not read again."""

    size: int  # bytes
    mtime: int  # nanoseconds
    sha256: str


class PictureIndex:
    """The captions of the pictures in a folder, in its file `.companion-index.sqlite`; a context manager.

    A picture is known by the SHA-256 of its file, so one that was renamed or copied is not captioned again. Processes
    may use the index at the same time: an update holds a lock, which ends with its process, and another waits for it.

    Args:
        folder: of the pictures.

    Raises:
        ValueError: there is no such folder, nothing can be written in it, or its index is damaged. All methods raise
            it, too, and always in one line.
    """

    def __init__(self, folder: Path):
        self.folder, self._file = folder, IndexFile(folder)

    def __enter__(self) -> "PictureIndex":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.connection.close()

    def update(self, checkpoint: Path | str, *, report: Report) -> Update:
        """Caption the pictures that are new or changed, and remove those that are gone.

        Captions are saved after every batch. The model is loaded only if there is something to caption. The captions
        of a model with another card are all made anew.

        Args:
            checkpoint: folder or name of the model that captions.
            report: called with each line for the user: what cannot be read, and how far the work is.
        """
        card = checkpoints.card(checkpoint)
        digest = checkpoints.sha256(checkpoints.resolve(checkpoint) / "card.json")
        with explained_errors(self._file.path), self._file.lock(report):
            found = find_pictures(self.folder)
            is_same_model = self._file.settings()[0] == digest
            files = self._signatures(found.paths, report)
            captioned = self._captioned() if is_same_model else {}
            first: dict[str, Path] = {}  # of files with equal content, the first is captioned
            for path, each in files.items():
                if each.sha256 not in captioned:
                    first.setdefault(each.sha256, path)
            captioner = checkpoints.load(checkpoint) if first else None  # if it fails, nothing is deleted yet
            removed = self._replace_files(files, None if is_same_model else (digest, card["language"]))
            if captioner is not None:
                own = sum(path.name.startswith(NAME.removesuffix("sqlite")) for path in self.folder.iterdir())
                if passed_over := found._replace(hidden=max(found.hidden - own, 0)).passed_over():
                    report(f"{self.folder}: passed over {passed_over}")
                self._caption(captioner, first, calibration.confidence_of(card), report)
            captioned = self._captioned()
        faults = [f"{path}: {error}" for path, each in files.items() if (error := captioned.get(each.sha256, GONE))]
        for line in (*found.unreadable, *faults):
            report(line)
        new = sum(captioned.get(sha256, GONE) is None for sha256 in first)
        unread = len(found.paths) - len(files) + len(found.unreadable)
        return Update(new, len(files) - len(faults) - new, removed, len(faults) + unread)

    def entries(self) -> list[Entry]:
        """Return all pictures with their captions, in the order of their paths."""
        with explained_errors(self._file.path):
            return sorted(self._entries("error IS NULL"), key=lambda entry: entry.path)

    def search(self, query: str, limit: int) -> list[Hit]:
        """Return the pictures that match a word of the query, the best `limit` of them, best first.

        Raises ValueError if there is no word in the query.
        """
        with explained_errors(self._file.path):
            hits = []
            for match in self._file.words().search(query, limit):
                for entry in self._entries("number = ?", match.number):
                    tags = index_rows.searched_tags(entry.tags)
                    hits.append(Hit(entry, match.score, match.caption_words, tuple(tags[i] for i in match.tag_words)))
            return sorted(hits, key=lambda hit: (-hit.score, hit.entry.path))[:limit]

    def _entries(self, condition: str, *parameters: int) -> Iterator[Entry]:
        """Yield the files whose captions fulfil a condition."""
        columns = "SELECT path, record, maps FROM files JOIN captions USING (sha256) WHERE "
        return (index_rows.unpack(*row) for row in self._file.connection.execute(columns + condition, parameters))

    def _captioned(self) -> dict[str, str | None]:
        """Return the SHA-256 of every picture that was captioned; of one that could not be, with the reason."""
        return dict(self._file.connection.execute("SELECT sha256, error FROM captions"))

    def _signatures(self, paths: Sequence[Path], report: Report) -> dict[Path, Signature]:
        """Return the signature of every file that can be read. Only those that may have changed are read."""
        rows = self._file.connection.execute("SELECT path, size, mtime, sha256 FROM files")
        known = {self.folder / os.fsdecode(path): Signature(*row) for path, *row in rows}
        files = {}
        for path in paths:
            try:
                status = path.stat()
                if path in known and known[path][:2] == (status.st_size, status.st_mtime_ns):
                    files[path] = known[path]
                    continue
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                files[path] = Signature(status.st_size, status.st_mtime_ns, digest)
            except OSError as error:
                report(f"{path}: it cannot be read: {error.strerror}")
        return files

    def _replace_files(self, files: Mapping[Path, Signature], model: tuple[str, str] | None) -> int:
        """Make these the files of the index, without captions that are of none; return how many pictures are gone.

        One that was renamed is not gone. For a new model, given by the SHA-256 of its card and its language, all
        captions are removed.
        """
        connection = self._file.connection
        with self._file.transaction():
            if model is not None:
                connection.execute("UPDATE settings SET card = ?, language = ?", model)
                connection.execute("DELETE FROM captions")
                self._file.words().create()
            rows = [(os.fsencode(path.relative_to(self.folder).as_posix()), *each) for path, each in files.items()]
            gone = dict(connection.execute("SELECT path, sha256 FROM files"))
            for path, *_ in rows:
                gone.pop(path, None)
            connection.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in gone])
            connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)
            condition = "FROM captions WHERE sha256 NOT IN (SELECT sha256 FROM files)"
            self._file.words().remove([number for (number,) in connection.execute(f"SELECT number {condition}")])
            connection.execute(f"DELETE {condition}")
        return len(set(gone.values()) - {each.sha256 for each in files.values()})

    def _caption(
        self,
        captioner: Captioner,
        waiting: Mapping[str, Path],
        confidence: calibration.Confidence | None,
        report: Report,
    ) -> None:
        """Caption files, given by their SHA-256, and save the captions of every batch."""
        digests = {path: sha256 for sha256, path in waiting.items()}
        answers = caption_files(captioner, list(digests))
        done, reported = 0, time.monotonic()
        for batch in growing_batches(list(digests)):
            results = list(itertools.islice(answers, len(batch)))
            with self._file.transaction():
                for path, answer in results:
                    if isinstance(answer, Caption):
                        self._save_caption(digests[path], answer, confidence)
                    elif path.is_file():  # it is damaged, and was not removed meanwhile
                        reason = str(answer).removeprefix(f"{path}: ")
                        row = (digests[path], reason)
                        self._file.connection.execute("INSERT INTO captions (sha256, error) VALUES (?, ?)", row)
            done += len(batch)
            if time.monotonic() - reported > REPORT_SECONDS:
                report(f"{done:,} of {len(digests):,} pictures are captioned")
                reported = time.monotonic()

    def _save_caption(self, sha256: str, caption: Caption, confidence: calibration.Confidence | None) -> None:
        """Save a caption and its words."""
        row = (sha256, *index_rows.pack(caption, confidence))
        added = self._file.connection.execute("INSERT INTO captions (sha256, record, maps) VALUES (?, ?, ?)", row)
        assert added.lastrowid is not None
        tags = [caption.tags[i].word for i in index_rows.searched_tags(caption.tags)]
        self._file.words().add(added.lastrowid, caption.words, tags)
