"""Dictionaries that students return: whether the entries that are asked for are there, and of the right sheet."""

from typing import Any

from companion.classroom.mistake import Mistake


def check_entries(found: Any, function: str, *keys: str) -> None:
    """Raise Mistake unless what a function returned is a dictionary with these entries."""
    if not isinstance(found, dict) or not set(keys) <= set(found):
        *others, last = (f'"{key}"' for key in keys)
        raise Mistake(f"{function} should return a dictionary with the entries {', '.join(others)} and {last}.")


def check_sheet(found: Any, function: str, variant: Any, *keys: str) -> None:
    """Raise Mistake unless it also has the entry "sheet", and that is the number of the student's variant."""
    check_entries(found, function, "sheet", *keys)
    if found["sheet"] != variant.number:
        raise Mistake(f"The sheet {str(found['sheet'])[:20]!r} is not the one that this student was given.")
