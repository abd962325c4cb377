"""Downloads that arrive short, long, changed or not at all: refused with the address.

The folder is left empty, but for a download that is complete: that is kept, and its place told.
"""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from companion.datasets import download
from tests.albums import write_album_zip
from tests.faults.injection import Fault, Guard, assert_refused, assert_unchanged, fault_tests, snapshot


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """No proxy stands between the tests and this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@contextmanager
def serving(body: bytes, announced: int | None = None, status: int = 200) -> Iterator[str]:
    """Run a server on this machine that answers everything with `body`; yield an address.

    `announced` is the length that it announces, which may be another one.
    """

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


def bad_download(
    reply: Callable[[bytes], dict[str, Any]], *words: str, kept: bool = False, **expected
) -> Callable[[Path], None]:
    """The reply to a request for an album, whose size or SHA-256 may be `expected`, is refused, and may be kept."""

    def law(folder: Path) -> None:
        (folder / "out").mkdir()
        answer = reply(write_album_zip(folder / "set.zip"))
        with serving(**answer) as address:
            before = snapshot(folder)
            place = f"out/{download.UNFINISHED}"
            if kept:
                before |= {place: None, f"{place}/1_set.zip": answer["body"]}
            quoted = [str(folder / place / "1_set.zip")] if kept else []
            try:
                source = download.Source(address, **expected)
                assert_refused(lambda: download.download_dataset([source], folder / "out"), address, *words, *quoted)
            finally:
                assert_unchanged(folder, before)

    return law


def cut_short(folder: Path) -> None:
    body = write_album_zip(folder / "set.zip")
    with serving(body[:-100], announced=len(body)) as address:
        assert_refused(lambda: download.fetch(address, folder / "new"), "stopped after")


def local_address(folder: Path) -> None:
    """A download comes from the network: file:///etc/passwd is no address."""
    assert_refused(lambda: download.fetch(Path(__file__).as_uri(), folder / "new"), "https://")
    assert_unchanged(folder, {})


FAULTS = {
    "download cut short": Fault(
        cut_short,
        [Guard("datasets.download.fetch", "if expected is not None and file.tell() < expected:", "if False:")],
        "accepted",
    ),
    "download of another size": Fault(
        bad_download(lambda body: {"body": body}, "it is not the file that was meant", size=9),
        [
            Guard("datasets.download.verify", "if size is not None and actual != size:", "if False:"),
            Guard(
                "datasets.download.fetch",
                "(archives.MAX_BYTES if expected is None else expected)",
                "archives.MAX_BYTES",
            ),
        ],
        "written: [",
    ),
    "download of another announced size": Fault(
        bad_download(lambda body: {"body": body, "announced": len(body)}, "the server has", size=9),
        [Guard("datasets.download.fetch", "if size is not None and expected != size:", "if False:")],
        "written: [",
    ),
    "download with another SHA-256": Fault(
        bad_download(lambda body: {"body": body}, "SHA-256", "damaged", kept=True, sha256="0" * 64),
        [Guard("datasets.download.verify", "if sha256 is not None and digest != sha256.lower():", "if False:")],
        "written: [",
    ),
    "download of a web page": Fault(
        bad_download(lambda _: {"body": b"<html>Please log in</html>"}, "a web page", kept=True),
        [Guard("datasets.archives._members", r'head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")', "False")],
        "refused, but not for this",
    ),
    "download that is not there": Fault(
        bad_download(lambda _: {"body": b"", "status": 404}, "404"),
        [
            Guard("datasets.download.HTTPError", "", "ZeroDivisionError"),
            Guard("datasets.download.URLError", "", "ZeroDivisionError"),
        ],
        "broken: HTTPError",
    ),
    "download that fails, cleared away": Fault(
        bad_download(lambda body: {"body": body[:-50]}, "cut short", kept=True),
        [
            Guard(
                "datasets.download.download_dataset", "    finally:\n        _clear(work)", "    finally:\n        pass"
            )
        ],
        "written: ['out/.unfinished/parts'",
    ),
    "download that fails, kept": Fault(
        bad_download(lambda body: {"body": body[:-50]}, "cut short", kept=True),
        [Guard("datasets.download._clear", "", "lambda work: shutil.rmtree(work, ignore_errors=True)")],
        "written: []",
    ),
    "download from a file": Fault(
        local_address,
        [Guard("datasets.download.fetch", 'if scheme not in ("http", "https"):', "if False:")],
        "accepted",
    ),
}

test_with_its_guard_the_law_holds, test_without_its_guard_the_harm_is_done = fault_tests(FAULTS)
