"""A file written over another one, and stopped at every byte and at every call, by a kill or by a full disk.

The kernel stops it, by the limit to the size of a file: that kills where its signal is let through, and is an OSError
like that of a full disk where it is not. Run in an empty folder, with the word `killed` or without.
"""

import os
import resource
import signal
import sys
from pathlib import Path

from companion import files

old, new, path = b"old" * 100, b"new!" * 75, Path("file")
KILLED = sys.argv[1:] == ["killed"]


def child(limit, call):
    if limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if KILLED else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if call:
        name, before = call
        real = getattr(os, name)

        def stop(*given):
            if not before:
                real(*given)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(os, name, stop)
    try:
        files.write_whole(path, new)
    except OSError:
        os._exit(7)
    os._exit(0)


stops = [(limit, None) for limit in range(len(new) + 1)]
if KILLED:
    stops += [(None, (name, before)) for name in ("fsync", "chmod", "replace") for before in (True, False)]
stopped = 0
for limit, call in stops:
    path.write_bytes(old)
    pid = os.fork()
    if not pid:
        child(limit, call)
    status = os.waitpid(pid, 0)[1]
    stopped += status != 0
    found = path.read_bytes()
    assert found in (old, new), f"torn: {len(found)} bytes after {limit or call}"
    assert found == new or status, "nobody said that it was not written"
    left = [name for name in os.listdir(".") if name != "file"]
    assert KILLED or not left, f"left behind: {left}"
    for name in left:
        os.unlink(name)
assert stopped >= len(new), stopped
