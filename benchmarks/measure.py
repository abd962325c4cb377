"""Measure two implementations alternately, and what the arithmetic, the memory and Python allow at the least."""

import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

MEGABYTE = 2**20
# Operations that cost some tens of additions and multiplications per element and are no matrix product.
FUNCTIONS = {"tanh", "tanh_", "sigmoid", "sigmoid_", "exp", "_softmax", "_log_softmax", "gelu", "silu"}


class Machine(NamedTuple):
    """The limits of this machine, measured in the same run."""

    flops: float  # additions and multiplications per second, in a product of large matrices
    few_rows: float  # the same where one matrix has five rows: the hypotheses of one picture
    functions: float  # values of tanh per second
    bandwidth: float  # bytes per second, read and written, in sums of arrays larger than any cache
    call: float  # seconds that Python and PyTorch take to call an operation on a single number


class Times(NamedTuple):
    """Seconds of two implementations, measured alternately."""

    ours: list[float]
    partner: list[float]

    @property
    def ratios(self) -> list[float]:
        """Return how many times as long the partner takes, turn by turn, smallest first."""
        return sorted(b / a for a, b in zip(self.ours, self.partner, strict=True))


def seconds(run: Callable[[], Any], *, clock: Callable[[], float] = time.process_time) -> float:
    """Return the seconds of one run: of processor time by default, which other work on the machine hardly changes."""
    start = clock()
    run()
    return clock() - start


def alternate(
    ours: Callable[[], Any], partner: Callable[[], Any], turns: int, *, clock: Callable[[], float] = time.process_time
) -> Times:
    """Measure A B A B ..., so that whatever disturbs the one disturbs the other."""
    pairs = [(seconds(ours, clock=clock), seconds(partner, clock=clock)) for _ in range(turns)]
    return Times(*map(list, zip(*pairs, strict=True)))


def best(run: Callable[[], Any], turns: int = 5) -> float:
    """Return the seconds of the fastest of several runs: a limit of the machine, not of the moment."""
    return min(seconds(run) for _ in range(turns + 1))


def machine() -> Machine:
    """Measure the limits of this machine."""
    a, b, one = torch.randn(1024, 1024), torch.randn(1024, 1024), torch.ones(1)
    few = a[:5].clone()
    small, large, other = torch.randn(250_000), torch.randn(32 * MEGABYTE), torch.randn(32 * MEGABYTE)
    calls = 2000
    return Machine(
        flops=2 * 1024**3 / best(lambda: a @ b),
        few_rows=2 * 1024**2 * len(few) * 100 / best(lambda: [few @ b.mT for _ in range(100)]),  # as nn.Linear does
        functions=len(small) / best(lambda: small.tanh()),
        bandwidth=2 * 4 * len(large) / best(lambda: torch.add(large, 1, out=other)),
        call=best(lambda: [one.add_(1) for _ in range(calls)]) / calls,
    )


class Work(TorchDispatchMode):
    """Count what PyTorch does inside a `with`: calls, arithmetic, bytes moved, and the peak of allocated bytes.

    Bytes moved are those of every operation's inputs and outputs, as if nothing stayed in a cache; views move nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.flops = self.functions = self.bytes = self.held = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        name = function._overloadpacket
        if name not in flop_registry:
            with self:  # a composite operation is counted as its parts
                parts = function.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = function(*args, **kwargs)
        self.calls += 1
        if name in flop_registry:
            self.flops += flop_registry[name](*args, **kwargs, out_val=out)
        outputs = [x for x in tree_leaves(out) if isinstance(x, torch.Tensor)]
        if name.__name__ in FUNCTIONS:
            self.functions += outputs[0].numel()
        if not function.is_view:
            inputs = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
            self.bytes += sum(x.numel() * x.element_size() for x in inputs + outputs)
            for tensor in outputs:
                self._allocate(tensor.untyped_storage())
        return out

    def _allocate(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.held += size
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.held -= size


def count_work(run: Callable[[], Any]) -> Work:
    """Return the work of one run."""
    with Work() as work:
        run()
    return work


def lower_bounds(work: Work, limits: Machine) -> dict[str, float]:
    """Return the seconds that each part of the work needs at the least on this machine."""
    return {
        "arithmetic": work.flops / limits.flops + work.functions / limits.functions,
        "memory": work.bytes / limits.bandwidth,
        "Python": work.calls * limits.call,
    }


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return p where the values grow as `size ** p`: the slope of a line fitted to the logarithms."""
    x, y = (torch.tensor(numbers, dtype=torch.float64).log() for numbers in (sizes, values))
    x = x - x.mean()
    return float((x * y).sum() / (x * x).sum())
