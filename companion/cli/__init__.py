"""The command `companion`: `parser` declares the commands and their options, `arguments` checks what was typed,
`commands` does the work, and `captioning` with `figures` that of `companion caption`. None of them imports anything
heavy, so that `companion --help` answers at once.
"""

from companion.cli.parser import build_parser, main

__all__ = ["build_parser", "main"]
