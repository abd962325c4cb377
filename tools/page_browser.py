"""Open built pages in Chromium and measure what a reader meets: scrolling blocks, contrast, errors, requests.

Chromium is the one of the system (`apt-get install chromium`), driven by Playwright; the contrast of text is judged by
axe-core (rule color-contrast: WCAG 2.2, success criterion 1.4.3). The network is refused.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--allow-file-access-from-files"]
WIDE, NARROW = 1280, 390  # pixels: a laptop and a phone
THEMES = ("light", "dark")

# Blocks of code and output whose content is wider than they are.
SCROLLING = """() => [...document.querySelectorAll('.bd-content pre')]
  .filter(block => block.scrollWidth > block.clientWidth + 1).length"""
OVERFLOW = "() => Math.max(0, document.documentElement.scrollWidth - window.innerWidth)"


class Visit(NamedTuple):
    """What was met on one page: counts, over both widths and themes where the name gives none."""

    name: str
    scroll_wide: int  # blocks that scroll sideways
    scroll_narrow: int
    overflow: int  # pixels by which the page itself is too wide, at most
    contrast_light: int  # pieces of text with too little contrast
    contrast_dark: int
    errors: int  # exceptions of scripts, and messages on the console
    requests: int  # to the network


@contextmanager
def browser() -> Iterator[Browser]:
    """Yield a running Chromium. Raises ValueError if there is none."""
    if CHROMIUM is None:
        raise ValueError("there is no Chromium: install it, for example with `apt-get install chromium`")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@contextmanager
def opened(running: Browser, page: Path, *, width: int, theme: str) -> Iterator[tuple[Page, list[str], list[str]]]:
    """Yield a built page in a window of a width and in a theme, with its errors and requests so far."""
    errors: list[str] = []
    requests: list[str] = []
    view = running.new_page(
        viewport={"width": width, "height": 900}, color_scheme="dark" if theme == "dark" else "light"
    )
    view.add_init_script(f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')")
    view.on("request", lambda request: requests.append(request.url) if request.url.startswith("http") else None)
    view.route("http*://**", lambda route: route.abort())
    view.on("pageerror", lambda error: errors.append(str(error)))
    view.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    try:
        view.goto(page.resolve().as_uri())
        view.wait_for_function("!window.MathJax || !MathJax.startup || !!MathJax.startup.document")
        yield view, errors, requests
    finally:
        view.close()


def low_contrast(view: Page) -> list[str]:
    """Return the texts of a page whose contrast axe-core finds too low, as HTML."""
    options: dict[str, Any] = {"runOnly": ["color-contrast"]}
    found = Axe().run(view, options=options).response["violations"]
    return [node["html"] for violation in found for node in violation["nodes"]]


def visit(pages: Sequence[Path]) -> list[Visit]:
    """Return what was met on each page, at two widths and in two themes."""
    visits = []
    with browser() as running:
        for page in pages:
            scrolling, overflow, contrast, errors, requests = {}, 0, {}, 0, 0
            for width, theme in ((WIDE, "light"), (WIDE, "dark"), (NARROW, "light")):
                with opened(running, page, width=width, theme=theme) as (view, own_errors, own_requests):
                    scrolling[width] = view.evaluate(SCROLLING)
                    overflow = max(overflow, view.evaluate(OVERFLOW))
                    if width == WIDE:
                        contrast[theme] = len(low_contrast(view))
                    errors, requests = errors + len(own_errors), requests + len(own_requests)
            visits.append(
                Visit(
                    page.stem, scrolling[WIDE], scrolling[NARROW], overflow, contrast["light"], contrast["dark"],
                    errors, requests,
                )
            )  # fmt: skip
    return visits
