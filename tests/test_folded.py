"""Answers and solutions of the book unfold without JavaScript (tools/folded.py)."""

import re
import subprocess
import sys

import pytest

CONFIG = """
extensions = ["myst_parser", "sphinx_exercise", "sphinx_togglebutton", "tools.folded"]
myst_enable_extensions = ["colon_fence"]
"""

PAGE = """# A page

:::{admonition} Answer
:class: dropdown tip
(b). It is **two**.
:::

:::{admonition} What people get wrong
:class: warning
This stays open.
:::

```{exercise} Add
:label: ex-add

One and one?
```

````{solution} ex-add
:class: dropdown

Two.
````
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    (folder / "index.md").write_text(PAGE)
    (folder / "conf.py").write_text(CONFIG)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", str(folder), str(folder / "built")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return (folder / "built" / "index.html").read_text()


def test_an_answer_and_a_solution_are_details(page):
    blocks = re.findall(r"<details(.*?)>\s*<summary.*?>(.*?)</summary>(.*?)</details>", page, re.DOTALL)
    assert [re.sub("<.*?>", "", title) for _, title, _ in blocks] == ["Answer", "Solution to Exercise 1 (Add)"]
    assert "<strong>two</strong>" in blocks[0][2]
    assert "<p>Two.</p>" in blocks[1][2]
    assert all("open" not in attributes for attributes, _, _ in blocks)
    assert 'id="index-solution-1"' in blocks[1][0]


def test_no_script_touches_them(page):
    assert "dropdown" not in page.split("</head>")[1]


def test_other_admonitions_stay_open(page):
    assert re.search(r'<div class="warning admonition">\s*<p class="admonition-title">What people get wrong', page)
