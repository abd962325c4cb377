"""A record of several measurements in one JSON file: each is made once for the same facts, and kept when it is done."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from companion.files import atomic_write


def read(path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record if it was made with these facts (weights, settings), else a new one that holds them alone."""
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    wanted: dict[str, Any] = json.loads(json.dumps(facts))
    return results if all(results.get(name) == fact for name, fact in wanted.items()) else wanted


def complete(path: Path, results: dict[str, Any], work: Mapping[str, Callable[[], Any]]) -> None:
    """Make the measurements that a record lacks, by their names, and write the file after each."""
    for name, measure in work.items():
        if name not in results:
            results[name] = measure()
            lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in results.items())
            atomic_write(path, f"{{\n{lines}\n}}\n".encode())
            print(name, flush=True)
