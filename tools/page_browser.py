"""Open built pages in Chromium and measure what a reader meets: bytes, waiting, tab stops, contrast, scrolling, errors.

Chromium is the one of the system (`apt-get install chromium`), driven by Playwright; what WCAG 2.2 asks of a page is
judged by axe-core. The network is refused.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import axe_playwright_python
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--allow-file-access-from-files"]
WIDE, NARROW = 1280, 390  # pixels: a laptop and a phone
THEMES = ("light", "dark")

TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
RULES_OF_COLOUR = ("color-contrast", "link-in-text-block")
RULES_OF_WIDTH = ("target-size", "scrollable-region-focusable")

# axe-core looks at every token of every listing, at every signature, and at every part of a formula, which takes a
# minute on the longest page. So tokens that look the same as an earlier one become plain text, of definitions and of
# entries of the index the first forty stay, and of a formula its box and what screen readers read of it.
WITHOUT_REPETITION = """() => {
  const known = new Set();
  for (const token of document.querySelectorAll('.highlight pre span[class]')) {
    const kind = `${token.closest('.highlight').parentElement.className} ${token.className}`;
    if (known.has(kind) && !token.children.length) token.replaceWith(token.textContent);
    known.add(kind);
  }
  for (const kind of ['dl.py', '.indextable li']) {
    [...document.querySelectorAll(kind)].slice(40).forEach((entry) => entry.remove());
  }
  const boxes = [...document.querySelectorAll('mjx-math')].map((formula) => [formula, formula.getBoundingClientRect()]);
  for (const [formula, {width, height}] of boxes) {
    formula.replaceChildren();
    formula.style.cssText = `display: inline-block; width: ${width}px; height: ${height}px`;
  }
}"""

# What a reader waits for: the first text or picture, and the end of the last task that kept the page from answering.
WATCH_TASKS = """
  window.lastTask = 0;
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) window.lastTask = Math.max(window.lastTask, task.startTime + task.duration);
  }).observe({ type: 'longtask', buffered: true });"""
TIMES = """() => {
  const paint = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0;
  const ready = performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd;
  return [paint, Math.max(paint, ready, window.lastTask)].map(Math.round);
}"""
QUIET = 500  # milliseconds to wait for tasks that begin after the page has loaded
TAB_STOPS = """() => [...document.querySelectorAll('*')].filter((element) =>
  element.tabIndex >= 0 && !element.disabled && element.checkVisibility({visibilityProperty: true})).length"""

# Blocks of code and output whose content is wider than they are.
SCROLLING = """() => [...document.querySelectorAll('.bd-content pre')]
  .filter(block => block.scrollWidth > block.clientWidth + 1).length"""
OVERFLOW = "() => Math.max(0, document.documentElement.scrollWidth - window.innerWidth)"


class Violation(NamedTuple):
    """A rule of axe-core, and the beginning of an element that breaks it."""

    rule: str
    element: str


class Visit(NamedTuple):
    """What was met on one page; errors and requests over all widths and themes, waiting in milliseconds."""

    name: str
    kilobytes: int  # of all files that the page loads, from the disk and so not compressed
    first_paint: int
    interactive: int  # when the page answers
    tab_stops: int
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
    view.add_init_script(WATCH_TASKS)
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


def violations(view: Page, rules: Sequence[str] = ()) -> list[Violation]:
    """Return what axe-core finds wrong with a page by these rules, or by all of WCAG 2.2 A and AA and best practice."""
    if not view.evaluate("!!window.axe"):
        view.evaluate(_axe())
    chosen = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": list(TAGS)}
    # Without preload: axe-core would fetch the style sheets, which a browser refuses for pages on a disk.
    options = {"runOnly": chosen, "resultTypes": ["violations"], "preload": False}
    found = view.evaluate("(options) => axe.run(document, options)", options)["violations"]
    return [Violation(each["id"], node["html"][:200]) for each in found for node in each["nodes"]]


@cache
def _axe() -> str:
    """Return the script of axe-core."""
    (script,) = Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")
    return script.read_text(encoding="utf-8")


def visit(running: Browser, page: Path) -> Visit:
    """Return what was met on a page, at two widths and in two themes."""
    with opened(running, page, width=WIDE, theme="light") as (view, errors, requests):
        files: list[str] = []
        view.on("request", lambda request: files.append(request.url))
        errors.clear()
        requests.clear()
        view.reload()  # now with every file on the list
        view.wait_for_timeout(QUIET)
        first_paint, interactive = view.evaluate(TIMES)
        tab_stops, scroll_wide, overflow = map(view.evaluate, (TAB_STOPS, SCROLLING, OVERFLOW))
        view.emulate_media(reduced_motion="reduce")  # or colours would still be changing while they are judged
        view.evaluate(WITHOUT_REPETITION)
        contrast_light = len(violations(view, RULES_OF_COLOUR))
        view.evaluate("document.documentElement.dataset.theme = 'dark'")
        contrast_dark = len(violations(view, RULES_OF_COLOUR))
        view.set_viewport_size({"width": NARROW, "height": 900})
        return Visit(
            page.stem, _kilobytes(files), first_paint, interactive, tab_stops,
            scroll_wide, view.evaluate(SCROLLING), max(overflow, view.evaluate(OVERFLOW)),
            contrast_light, contrast_dark, len(errors), len(requests),
        )  # fmt: skip


def _kilobytes(addresses: Sequence[str]) -> int:
    """Return the size of the files at these addresses, each counted once."""
    paths = {Path(unquote(urlsplit(address).path)) for address in addresses if address.startswith("file:")}
    return round(sum(path.stat().st_size for path in paths if path.exists()) / 1000)
