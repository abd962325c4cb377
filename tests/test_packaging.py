"""What is installed: pinned requirements that agree with pyproject.toml, and a wheel that holds the package alone."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REQUIREMENTS = (ROOT / "requirements.txt").read_text()
# A package, its version, perhaps a marker, and the digests of its files on the lines that follow.
PIN = re.compile(r"^([\w.-]+)==(\S+)( ; [^\\\n]+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)


def pins(text: str) -> dict[str, str]:
    """Return the version of every pinned package by its normalised name."""
    lines = re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in lines}


def direct_dependencies() -> list[str]:
    """Return every requirement that pyproject.toml names: of the package, of its extras, of the dependency groups."""
    groups = PROJECT["dependency-groups"]
    named = [line for group in groups.values() for line in group if isinstance(line, str)]
    extras = [line for extra in PROJECT["project"]["optional-dependencies"].values() for line in extra]
    return sorted({*PROJECT["project"]["dependencies"], *extras, *named})


def test_every_requirement_is_pinned_with_the_digests_of_its_files():
    lines = re.sub(r"^ *#.*\n", "", REQUIREMENTS, flags=re.MULTILINE)
    assert PIN.sub("", lines).strip() == ""
    assert len(PIN.findall(lines)) == len(pins(REQUIREMENTS)) > 100


@pytest.mark.parametrize("dependency", direct_dependencies())
def test_the_pins_satisfy_pyproject(dependency):
    requirement = Requirement(dependency)
    pinned = pins(REQUIREMENTS) | pins((ROOT / "requirements-torch.txt").read_text())
    assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


def test_the_group_dev_includes_the_others():
    groups = PROJECT["dependency-groups"]
    assert {entry["include-group"] for entry in groups["dev"]} == set(groups) - {"dev"}


def test_the_head_of_the_requirements_is_that_of_pyproject_and_is_what_make_does():
    head = PROJECT["tool"]["uv"]["pip"]["custom-compile-command"].strip()
    assert head in REQUIREMENTS
    documented = re.findall(r"^#   pip install (.*)$", head, re.MULTILINE)
    assert documented == re.findall(r"^\t@\$\(PIP\) (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert documented == re.findall(
        r"^pip install --no-cache-dir (.*)$", (ROOT / ".binder" / "postBuild").read_text(), re.MULTILINE
    )


def test_jupyter_book_stays_at_version_1():
    assert pins(REQUIREMENTS)["jupyter-book"].startswith("1."), "jupyter-book 2 ignores _config.yml and exits 0"


def test_pre_commit_runs_the_versions_that_make_test_runs():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    versions = {Path(hook["repo"]).name.removesuffix("-pre-commit"): hook["rev"].removeprefix("v") for hook in hooks}
    assert versions == {name: pins(REQUIREMENTS)[name] for name in ("ruff", "codespell")}


def test_the_wheel_holds_the_package_its_weights_and_its_types_and_nothing_else(tmp_path):
    source = tmp_path / "source"
    for folder in ("companion", "tools", "tests", "benchmarks"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (ROOT / "pyproject.toml", ROOT / "README.md", *ROOT.glob("LICENSE*")):
        shutil.copy(path, source)
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(tmp_path), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    files = {name for name in zipfile.ZipFile(wheel).namelist() if not re.match(r"[\w.-]+\.dist-info/", name)}
    kinds = (".css", ".js", ".json", ".py", ".safetensors", ".tsv", ".txt", ".typed")
    kept = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "companion").rglob("*")
        if path.is_file() and (path.suffix in kinds or path.name == "LICENSE")
    }
    assert files == kept
    assert {"companion/py.typed", "companion/weights/photos/weights.safetensors"} <= files
