"""The file of an index: an SQLite database in the folder of the pictures, its tables, and its lock.

`PictureIndex` reads and writes it.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from companion.apps.word_index import WordIndex

NAME = ".companion-index.sqlite"
LOCK_NAME = ".companion-index.lock"
APPLICATION, VERSION = 0x61747463, 1  # SQLite's application_id and user_version of an index
BUSY_SECONDS = 60.0  # that a statement waits for those of other processes, which take far less
WAIT_SECONDS = 0.2  # between two looks whether another process has finished its update

SCHEMA = """
CREATE TABLE settings (card TEXT NOT NULL, language TEXT NOT NULL);
CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime INTEGER NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE captions (number INTEGER PRIMARY KEY, sha256 TEXT UNIQUE NOT NULL, error TEXT, record TEXT, maps BLOB);
INSERT INTO settings VALUES ('', 'en');
"""


class IndexFile:
    """The index in a folder, opened, and made if there is none.

    Raises ValueError, in one line, if there is no such folder, nothing can be written in it, or its index is damaged.
    """

    def __init__(self, folder: Path):
        self.folder, self.path = folder, folder / NAME
        if not folder.is_dir():
            raise ValueError(f"{folder}: there is no such folder")
        for path in (self.path, folder / LOCK_NAME):
            if path.is_symlink() or (path.exists() and not path.is_file()):  # a link would lead out of the folder
                raise ValueError(f"{path}: is not an ordinary file; delete it, and the index is made anew")
        with explained_errors(self.path):
            self.connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                self._open()
            except BaseException:
                self.connection.close()
                raise

    def _open(self) -> None:
        """Check that the file is an index; make one of a file that is new or empty."""
        self.connection.execute("PRAGMA trusted_schema = OFF")  # whoever gave us the folder may have made the file
        with self.transaction():
            [(tables,)] = self.connection.execute("SELECT count(*) FROM sqlite_master")
            if not tables:
                for statement in SCHEMA.strip().splitlines():
                    self.connection.execute(statement)
                WordIndex(self.connection).create()
                self.connection.execute(f"PRAGMA application_id = {APPLICATION}")
                self.connection.execute(f"PRAGMA user_version = {VERSION}")
            [(application,)] = self.connection.execute("PRAGMA application_id")
            [(version,)] = self.connection.execute("PRAGMA user_version")
        if (application, version) != (APPLICATION, VERSION):
            raise ValueError(f"{self.path}: is not an index of this version; delete it, and it is made anew")

    def settings(self) -> tuple[str, str]:
        """Return the SHA-256 of the card of the model that captioned, "" for none, and the language of its captions."""
        row = self.connection.execute("SELECT card, language FROM settings").fetchone()
        if row is None:
            raise sqlite3.DatabaseError("it has no settings")
        return row

    def words(self) -> WordIndex:
        """Return the table of the words of the captions."""
        return WordIndex(self.connection, self.settings()[1])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Save all that is written inside, or nothing of it."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise

    @contextmanager
    def lock(self, report: Callable[[str], None]) -> Iterator[None]:
        """Hold the lock of the folder; wait while another process holds it, and report that.

        It is the lock of an SQLite file without content, which every system has and which ends with the process.
        """
        path = self.folder / LOCK_NAME
        with explained_errors(path):
            other = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            waits = False
            while not _try_lock(other, path):
                if not waits:
                    report(f"{self.folder}: another process is captioning this folder; waiting until it has finished")
                    waits = True
                time.sleep(WAIT_SECONDS)
            yield
        finally:
            other.close()


def _try_lock(connection: sqlite3.Connection, path: Path) -> bool:
    """Lock the file of the connection. Returns False if it is locked."""
    with explained_errors(path):
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                return False
            raise
    return True


@contextmanager
def explained_errors(path: Path) -> Iterator[None]:
    """Raise every error of SQLite as a ValueError of one line that names the file and says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            reason = "the index cannot be written here; make the folder writable, or search a copy of it"
        elif code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR):
            reason = f"the index is damaged ({error}); delete this file, and it is made anew"
        else:
            reason = f"the index cannot be used: {error}"
        raise ValueError(f"{path}: {reason}") from None
