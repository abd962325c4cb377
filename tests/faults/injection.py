"""Fault injection: a law that holds with its guard, and the harm that is done without it.

A test that passes shows little as long as nobody knows that it can fail. So a row of a fault table names the lines of
the package that guard against the fault; the law is tried with them and without them. A process that a law starts
reads from its environment which guards to remove.
"""

import importlib
import inspect
import json
import os
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

REMOVED = "REMOVED_GUARDS"  # environment variable: the guards that a process removes before it begins, as JSON
T = TypeVar("T")


class Guard(NamedTuple):
    """A piece of the package that prevents a fault, and what stands there without it.

    `place` is a dotted name below `companion`, such as "files.atomic_write". `text` occurs once in its source, and
    `replacement` takes its place. If `text` is empty, the whole object is replaced, by the value of the expression
    `replacement`.
    """

    place: str
    text: str
    replacement: str


class Fault(NamedTuple):
    """One row of a fault table.

    `law(folder)` raises AssertionError if the fault does harm; without the guards it does, with `harm` in the message.
    A row without guards has no line that could be removed. One that takes seconds is `slow`.
    """

    law: Callable[[Path], object]
    guards: Sequence[Guard] = ()
    harm: str = ""
    slow: bool = False


def fault_tests(faults: Mapping[str, Fault]) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return the two tests of a fault table: with its guards a law holds, without them the harm of the row is done."""
    import pytest  # not above: the processes that tests start import this module, too

    names = [pytest.param(name, marks=[pytest.mark.slow] if fault.slow else []) for name, fault in faults.items()]
    kept: set[Callable[[Path], object]] = set()  # laws that were tried with their guards

    @pytest.mark.parametrize("name", names)
    def test_with_its_guard_the_law_holds(name: str, tmp_path: Path) -> None:
        law = faults[name].law
        if law not in kept:  # several rows may share a law
            law(tmp_path)
        kept.add(law)

    @pytest.mark.parametrize("name", [name for name in names if faults[str(name.values[0])].guards])
    def test_without_its_guard_the_harm_is_done(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        law, guards, harm, _ = faults[name]
        # A module that is imported while a guard is away would keep the function without it.
        importlib.import_module("companion.tasks")
        importlib.import_module("companion.apps")
        remove_guards(guards, monkeypatch.setattr)
        monkeypatch.setenv(REMOVED, json.dumps(guards))
        with pytest.raises(AssertionError) as caught:
            law(tmp_path)
        assert harm in str(caught.value)

    return test_with_its_guard_the_law_holds, test_without_its_guard_the_harm_is_done


# -- guards -----------------------------------------------------------------------------------------------------------


def remove_guards(guards: Sequence[Guard], setattr: Callable[[Any, str, Any], None] = setattr) -> None:
    """Replace the guarded code by the unguarded, wherever the package or a test has imported it.

    Raises AssertionError if the text of a guard does not occur exactly once in its place.
    """
    for place, text, replacement in guards:
        module, owner, name = resolve(place)
        original = getattr(owner, name)
        if not text:
            unguarded = eval(replacement, vars(module))
        else:
            source = textwrap.dedent(inspect.getsource(original))
            count = source.count(text)
            assert count == 1, f"{place} holds {text!r} {count} times: has the guard moved?"
            scope: dict[str, Any] = {}
            code = compile(source.replace(text, replacement), f"<{place} without its guard>", "exec")
            exec(code, vars(module), scope)
            unguarded = scope[name]
        setattr(owner, name, unguarded)
        if owner is module and getattr(original, "__module__", None) == module.__name__:
            for other, alias in aliases(original):
                setattr(other, alias, unguarded)


def resolve(place: str) -> tuple[ModuleType, Any, str]:
    """Return the module of a dotted place below `companion`, the object in it that owns the last name, and that name.

    The module is the longest prefix of the place that can be imported; what follows are attributes.
    """
    *path, name = place.split(".")
    for length in range(len(path), 0, -1):
        module_name = ".".join(["companion", *path[:length]])
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise  # the module is there, and something that it imports is not
            continue
        owner = module
        for attribute in path[length:]:
            owner = getattr(owner, attribute)
        return module, owner, name
    raise AssertionError(f"companion has no module {path[0]!r}")


def aliases(original: object) -> list[tuple[ModuleType, str]]:
    """Return the names under which the modules of the package and of the tests have imported an object."""
    modules = [module for name, module in list(sys.modules.items()) if name.split(".")[0] in ("companion", "tests")]
    return [(module, name) for module in modules for name, value in list(vars(module).items()) if value is original]


def remove_named_guards() -> None:
    """In a process that a test started: remove the guards that the test wrote into the environment."""
    remove_guards([Guard(*guard) for guard in json.loads(os.environ.get(REMOVED, "[]"))])


# -- assertions -------------------------------------------------------------------------------------------------------


def attempt(call: Callable[[], T]) -> T:
    """Return what `call` returns. Raises AssertionError, whatever the error was, if it fails."""
    try:
        return call()
    except Exception as error:
        raise AssertionError(f"broken: {type(error).__name__}: {error}") from error


def assert_refused(call: Callable[[], object], *words: str) -> None:
    """Assert that `call` ends in a ValueError of one line that holds these words; else say what happened instead."""
    try:
        call()
    except ValueError as error:
        message = str(error)
        missing = [word for word in words if word not in message]
        assert not missing, f"refused, but not for this: {message}"
        assert len(message.splitlines()) == 1, f"refused in more than one line: {message}"
    except Exception as error:
        raise AssertionError(f"broken: {type(error).__name__}: {error}") from error
    else:
        raise AssertionError("accepted")


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Return the content of every file under a folder by its relative path; None for a subfolder."""
    return {str(f.relative_to(folder)): f.read_bytes() if f.is_file() else None for f in sorted(folder.rglob("*"))}


def assert_unchanged(folder: Path, before: Mapping[str, bytes | None]) -> None:
    """Assert that a folder is what its snapshot says; else name the files that were written."""
    after = snapshot(folder)
    if after != before:
        # Not by `assert`: pytest would compare the contents byte by byte.
        raise AssertionError(f"written: {[name for name in after if after[name] != before.get(name, '')]}")
