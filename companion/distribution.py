"""Devices and machines in, one training out: what must be said once, counted together or done by one process alone.

With one process every function here does nothing, and gives back what it was given. Explained in chapter 18.
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
from torch import Tensor, distributed, nn

Precision = Literal["32-true", "bf16-mixed"]  # bfloat16 is twice as fast or more where the processor knows it
Strategy = Literal["auto", "ddp"]  # every process holds the whole model: it is small
PATIENCE = timedelta(hours=12)  # the others wait while the first looks at photographs, validates or writes
T = TypeVar("T")


def start(devices: int = 1, nodes: int = 1, strategy: Strategy = "auto", precision: Precision = "32-true") -> Fabric:
    """Join, or start, `devices` processes on each of `nodes` machines; one process is simply this one.

    ValueError if torchrun has started another number of them.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # each process would announce itself
    started = int(os.environ.get("WORLD_SIZE", devices * nodes))
    if started != devices * nodes:
        asked = f"--devices {devices} --nodes {nodes}"
        fault = ValueError(f"{started} processes were started, and {asked} asks for {devices * nodes}: make them agree")
        raise fault if int(os.environ.get("RANK", 0)) == 0 else SystemExit(1)
    several = strategy == "ddp" or started > 1
    # Every process computes the same buffers, so there is nothing to send at every step.
    parallel = DDPStrategy(timeout=PATIENCE, forward_sync_buffers=False) if several else "auto"
    fabric = Fabric(devices=devices, num_nodes=nodes, strategy=parallel, precision=precision)
    fabric.launch()
    return fabric


def processes() -> int:
    """How many there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which one this is, counted from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def share(count: int) -> slice:
    """Which of the `count` pictures of a batch are this process's: every how-many-eth, from its own rank on.

    A batch with fewer pictures than there are processes goes to each of them whole, so that nobody's is empty.
    """
    return slice(rank(), None, processes()) if count >= processes() else slice(None)


def average(x: Float[Tensor, ""]) -> float:
    """The mean of a number over all processes."""
    total = x.clone()
    if processes() > 1:
        distributed.all_reduce(total)
    return float(total) / processes()


def fail(why: str) -> NoReturn:
    """ValueError in the first process; the others, which must have come to the same end, leave without a word."""
    raise ValueError(why) if rank() == 0 else SystemExit(1)


def first(fabric: Fabric, work: Callable[[], T]) -> T | None:
    """What `work` gives, done by the first process while the others wait; they get None.

    If it fails there, the others end without a word.
    """
    done, fault = None, None
    if fabric.is_global_zero:
        try:
            done = work()
        except (ValueError, OSError) as error:
            fault = error
    if fabric.broadcast(fault is not None):
        raise fault or SystemExit(1)
    return done


def in_turn(fabric: Fabric, work: Callable[[], T]) -> T:
    """What `work` gives, in every process: first in the first, which may write what the others then find or fail."""
    done = first(fabric, work)
    return work() if done is None else done


def weighed(mean: Float[Tensor, ""], count: Tensor | int) -> Float[Tensor, ""]:
    """A mean over `count` things of this process, so that its average over processes is the mean over all the things.

    Fabric averages gradients over processes; with captions of other lengths each has another number of words, and the
    average of the means is not the mean. `mean * count / (all counts / processes)` is what has to be averaged.
    """
    if processes() == 1:
        return mean
    everywhere = torch.as_tensor(count, dtype=torch.float32, device=mean.device).clone()
    distributed.all_reduce(everywhere)
    return mean * (count * processes() / everywhere)


class Summed(torch.autograd.Function):
    """The sum of a tensor over all processes; the gradient is the sum of the gradients."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        """Any shape, the same in every process."""
        x = x.clone()
        distributed.all_reduce(x)
        return x

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        """What is added to the sum here, every process gets."""
        return Summed.forward(_, gradient)


class BatchNorm(nn.BatchNorm2d):
    """A batch norm over the whole batch, although each process has only its share of it.

    Of a batch that is repeated in every process, `running_var` is too small by a factor of about `1 - 1 / pixels`.
    """

    def forward(self, x: Float[Tensor, "batch channel row col"]) -> Float[Tensor, "batch channel row col"]:
        """In eval mode, an ordinary batch norm (Ioffe and Szegedy 2015, algorithm 1)."""
        if not self.training:
            return super().forward(x)
        wide, axes = x.to(self.weight.dtype), (0, 2, 3)
        count = Summed.apply(torch.tensor(float(x.numel() // x.shape[1]), device=x.device))
        mean = Summed.apply(wide.sum(axes)) / count
        apart = wide - mean[:, None, None]
        variance = Summed.apply((apart**2).sum(axes)) / count
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.momentum is not None
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (apart * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def join_batch_norms(module: nn.Module) -> None:
    """Replace every batch norm in `module` by one over the whole batch, keeping its tensors. Alone, leave them be."""
    if processes() == 1:
        return
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            joined = BatchNorm(child.num_features, child.eps, child.momentum)
            joined.load_state_dict(child.state_dict())
            setattr(module, name, joined)
        join_batch_norms(child)
