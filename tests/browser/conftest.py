"""A Chromium for the tests of pages, driven by Playwright; the network is refused."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tools import page_browser


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Yield a running browser; tests are skipped where there is none."""
    if page_browser.CHROMIUM is None:
        pytest.skip("there is no Chromium: install it, for example with `apt-get install chromium`")
    with page_browser.browser() as running:
        yield running


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., tuple[Any, list[str], list[str]]]]:
    """Yield a function that opens a file in a window of a width and in a theme: the page, its errors, its requests."""
    with ExitStack() as stack:

        def opened(path: Path, *, width: int = 1280, theme: str = "light") -> tuple[Any, list[str], list[str]]:
            return stack.enter_context(page_browser.opened(chromium, path, width=width, theme=theme))

        yield opened


@pytest.fixture
def page(open_page: Callable[..., tuple[Any, list[str], list[str]]], path: Path) -> Iterator[Any]:
    """Yield the page of a module's own fixture `path`; afterwards there must have been no error and no request."""
    view, errors, requests = open_page(path)
    yield view
    assert errors == []
    assert requests == []


@pytest.fixture
def phone(chromium: Any, path: Path) -> Iterator[Any]:
    """Yield the same page on a phone, whose screen answers to taps."""
    context = chromium.new_context(has_touch=True, viewport={"width": 390, "height": 800})
    view = context.new_page()
    view.goto(path.as_uri())
    yield view
    context.close()
