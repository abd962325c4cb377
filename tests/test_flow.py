"""Following a picture through the package never leads back: a module imports only from those that stand before it."""

import ast
from pathlib import Path

import companion

ORDER = [
    "files", "vocabulary", "scenes", "photos", "collecting", "datasets", "archives", "downloads", "batches", "shards",
    "augment", "encoders", "features", "averages", "attention", "mechanisms", "decoders", "ensemble", "decoding",
    "captioner", "pipeline", "ngrams", "metrics", "grounding", "evaluation", "plots", "cards", "checkpoints",
    "distribution", "rewards", "losses", "training", "recipes", "joining", "apps", "commands", "cli", "authoring",
]  # fmt: skip


def modules(package: Path) -> list[Path]:
    """Every source file of the package but its own __init__ (which is looked at on its own)."""
    return sorted(path for path in package.rglob("*.py") if path != package / "__init__.py")


def stage(path: Path, package: Path) -> str:
    """companion/scenes/world.py and companion/scenes.py are both "scenes"."""
    return path.relative_to(package).with_suffix("").parts[0]


def imported(path: Path, package: Path) -> set[str]:
    """The stages that a file imports anywhere in it, also inside functions and by relative imports."""
    here = (package.name, *path.relative_to(package).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: len(here) + 1 - node.level]) if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            names = [f"{source}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith(f"{package.name}.")}
    return found - {"__version__"}


def back_edges(package: Path, order: list[str]) -> list[str]:
    """One line for every import that leads from a module to a later one."""
    return [
        f"{path.relative_to(package)} imports {name}, which comes later"
        for path in modules(package)
        for name in sorted(imported(path, package) - {stage(path, package)})
        if order.index(name) > order.index(stage(path, package))
    ]


PACKAGE = Path(companion.__file__).parent


def test_every_module_has_its_place_in_the_order():
    missing = {stage(path, PACKAGE) for path in modules(PACKAGE)} - set(ORDER)
    assert not missing, f"not in ORDER at the top of {Path(__file__).name}: {sorted(missing)}"


def test_no_module_imports_from_a_later_one():
    assert not back_edges(PACKAGE, ORDER)


def test_the_package_itself_imports_none_of_its_modules():
    assert not imported(PACKAGE / "__init__.py", PACKAGE)


def test_a_back_edge_is_found_however_it_is_written(tmp_path):
    package = tmp_path / "toy"
    (package / "late").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "late" / "part.py").write_text("from toy import early\nfrom ..early import x\nfrom . import other\n")
    plain = ("import toy.late", "from toy import late", "from toy.late.part import x")
    for line in (*plain, "from . import late", "def f():\n    from .late import x"):
        (package / "early.py").write_text(line)
        assert back_edges(package, ["early", "late"]) == ["early.py imports late, which comes later"], line
    (package / "early.py").write_text("import torch\nfrom collections import late\n")
    assert not back_edges(package, ["early", "late"])
