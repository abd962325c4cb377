"""Programs in processes of their own: fresh ones, and children of a process that has imported the package.

The import takes longer than most of `tests/programs`, so those run in children of one server: this module, run by
itself. It reads a job per line from standard input, as JSON, and answers with the exit status of each.
"""

import atexit
import functools
import importlib
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[1]
PROGRAMS = ROOT / "tests" / "programs"
PRELOADED = "companion.tasks"  # and with it nearly all of the package
REMOVE_GUARDS = "from tests.faults import injection; injection.remove_named_guards()\n"


def environment(**variables: str) -> dict[str, str]:
    """Return the environment for a process in which `tests` can be imported and one thread computes."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}


def program_code(name: str, *arguments: str) -> str:
    """Return the Python code that runs one of the programs in `tests/programs` with these arguments."""
    path = str(PROGRAMS / f"{name}.py")
    return f"import runpy, sys; sys.argv[1:] = {arguments!r}; runpy.run_path({path!r}, run_name='__main__')"


def run_code(code: str, folder: Path, **variables: str) -> None:
    """Run Python code in `folder`, in a fresh process and without the guards that a test of faults has removed.

    Raises AssertionError with the end of its standard error if it fails.
    """
    done = subprocess.run(
        [sys.executable, "-c", REMOVE_GUARDS + code],
        cwd=folder,
        env=environment(**variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr.strip()[-1000:]}"


def run_program(name: str, folder: Path, *arguments: str) -> None:
    """Run one of `tests/programs` in `folder` like `run_code`, but in a child of the server."""
    errors = folder.with_name(f"{folder.name}.err")  # beside the folder, which stays empty
    code = REMOVE_GUARDS + program_code(name, *arguments)
    server = start_server()
    assert server.stdin is not None
    assert server.stdout is not None
    job = {"code": code, "folder": str(folder), "environment": environment(), "errors": str(errors)}
    print(json.dumps(job), file=server.stdin, flush=True)
    status = int(server.stdout.readline())
    assert status == 0, f"exit {status}: {errors.read_text(encoding='utf-8', errors='replace').strip()[-1000:]}"


@functools.cache
def start_server() -> subprocess.Popen[str]:
    """Start the server; it ends with this process."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.processes"],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)
    return server


def serve() -> None:
    """Fork a child for every job on standard input."""
    importlib.import_module(PRELOADED)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            run_child(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def run_child(job: dict[str, Any]) -> NoReturn:
    """Become the program of a job."""
    status = 1
    try:
        for descriptor, path in enumerate((os.devnull, os.devnull, job["errors"])):
            os.dup2(os.open(path, os.O_CREAT | os.O_RDWR), descriptor)
        os.chdir(job["folder"])
        os.environ.clear()
        os.environ.update(job["environment"])
        exec(job["code"], {"__name__": "__main__"})
        status = 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    serve()
