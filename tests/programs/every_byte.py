"""Write a file over another one, and be stopped at every byte and at every call, by a kill or by a full disk.

The kernel stops the writing by the limit to the size of a file: its signal kills where it is let through, and where it
is not, there is an OSError like that of a full disk. Run it in an empty folder, with the word `killed` or `full`.
"""

import os
import resource
import signal
import sys
from pathlib import Path
from typing import NoReturn

from companion import files

OLD, NEW, PATH = b"old" * 40, b"new!" * 30, Path("file")
KILLED = sys.argv[1:] == ["killed"]


def child(limit: int | None, call: tuple[str, bool] | None) -> NoReturn:
    """Write the file with a limit to its size in bytes, or be killed before or after a call of a function of `os`."""
    if limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if KILLED else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if call:
        name, before = call
        real = getattr(os, name)

        def stop(*arguments):
            if not before:
                real(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(os, name, stop)
    try:
        files.atomic_write(PATH, NEW)
    except OSError:
        os._exit(7)
    os._exit(0)


stops: list[tuple[int | None, tuple[str, bool] | None]] = [(limit, None) for limit in range(len(NEW) + 1)]
if KILLED:
    stops += [(None, (name, before)) for name in ("fsync", "chmod", "replace") for before in (True, False)]
failures = 0
for limit, call in stops:
    PATH.write_bytes(OLD)
    pid = os.fork()
    if not pid:
        child(limit, call)
    status = os.waitpid(pid, 0)[1]
    failures += status != 0
    content = PATH.read_bytes()
    assert content in (OLD, NEW), f"torn: {len(content)} bytes after {limit or call}"
    assert content == NEW or status, "no error, and yet it was not written"
    left = [name for name in os.listdir(".") if name != "file"]
    assert KILLED or not left, f"left behind: {left}"
    for name in left:
        os.unlink(name)
assert failures >= len(NEW), failures
