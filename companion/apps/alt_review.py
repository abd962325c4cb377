"""A page for a browser of the same machine, on which a person accepts, corrects or refuses proposed alternative texts.

The server listens on the loopback address alone. Its address holds a secret, and it answers no request that names
another host (DNS rebinding) or comes from a page of another origin (CSRF). Whatever it shows is escaped. Explained in
the chapter on alternative text.
"""

import hashlib
import hmac
import html
import io
import secrets
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import parse_qs

from companion.apps.alt_images import shorten_address
from companion.apps.alt_pages import Page, insert_texts
from companion.apps.alt_text import Decision, Proposal, write_copy
from companion.datasets import load_original
from companion.files import atomic_write

LOOPBACK = "127.0.0.1"
MAX_FORM = 10_000_000  # bytes
THUMBNAIL = (480, 360)  # pixels at most
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # "no-referrer" would take the origin from the form's own requests
    "Cache-Control": "no-store",
}
STYLE = """body { font: 1.1em/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em; }
fieldset { margin: 1.5em 0; } img { max-width: 100%; display: block; } input[type=text] { width: 100%; font: inherit; }
button { font: inherit; padding: .4em 1em; } .note { color: #444; }"""

INTRODUCTION = (
    "A machine made these texts from the pixels alone. It does not know what an image is on its page for, and some of "
    "its texts are wrong. Read each beside its image. A text that you change is written, too."
)


class Reviewed(NamedTuple):
    """A page with its proposals, and where its copy goes."""

    page: Page
    proposals: list[Proposal]
    copy: Path


