"""Faults that users of other captioners met, each by its smallest input, in `programs/public_cases.sh`: none is here.

The tables in `tests/cases` have more of every kind.
"""

import re
import subprocess
import sys

import pytest

from tests.processes import PROGRAMS, environment

SCRIPT = PROGRAMS / "public_cases.sh"
CASES = 31


def run(folder, *kinds):
    """Run the script with a temporary folder of its own."""
    variables = environment(P=sys.executable, TMPDIR=str(folder))
    return subprocess.run(
        ["bash", str(SCRIPT), *kinds], env=variables, capture_output=True, encoding="utf-8", timeout=900, check=False
    )


@pytest.mark.first
@pytest.mark.slow
def test_none_of_the_public_cases_is_wrong(tmp_path):
    done = run(tmp_path)
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.endswith("| WRONG")] == []
    assert re.match(rf"{CASES} cases, \d+ checks: \d+ right, 0 wrong, ", lines[-1]), done.stderr
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_case_is_shown_and_fails(tmp_path):
    """Here the checks of a kind ask for words that are not there."""
    script = SCRIPT.read_text(encoding="utf-8")
    broken = re.sub(r'"\^ValueError: \.\*wanted"', '"no such words"', script)
    assert broken != script
    (tmp_path / "broken.sh").write_text(broken.replace("${BASH_SOURCE[0]}", str(SCRIPT)), encoding="utf-8")
    done = subprocess.run(
        ["bash", str(tmp_path / "broken.sh"), "F20"],
        env=environment(P=sys.executable),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout.count("| WRONG") == 3
    assert done.stdout.splitlines()[-1] == "1 cases, 3 checks: 0 right, 3 wrong, 0 skipped"


def test_an_unknown_kind_is_refused(tmp_path):
    done = run(tmp_path, "F99")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "there is no such kind: F99\n")
