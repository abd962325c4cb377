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