class ReviewServer(ThreadingHTTPServer):
    """Serves the proposals for review on a free port until its button is pressed.

    Args:
        reviewed: the pages.
    """

    daemon_threads = True  # a connection that a browser keeps open does not keep the command from ending

    def __init__(self, reviewed: list[Reviewed]) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.reviewed = reviewed
        self.host = f"{LOOPBACK}:{self.server_port}"
        self.secret = secrets.token_urlsafe(16)
        self.address = f"http://{self.host}/{self.secret}/"
        self._written: dict[Path, str] = {}  # SHA-256 of each copy as this review wrote it
        self._lock = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """Print what went wrong, except that a browser went away."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def save(self, form: dict[str, list[str]]) -> list[str]:
        """Write the copies that the form asks for, and return a line about each page."""
        with self._lock:
            return [self._save_page(number, form) for number in range(len(self.reviewed))]

    def _save_page(self, number: int, form: dict[str, list[str]]) -> str:
        page, proposals, copy = self.reviewed[number]
        texts = {}
        for i, proposal in enumerate(proposals):
            choice, text = (" ".join(form.get(f"{name}-{number}-{i}", [""])[0].split()) for name in ("choice", "text"))
            if text and (choice == "text" or (choice == "leave" and text != proposal.text)):
                texts[i] = text
            elif choice == "decorative" and not page.images[i].is_markdown:
                texts[i] = ""
        if not texts:
            return f"{page.path}: nothing was chosen, and nothing written"
        try:
            if copy in self._written and hashlib.sha256(copy.read_bytes()).hexdigest() == self._written[copy]:
                atomic_write(copy, insert_texts(page, texts))
            else:
                write_copy(page, texts, copy)
            self._written[copy] = hashlib.sha256(copy.read_bytes()).hexdigest()
        except (OSError, ValueError) as error:
            return str(error)
        return f"wrote {copy}, with {len(texts)} texts"


class _Handler(BaseHTTPRequestHandler):
    """Answers one request: the page, an image of it, or one of its two forms."""

    timeout = 60  # seconds for a request to arrive
    server_version, sys_version = "companion", ""

    def do_GET(self) -> None:
        """Send the page or an image."""
        server = cast(ReviewServer, self.server)
        if self._is_refused():
            return
        place = self.path.split("/")[2:]
        if place == [""]:
            self._send(HTTPStatus.OK, review_page(server.reviewed))
        elif place[0] == "image" and (file := self._image_file(place[1:])):
            try:
                self._send(HTTPStatus.OK, thumbnail(file), "image/jpeg")
            except ValueError as error:
                self._send(HTTPStatus.NOT_FOUND, message_page([str(error)]))
        else:
            self._send(HTTPStatus.NOT_FOUND, message_page(["There is no such page."]))

    def do_POST(self) -> None:
        """Write the copies, or end the review."""
        server = cast(ReviewServer, self.server)
        if self._is_refused():
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_FORM:
            self._send(HTTPStatus.BAD_REQUEST, message_page(["The form has no length, or is too long."]))
            return
        body = self.rfile.read(int(length)).decode("ascii", "replace")
        place = self.path.split("/")[2:]
        if place == ["save"]:
            form = parse_qs(body, keep_blank_values=True)
            self._send(HTTPStatus.OK, message_page(server.save(form), back=True))
        elif place == ["end"]:
            self._send(HTTPStatus.OK, message_page(["The review has ended. You can close this page."]))
            threading.Thread(target=server.shutdown).start()  # it waits for the loop that called us
        else:
            self._send(HTTPStatus.NOT_FOUND, message_page(["There is no such page."]))

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _is_refused(self) -> bool:
        """Answer a request that is not from our own page, and return True."""
        server = cast(ReviewServer, self.server)
        origin = self.headers.get("Origin")
        secret = self.path.split("/")[1] if self.path.count("/") > 1 else ""
        allowed = (
            self.headers.get_all("Host") == [server.host]
            and origin in (None, f"http://{server.host}")
            and hmac.compare_digest(secret.encode(), server.secret.encode())
        )
        if not allowed:
            self._send(HTTPStatus.FORBIDDEN, message_page(["This address is for the review alone."]))
        return not allowed

    def _image_file(self, numbers: list[str]) -> Path | None:
        """Return the file of an image by the number of its page and its own, or None."""
        reviewed = cast(ReviewServer, self.server).reviewed
        if len(numbers) != 2 or not all(number.isdecimal() and len(number) < 8 for number in numbers):
            return None
        page, image = map(int, numbers)
        is_known = page < len(reviewed) and image < len(reviewed[page].proposals)
        return reviewed[page].proposals[image].file if is_known else None

    def _send(self, status: HTTPStatus, body: str | bytes, kind: str = "text/html; charset=utf-8") -> None:
        data = body.encode("utf-8", "replace") if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def thumbnail(file: Path) -> bytes:
    """Return a small JPEG of an image. Raises ValueError if it cannot be read any more."""
    image = load_original(file)
    image.thumbnail(THUMBNAIL)
    data = io.BytesIO()
    image.save(data, "JPEG")
    return data.getvalue()


def review_page(reviewed: list[Reviewed]) -> str:
    """Return the page with a form for every image that may need a text."""
    parts = []
    for number, (page, proposals, copy) in enumerate(reviewed):
        parts.append(f"<h2>{html.escape(str(page.path))}</h2>")
        parts.append(f"<p class=note>The copy will be {html.escape(str(copy))}.</p>")
        asked = [i for i, each in enumerate(proposals) if each.decision is not Decision.LEFT_ALONE]
        parts += [_image_form(proposals[i], number, i) for i in asked]
        if not asked:
            parts.append("<p>No image lacks a text.</p>")
    return _document(
        f"<p>{INTRODUCTION}</p><form method=post action=save>{''.join(parts)}<button>Write the copies</button></form>"
        "<form method=post action=end><button>End the review</button></form>"
    )


def _image_form(proposal: Proposal, page: int, image: int) -> str:
    """Return the fields for one image."""
    name = f"{page}-{image}"
    about = str(proposal.decision) + (f": {proposal.reason}" if proposal.reason else "")
    if proposal.confidence is not None:
        about += f" (confidence {proposal.confidence:.2f})"
    choices = {"text": "write this text:", "decorative": "it is decorative", "leave": "leave it as it is"}
    if proposal.image.is_markdown:  # which has no mark for decorative images
        del choices["decorative"]
    chosen = "text" if proposal.decision is Decision.PROPOSED else "leave"
    radios = "".join(
        f'<label><input type=radio name="choice-{name}" value={value}{" checked" * (value == chosen)}> {label}</label> '
        for value, label in choices.items()
    )
    picture = f'<img src="image/{page}/{image}" alt="the image in question">' if proposal.file else ""
    return (
        f"<fieldset><legend>line {proposal.image.line}: {html.escape(shorten_address(proposal.image.address))}</legend>"
        f"{picture}<p class=note>{html.escape(about)}</p>{radios}"
        f'<input type=text name="text-{name}" aria-label="text" value="{html.escape(proposal.text)}"></fieldset>'
    )


def message_page(lines: list[str], *, back: bool = False) -> str:
    """Return a page with these lines of text."""
    link = '<p><a href="./">Back to the proposals</a></p>' if back else ""
    return _document("".join(f"<p>{html.escape(line)}</p>" for line in lines) + link)


def _document(body: str) -> str:
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Alternative texts</title><style>{STYLE}</style>"
        f"<h1>Alternative texts</h1>{body}</html>"
    )
