"""Two ways of computing the same in; their times, measured in turn, and what the faster one is bound by, out."""

import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

MEGABYTE = 2**20
# What needs some tens of additions and multiplications an element, and is no matrix product.
FUNCTIONS = {"tanh", "tanh_", "sigmoid", "sigmoid_", "exp", "_softmax", "_log_softmax", "gelu", "silu"}


class Machine(NamedTuple):
    """What this machine can do, as measured in the same run."""

    flops: float  # additions and multiplications a second, in a product of large matrices
    few_rows: float  # the same where one matrix has five rows: the hypotheses of one picture
    functions: float  # values of tanh a second
    bandwidth: float  # bytes a second, read and written, in sums of arrays larger than any cache
    call: float  # seconds that Python and PyTorch take to call an operation on a single number


class Times(NamedTuple):
    """Seconds of two things measured in turn."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratios(self) -> list[float]:
        """How many times longer theirs takes, turn by turn, smallest first."""
        return sorted(b / a for a, b in zip(self.ours, self.theirs, strict=True))


def seconds(run: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> float:
    """The time of one run: by default that of the processor, to which it does not matter what else the machine does."""
    began = clock()
    run()
    return clock() - began


def in_turn(
    ours: Callable[[], Any], theirs: Callable[[], Any], turns: int, clock: Callable[[], float] = time.process_time
) -> Times:
    """A B A B ...: whatever disturbs the one disturbs the other."""
    pairs = [(seconds(ours, clock), seconds(theirs, clock)) for _ in range(turns)]
    return Times(*map(list, zip(*pairs, strict=True)))


def best(run: Callable[[], Any], turns: int = 5) -> float:
    """The shortest of some runs: a limit of the machine, not of the moment."""
    return min(seconds(run) for _ in range(turns + 1))


def machine() -> Machine:
    """Measure the limits."""
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
    """Counts what PyTorch does inside a `with`: calls, arithmetic, bytes through memory, and the peak of what is held.

    Bytes are those of every operation's inputs and outputs, as if nothing stayed in a cache; views move nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.flops = self.functions = self.bytes = self.held = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        name = function._overloadpacket
        if name not in flop_registry:
            with self:  # what is made of other operations is counted as those
                parts = function.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = function(*args, **kwargs)
        self.calls += 1
        if name in flop_registry:
            self.flops += flop_registry[name](*args, **kwargs, out_val=out)
        made = [x for x in tree_leaves(out) if isinstance(x, torch.Tensor)]
        if name.__name__ in FUNCTIONS:
            self.functions += made[0].numel()
        if not function.is_view:
            read = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
            self.bytes += sum(x.numel() * x.element_size() for x in read + made)
            for tensor in made:
                self._hold(tensor.untyped_storage())
        return out

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.held += size
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._let_go, key, size)

    def _let_go(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.held -= size


def work(run: Callable[[], Any]) -> Work:
    """What one run does."""
    with Work() as counted:
        run()
    return counted


def floors(counted: Work, limits: Machine) -> dict[str, float]:
    """The least time that each part of the work needs on this machine, in seconds."""
    return {
        "arithmetic": counted.flops / limits.flops + counted.functions / limits.functions,
        "memory": counted.bytes / limits.bandwidth,
        "Python": counted.calls * limits.call,
    }


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The slope of a straight line through the logarithms: p where the values grow as size ** p."""
    x, y = (torch.tensor(numbers, dtype=torch.float64).log() for numbers in (sizes, values))
    x = x - x.mean()
    return float((x * y).sum() / (x * x).sum())
