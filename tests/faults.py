"""A guard named by its place and its text, and the same code without it: what shows that a test of the guard can fail.

Imported by tests, and by the programs that tests run in processes of their own (`REMOVED` names what to take away).
"""

import importlib
import inspect
import json
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Guard(NamedTuple):
    """`text` in the source of `place` ("module.function", "module.Class.method"), and what stands there without it.

    An empty `text` stands for the whole: `instead` is then an expression for the value of "module.name".
    """

    place: str
    text: str
    instead: str


def take_away(guards: list[Guard], setattr: Callable = setattr) -> None:
    """Put the unguarded code in the place of each guarded one. AssertionError if a guard is not where it should be."""
    for place, text, instead in guards:
        module, *path, last = place.split(".")
        found = owner = importlib.import_module(f"companion.{module}")
        for name in path:
            owner = getattr(owner, name)
        if not text:
            setattr(owner, last, eval(instead, found.__dict__))
            continue
        source = textwrap.dedent(inspect.getsource(getattr(owner, last)))
        assert source.count(text) == 1, f"{place} holds {text!r} {source.count(text)} times: has the guard moved?"
        made: dict = {}
        exec(compile(source.replace(text, instead), f"<{place} without its guard>", "exec"), found.__dict__, made)
        setattr(owner, last, made[last])


def environment(**more: str) -> dict[str, str]:
    """That of this process, for one in which the helpers of the tests can be imported and one thread computes."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1", **more}


def run_of(name: str, *arguments: str) -> str:
    """The code that runs one of the programs in tests/programs."""
    path = str(Path(__file__).parent / "programs" / f"{name}.py")
    return f"import runpy, sys; sys.argv[1:] = {arguments!r}; runpy.run_path({path!r}, run_name='__main__')"


def take_away_named() -> None:
    """In a process that a test started: take away the guards that the test wrote into its environment."""
    take_away([Guard(*guard) for guard in json.loads(os.environ.get("REMOVED", "[]"))])


def refused(call: Callable[[], object], *words: str) -> None:
    """AssertionError that says what happened instead, unless `call` ends in a ValueError of one line with `words`."""
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
        raise AssertionError("taken")
