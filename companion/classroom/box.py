"""The box: run a student's notebook in a process of its own, and call its functions from here.

Only values cross (`protocol`), in both directions. What the answers should be stays here, where the student's code
cannot reach it. Entry point: `Box`.
"""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from companion.classroom import fence, protocol
from companion.classroom.child import PATIENCE_FACTOR
from companion.classroom.mistake import BoxError, Mistake

RESTARTS = 3  # after so many deaths of its process a notebook is given up
GRACE = 3.0  # seconds that are waited beyond the limit that the student's process keeps itself


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a notebook may use.

    Seconds of the processor for a cell, for a call and for all; seconds on the clock until Python and torch have
    started; memory in GiB; processes.
    """

    cell_s: float = 20.0
    call_s: float = 5.0
    start_s: float = 60.0
    memory_gb: float = 3.0
    cpu_s: float = 300.0
    processes: int = 64


class Box:
    """The functions of one notebook, in a process that begins with the first call and ends with `close`.

    A process that dies is started again without the cell that killed it; a function that killed it, or did not come to
    an end, is not called again. So either costs its own question alone.

    Args:
        cells: the code cells in order, the teacher's set-up cell first.
        fenced: run it behind the fence; without it, the code can read and change what its user can.
        limits: what it may use.
        readable: paths that can be read inside the fence, too.
    """

    def __init__(
        self, cells: Sequence[str], *, fenced: bool, limits: Limits | None = None, readable: Sequence[str] = ()
    ):
        self.cells = list(cells)
        self.readable = list(readable)
        self.fenced = fenced
        self.limits = limits or Limits()
        self.cell_faults: dict[int, str] = {}  # by the number of the cell; the set-up cell has number 0
        self._broken: dict[str, str] = {}  # functions that are not called again, and why
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._deaths = 0

    def __enter__(self) -> "Box":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, name: str, arguments: Sequence[Any] = (), named: Mapping[str, Any] | None = None) -> Any:
        """Return what the student's function returns. Tensors that it changes in place are changed here, too.

        Raises:
            Mistake: it is missing, raises, does not end, ends the process, or returns what may not pass.
        """
        named = dict(named or {})
        if name in self._broken:
            raise Mistake(self._broken[name])
        if self._process is None:
            self._start()
        try:
            reply = self._exchange(name, arguments, named)
        except protocol.LateError:
            raise self._give_up(name, self._late(name)) from None
        except protocol.ClosedError:
            reason = f"{name} ended the Python process (by exit, a crash, or too much memory)."
            raise self._give_up(name, reason) from None
        except protocol.ProtocolError as error:
            raise self._give_up(name, f"{name} returned {error}.") from None
        return self._read_reply(name, reply, list(arguments), named)

    def _exchange(self, name: str, arguments: Sequence[Any], named: dict[str, Any]) -> Any:
        """Send a call and return the reply."""
        call = {"name": name, "arguments": list(arguments), "named": named, "seconds": self.limits.call_s}
        self._send(call)
        return self._receive(PATIENCE_FACTOR * self.limits.call_s + GRACE)

    def _read_reply(self, name: str, reply: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Return the value in a reply, or raise the Mistake that it reports; it may hold anything."""
        fault = reply.get("fault") if type(reply) is dict else "odd"
        if fault == "missing":
            raise Mistake(f"There is no function called {name}.{self._first_cell_fault()}")
        if fault == "late":
            self._broken[name] = self._late(name)
            raise Mistake(self._broken[name])
        if fault is None and {"value", "arguments", "named"} <= set(reply):
            _copy_changes(arguments, reply["arguments"])
            _copy_changes(named, reply["named"])
            return reply["value"]
        reason = str(reply.get("reason", "something strange") if type(reply) is dict else "something strange")[:500]
        raise Mistake(f"{name} {reason}" if fault == "raised" else f"{name} returned {reason}.")

    def _late(self, name: str) -> str:
        return f"{name} did not finish within {self.limits.call_s:g} seconds: is there an endless or a slow loop?"

    def _first_cell_fault(self) -> str:
        """Return a sentence about the first cell that failed, or nothing."""
        return next((f" Cell {number} {fault}." for number, fault in sorted(self.cell_faults.items())), "")

    def _give_up(self, name: str, reason: str) -> Mistake:
        """End the process, and let the function be called no more."""
        self._broken[name] = reason
        self._stop()
        return Mistake(reason)

    def _start(self) -> None:
        """Start the process and run all cells, again if one of them kills it. Raises Mistake if that is too often."""
        while self._deaths <= RESTARTS:
            self._launch()
            number = 0
            try:
                self._send(self.cells)
                for number in range(len(self.cells)):
                    first = self.limits.start_s if number == 0 else 0  # for Python and torch
                    report = self._receive(first + PATIENCE_FACTOR * self.limits.cell_s + GRACE)
                    if report is not None:
                        self.cell_faults.setdefault(number, str(report)[:500])
                return
            except protocol.LateError:
                fault = "did not finish in time, and could not be interrupted"
            except (protocol.ClosedError, protocol.ProtocolError):
                fault = "ended the Python process (by exit, a crash, or too much memory)"
            self._stop()
            if number == 0:
                raise BoxError("the process for the notebook does not start: is IPython installed?")
            self.cell_faults[number] = fault
            self.cells[number] = ""  # the other cells are run without it
        raise Mistake(f"The notebook ends its Python process again and again.{self._first_cell_fault()}")

    def _launch(self) -> None:
        """Start the student's process, in an empty folder."""
        limits = json.dumps(dataclasses.asdict(self.limits))
        program = [sys.executable, "-m", "companion.classroom.child", limits]
        if self.fenced:
            command, variables, folder = [*fence.fence_command(self.readable), *program], None, "/"
        else:
            self._folder = tempfile.TemporaryDirectory(prefix="companion-box-", ignore_cleanup_errors=True)
            command, folder = program, self._folder.name
            variables = fence.environment() | {
                "HOME": folder,
                "IPYTHONDIR": str(Path(folder, "ipython")),
                "MPLCONFIGDIR": str(Path(folder, "matplotlib")),
            }
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=variables,
            cwd=folder,
            start_new_session=True,
        )

    def _send(self, value: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        protocol.send(self._process.stdin.fileno(), value)

    def _receive(self, seconds: float) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        return protocol.receive(self._process.stdout.fileno(), seconds)

    def _stop(self) -> None:
        """Kill the process and whatever it has started."""
        self._deaths += 1
        self.close()

    def close(self) -> None:
        """End the process, if there is one, and everything in its session."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _copy_changes(here: Any, there: Any) -> None:
    """Copy into the tensors of the caller what the student's code wrote into its copies of them."""
    keys = here.keys() if isinstance(here, dict) else range(len(here))
    if type(there) is not type(here) or len(there) != len(here):
        return
    for key in keys:
        ours = here[key]
        theirs = there.get(key) if isinstance(there, dict) else there[key]
        if not (isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor)):
            continue
        if (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype):
            with torch.no_grad():
                ours.copy_(theirs)
