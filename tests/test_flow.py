"""Imports lead one way: a module imports only what comes before it, and the package knows nothing of its tools."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import companion

# The stages of a picture's path, from which the layers above are built. Each is a module or a package of that name.
ORDER = [
    "files", "tokenizer", "vocabulary", "scenes", "datasets", "attention", "encoders", "patches", "tags", "decoders",
    "matching", "decoding", "models", "metrics", "plots", "model_card", "checkpoints", "exporting", "training", "tasks",
    "apps", "classroom", "cli",
]  # fmt: skip

PACKAGE = Path(companion.__file__).parent
OUTSIDE = ("tools", "tests", "benchmarks", "course")


def modules(package: Path) -> dict[str, Path]:
    """Return every source file of the package by the name of its module."""
    paths = {path.relative_to(package.parent).with_suffix(""): path for path in sorted(package.rglob("*.py"))}
    return {".".join(part for part in module.parts if part != "__init__"): path for module, path in paths.items()}


def stage(module: str) -> str:
    """Return the stage of a module: companion.scenes.world belongs to "scenes"."""
    return module.split(".")[1]


def imported_names(path: Path, package: Path) -> set[str]:
    """Return the full names of all that a file imports, also inside functions and by relative imports."""
    here = (package.name, *path.relative_to(package).parent.parts)
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: len(here) + 1 - node.level]) if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            names |= {f"{source}.{alias.name}" for alias in node.names}
    return names


def imports(package: Path) -> dict[str, set[str]]:
    """Return, for every module of the package, the modules of the package that it imports."""
    known = modules(package)
    graph: dict[str, set[str]] = {}
    for module, path in known.items():
        graph[module] = set()
        for name in imported_names(path, package):
            while name and name not in known:  # a function of a module
                name = name.rpartition(".")[0]
            graph[module] |= {name} - {"", module, package.name}
    return graph


def back_edges(package: Path, order: list[str]) -> list[str]:
    """Return a line for every import that leads from a stage to a later one."""
    graph = imports(package)
    return [
        f"{module} imports {name}, which comes later"
        for module in sorted(graph.keys() - {package.name})
        for name in sorted(graph[module])
        if order.index(stage(name)) > order.index(stage(module))
    ]


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return modules of which each imports the one before it, the first and last being the same; empty if none do."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_every_module_has_its_place_in_the_order():
    assert {stage(module) for module in modules(PACKAGE) if module != "companion"} == set(ORDER)


def test_no_module_imports_from_a_later_stage():
    assert back_edges(PACKAGE, ORDER) == []


def test_within_a_stage_too_no_module_imports_one_that_imports_it():
    assert cycle(imports(PACKAGE)) == []


def test_the_package_itself_imports_none_of_its_modules():
    assert imports(PACKAGE)["companion"] == set()


def test_the_package_imports_nothing_that_is_not_installed_with_it():
    names = {name for path in modules(PACKAGE).values() for name in imported_names(path, PACKAGE)}
    assert {name for name in names if name.split(".")[0] in OUTSIDE} == set()


@pytest.fixture
def toy(tmp_path):
    """A package of a module `early` and a package `late` with a module `part`, all of them empty."""
    package = tmp_path / "toy"
    (package / "late").mkdir(parents=True)
    for name in ("__init__", "early", "late/__init__", "late/part", "late/other"):
        (package / f"{name}.py").touch()
    return package


@pytest.mark.parametrize(
    "line",
    ["import toy.late", "from toy import late", "from . import late", "def f():\n    from .late import x",
     "from toy.late import x"],
)  # fmt: skip
def test_a_back_edge_is_found_however_it_is_written(toy, line):
    (toy / "late" / "part.py").write_text("from toy import early\nfrom ..early import x\nfrom . import other\n")
    (toy / "early.py").write_text(line)
    assert back_edges(toy, ["early", "late"]) == ["toy.early imports toy.late, which comes later"]


def test_other_packages_are_no_back_edge(toy):
    (toy / "early.py").write_text("import torch\nfrom collections import late\n")
    assert back_edges(toy, ["early", "late"]) == []


@pytest.mark.parametrize("line", ["from toy.late.part import x", "from . import part", "import toy.late.part"])
def test_a_cycle_within_a_package_is_found(toy, line):
    (toy / "late" / "other.py").write_text(line)
    assert cycle(imports(toy)) == []
    (toy / "late" / "part.py").write_text("from toy.late.other import y")
    assert len(cycle(imports(toy))) == 3
