"""A Sphinx extension: what needs the repository's address is on the pages if `_config.yml` has one, and only then.

`repository.url` in `_config.yml` is the one place where the address stands. While it is empty, nothing leads to a
repository: no button to launch, edit, clone or report. `repository_url` returns it to other tools.
"""

from pathlib import Path
from typing import Any

import yaml
from sphinx.application import Sphinx
from sphinx.config import Config

CONFIG = Path(__file__).resolve().parents[1] / "_config.yml"
BUTTONS = ("use_repository_button", "use_issues_button", "use_edit_page_button")


def repository_url(config: Path = CONFIG) -> str:
    """Return the address of the repository without a slash at its end, or an empty string."""
    settings: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
    return str(settings.get("repository", {}).get("url") or "").rstrip("/")


def choose_buttons(app: Sphinx, config: Config) -> None:
    """Switch the buttons that need a repository on or off."""
    options = config.html_theme_options
    published = bool(options.get("repository_url"))
    options.update(dict.fromkeys(BUTTONS, published))
    if not published:
        options.pop("launch_buttons", None)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension to Sphinx, which calls this."""
    app.connect("config-inited", choose_buttons, priority=100)  # before the theme reads its options
    return {"parallel_read_safe": True}
