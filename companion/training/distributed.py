"""Training in several processes: start them, share a batch among them, and reduce over them.

With one process every function here returns what it was given. Explained in the chapter on more than one machine.
"""

import logging
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal, NoReturn, TypeVar

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, nn
from torch import distributed as dist

Precision = Literal["32-true", "bf16-mixed"]  # bfloat16 is at least twice as fast on processors that support it
Strategy = Literal["auto", "ddp"]  # every process holds the whole model: it is small
TIMEOUT = timedelta(hours=12)  # how long the others wait while rank zero encodes photographs, validates or writes
T = TypeVar("T")


def launch(
    devices: int = 1, nodes: int = 1, *, strategy: Strategy = "auto", precision: Precision = "32-true"
) -> Fabric:
    """Start, or join, `devices` processes on each of `nodes` machines; one process is simply this one.

    Raises:
        ValueError: torchrun has started another number of processes (rank zero; the others exit with status 1).
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # each process would announce itself
    started = int(os.environ.get("WORLD_SIZE", devices * nodes))
    if started != devices * nodes:
        asked = f"--devices {devices} --nodes {nodes}"
        error = ValueError(f"{started} processes were started, and {asked} asks for {devices * nodes}: make them agree")
        raise error if int(os.environ.get("RANK", 0)) == 0 else SystemExit(1)
    several = strategy == "ddp" or started > 1
    # Every process computes the same buffers, so there is nothing to send at every step.
    parallel = DDPStrategy(timeout=TIMEOUT, forward_sync_buffers=False) if several else "auto"
    fabric = Fabric(devices=devices, num_nodes=nodes, strategy=parallel, precision=precision)
    fabric.launch()
    return fabric


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the index of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def rank_slice(count: int) -> slice:
    """Return this process's part of a batch of `count` pictures: indices rank, rank + world size, and so on.

    A batch with fewer pictures than there are processes goes to each of them whole, so that no part is empty.
    """
    return slice(rank(), None, world_size()) if count >= world_size() else slice(None)


def all_reduce_mean(x: Float[Tensor, ""]) -> float:
    """Return the mean of a number over all processes."""
    total = x.clone()
    if world_size() > 1:
        dist.all_reduce(total)
    return float(total) / world_size()


def fail(message: str) -> NoReturn:
    """Raise ValueError in rank zero, and exit the other processes, which must call this too, without a message."""
    raise ValueError(message) if rank() == 0 else SystemExit(1)


def on_rank_zero(fabric: Fabric, work: Callable[[], T]) -> T | None:
    """Run `work` in rank zero while the others wait; return its result there and None in the others.

    If it raises ValueError or OSError there, the others exit without a message.
    """
    result, error = None, None
    if fabric.is_global_zero:
        try:
            result = work()
        except (ValueError, OSError) as raised:
            error = raised
    if fabric.broadcast(error is not None):
        raise error or SystemExit(1)
    return result


def rank_zero_first(fabric: Fabric, work: Callable[[], T]) -> T:
    """Run `work` in rank zero and then in the others, which find what it has written; return its result."""
    result = on_rank_zero(fabric, work)
    return work() if result is None else result


def global_mean(mean: Float[Tensor, ""], count: Tensor | int) -> Float[Tensor, ""]:
    """Weight a mean over `count` items so that its average over the processes is the mean over the items of all.

    Fabric averages gradients over the processes. Their captions have different lengths, hence different numbers of
    words, and then the average of the means is not the mean. What has to be averaged is
    `mean * count / (sum of all counts / processes)`.
    """
    if world_size() == 1:
        return mean
    total = torch.as_tensor(count, dtype=torch.float32, device=mean.device).clone()
    dist.all_reduce(total)
    return mean * (count * world_size() / total)


class AllReduceSum(torch.autograd.Function):
    """The sum of a tensor over all processes, with a gradient: the sum of their gradients."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        """Return the sum of `x`, of any shape, the same in every process."""
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        """Return the sum of the gradients: every process's `x` is part of every process's result."""
        return AllReduceSum.forward(_, gradient)


class SyncBatchNorm(nn.BatchNorm2d):
    """A batch norm whose statistics are those of the whole batch, of which each process has a part.

    Of a batch that every process has whole, `running_var` is too small by a factor of about `1 - 1 / pixels`. PyTorch's
    class of this name does not run on CPUs.
    """

    def forward(self, x: Float[Tensor, "batch channel row col"]) -> Float[Tensor, "batch channel row col"]:
        """Return the normalised batch (Ioffe and Szegedy 2015, algorithm 1); in eval mode as any batch norm."""
        if not self.training:
            return super().forward(x)
        wide, axes = x.to(self.weight.dtype), (0, 2, 3)
        count = AllReduceSum.apply(torch.tensor(float(x.numel() // x.shape[1]), device=x.device))
        mean = AllReduceSum.apply(wide.sum(axes)) / count
        centred = wide - mean[:, None, None]
        variance = AllReduceSum.apply((centred**2).sum(axes)) / count
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.momentum is not None
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def convert_sync_batchnorm(module: nn.Module) -> None:
    """Replace every batch norm in `module`, in place, by a `SyncBatchNorm` with its tensors; none with one process."""
    if world_size() == 1:
        return
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            synced = SyncBatchNorm(child.num_features, child.eps, child.momentum)
            synced.load_state_dict(child.state_dict())
            setattr(module, name, synced)
        convert_sync_batchnorm(child)
