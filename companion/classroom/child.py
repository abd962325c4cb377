"""The student's process: run the cells of a notebook, then answer calls of its functions.

`box` starts it as `python -m companion.classroom.child LIMITS`. The student's code runs here and can change anything in
this process, so no expected value ever comes here, and the box believes nothing but that values arrived.
"""

import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

PATIENCE_FACTOR = 4.0  # seconds on the clock for one of the processor
PRINT_LIMIT = 20_000  # characters that are kept of all that a student prints


class Timeout(BaseException):
    """The time of a cell or a call is over. Not an Exception, so that `except Exception` does not catch it."""


class Printed:
    """Stand in for standard output: keep the first characters and forget the rest."""

    encoding, errors = "utf-8", "replace"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        """Keep the text while there is room."""
        self.text += str(text)[: PRINT_LIMIT - len(self.text)]
        return len(text)

    def flush(self) -> None:
        """Do nothing."""

    def isatty(self) -> bool:
        """Return that this is no terminal."""
        return False

    def fileno(self) -> int:
        """Return the descriptor of standard output, which leads nowhere here."""
        return 1


def limit_resources(limits: dict[str, float]) -> None:
    """Limit this process and its children: memory, processor time, size and number of files, processes, core dumps.

    Memory is what may be added to the address space of now, which holds PyTorch: with CUDA that is several gigabytes.
    """
    for what, most in (
        (resource.RLIMIT_AS, address_space() + int(limits["memory_gb"] * 2**30)),
        (resource.RLIMIT_CPU, int(limits["cpu_s"])),
        (resource.RLIMIT_FSIZE, 64 * 2**20),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_NPROC, int(limits["processes"])),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(what, (most, most))
        except (ValueError, OSError):  # already lower, or a limit that the system does not have
            continue


def address_space() -> int:
    """Return the bytes of this process's address space, or 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def private_pipes() -> tuple[int, int]:
    """Return new descriptors of standard input and output, and let the usual three lead nowhere."""
    pipes = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    return pipes


def timed(seconds: float, work: Callable[[], Any]) -> Any:
    """Return what `work` returns. Raises Timeout if that takes more than `seconds` of the processor, or far longer.

    The time of the processor does not depend on what else the machine does, so marks do not, either.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_FACTOR * seconds)
    try:
        return work()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def describe(error: BaseException) -> str:
    """Return what happened, and in which line of the student's code, as the end of a sentence."""
    if isinstance(error, Timeout):
        return "did not finish in time: is there an endless loop?"
    line = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith("<ipython-input") or "ipykernel" in frame.filename:
            line = f", in the line `{(frame.line or '').strip()[:100]}`"
    if isinstance(error, SyntaxError) and error.text:
        line = f", in the line `{error.text.strip()[:100]}`"
    message = str(error.args[0] if isinstance(error, SyntaxError) and error.args else error)
    return f"raised {type(error).__name__}: {message[:300]}{line}"


def run_cell(shell: Any, source: str, seconds: float) -> str | None:
    """Run one cell and return what went wrong in it, or None."""
    try:
        result = timed(seconds, lambda: shell.run_cell(source, store_history=False, silent=False))
        error = result.error_before_exec or result.error_in_exec
        return None if error is None else describe(error)
    except BaseException as error:
        return describe(error)


def answer(namespace: dict[str, Any], call: dict[str, Any]) -> dict[str, Any]:
    """Call a function of the student's; return its value and its arguments as they are after the call, or the fault."""
    import torch

    from companion.classroom import protocol

    function = namespace.get(call["name"])
    if not callable(function):
        return {"fault": "missing"}
    torch.manual_seed(0)
    arguments, named = list(call["arguments"]), call["named"]
    try:
        value = timed(call["seconds"], lambda: function(*arguments, **named))
        reply = {"value": value, "arguments": arguments, "named": named}
        protocol.encode(reply)
    except Timeout:
        return {"fault": "late"}
    except protocol.ProtocolError as error:
        return {"fault": "odd", "reason": str(error)}
    except BaseException as error:
        return {"fault": "raised", "reason": describe(error)}
    return reply


def main() -> None:
    """Receive the cells, run each and report on it, then answer calls until the other side closes the pipe."""
    limits = json.loads(sys.argv[1])
    calls, answers = private_pipes()
    import torch
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    from companion.classroom import protocol

    # Kept from the student's code, which may change a module.
    send, receive, closed = protocol.send, protocol.receive, protocol.ClosedError
    torch.set_num_threads(1)
    limit_resources(limits)
    sys.stdout = sys.stderr = Printed()  # type: ignore[assignment]

    def ring(*_: object) -> None:
        raise Timeout

    signal.signal(signal.SIGALRM, ring)
    signal.signal(signal.SIGPROF, ring)
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    for name in ("showtraceback", "showsyntaxerror"):
        setattr(shell, name, lambda *_args, **_named: None)
    try:
        for cell in receive(calls, 60):
            send(answers, run_cell(shell, cell, limits["cell_s"]))
        while True:
            call = receive(calls, 3600, strides=True)
            send(answers, answer(shell.user_ns, call))
    except closed:
        return


if __name__ == "__main__":
    main()
