"""A captioner and stored examples in, a trained captioner out, whatever interrupts it. Explained in chapter 11.

The loop runs on Lightning Fabric, so the same lines serve one CPU and many GPUs (chapter 18). Every epoch is seeded by
its number and leaves a file from which training goes on, bit for bit, as if it had never stopped.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from lightning_fabric import Fabric
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as bytes_of
from torch import Tensor, nn
from tqdm import tqdm

from companion import distribution
from companion.captioner import Captioner, Source
from companion.checkpoints import set_weights, trained_weights
from companion.distribution import weighed
from companion.files import write_whole
from companion.losses import caption_loss, doubly_stochastic, forget, shown_loss
from companion.rewards import Judge, self_critical_loss
from companion.vocabulary import Vocabulary


class Batch(NamedTuple):
    """Some pictures and their captions: what one step of training sees."""

    source: Source
    tokens: Int[Tensor, "batch beam word"]
    pictures: Int[Tensor, "batch"] | None = None  # their numbers in the training set, for a judge
    shown: Bool[Tensor, "batch beam next place"] | None = None  # where the things are that the *next* word speaks of


class Plan(NamedTuple):
    """The numbers of one training run."""

    epochs: int
    rate: float  # the highest learning rate
    batch: int = 32  # pictures a step
    captions: int = 5  # of each picture
    decay: float = 0.01  # of the weights (AdamW)
    warm_up: float = 0.1  # share of the steps in which the rate rises; of those with the judge, too
    smoothing: float = 0.0  # share of the probability given to all words alike
    doubly: float = 0.0  # weight of the doubly stochastic term
    shown: float = 0.0  # weight of being shown where each word's thing is
    forget: float = 0.0  # share of the words read that are replaced by <unk>
    clip: float = 5.0  # longest gradient
    seed: int = 0
    judged: int = 0  # epochs after the others in which the model learns from a judge of its own captions
    judged_rate: float = 1e-4
    temperature: float = 1.0  # of the captions that it says to the judge
    least: float = 0.1  # pictures whose captions the judge finds worth the same, but for this, are passed over


def rate_at(step: int, steps: int, highest: float, warm_up: float) -> float:
    """The learning rate: for a share of the steps a straight line up, then half a cosine down to nothing."""
    rise = max(1, round(warm_up * steps))
    if step < rise:
        return highest * (step + 1) / rise
    return highest * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def fit(
    captioner: Captioner,
    batches: Callable[[torch.Generator], Iterator[Batch]],
    steps_an_epoch: int,
    plan: Plan,
    out: Path | str,
    validate: Callable[[Captioner], dict[str, float]],
    resume: bool = False,
    fabric: Fabric | None = None,
    judge: Judge | None = None,
    unseen: tuple[Callable[[torch.Generator], Iterator[Batch]], int] | None = None,
) -> list[dict[str, Any]]:
    """Train `captioner` in place and return the log: a record an epoch, also written to `out/log.jsonl`.

    `batches(generator)` gives the batches of one epoch, of each this process's share (`distribution.share`);
    `validate(captioner)` gives scores, which are logged and decide nothing. The first process alone validates, writes
    and keeps the log. In the epochs of `plan.judged` the `judge` of the model's own captions takes the place of the
    references; the loss logged there says how far the model moved, not how good it is. Those epochs are made of
    `unseen`, if it is given: other batches, and how many of them there are. `out/training.safetensors` holds what
    `resume` needs: it is written after every epoch, and read at the start. ValueError if it is damaged or belongs to
    another plan, and when the loss is no longer a number.
    """
    assert judge or not plan.judged, "a plan with judged epochs needs a judge"
    out, fabric = Path(out), fabric or distribution.start()
    distribution.join_batch_norms(captioner)
    optimizer = torch.optim.AdamW(parameter_groups(captioner, plan.decay), lr=plan.rate, betas=(0.9, 0.98))
    model, optimizer = fabric.setup(captioner, optimizer)
    log = distribution.in_turn(fabric, lambda: load_training(captioner, optimizer, plan, out) if resume else [])
    if fabric.broadcast(len(log)) != len(log):
        raise ValueError(f"{out}: here it holds {len(log)} epochs, for the first process it does not; share the folder")
    for epoch in range(len(log), plan.epochs + plan.judged):
        judged = epoch >= plan.epochs
        # With the judge the rate rises and falls once more.
        first, epochs, highest = (plan.epochs, plan.judged, plan.judged_rate) if judged else (0, plan.epochs, plan.rate)
        feed, steps = unseen if judged and unseen else (batches, steps_an_epoch)
        began = time.perf_counter()
        torch.manual_seed(plan.seed * 10_000 + epoch + 10**9 * fabric.global_rank)  # no dropout like another's
        generator = torch.Generator().manual_seed(plan.seed * 10_000 + epoch)
        captioner.train(not judged)
        total = torch.zeros((), device=fabric.device)
        shown = tqdm(feed(generator), f"epoch {epoch + 1}", steps, False, disable=not fabric.is_global_zero)
        for i, batch in enumerate(shown):
            batch = fabric.to_device(batch)
            with fabric.autocast():
                if judged and judge:
                    loss = self_critical_loss(
                        model, captioner, batch.source, batch.pictures, judge, plan.temperature, plan.least
                    )
                else:
                    loss = cross_entropy(model, captioner, batch, plan)
            rate = rate_at((epoch - first) * steps + i, epochs * steps, highest, plan.warm_up)
            total += train_step(fabric, model, optimizer, loss, plan.clip, rate)
        mean = distribution.average(total / steps)
        if not math.isfinite(mean):  # before anything is saved, so that the last good epoch stays
            distribution.fail(f"epoch {epoch + 1}: the loss is {mean}; try a rate below {plan.rate}")
        if fabric.is_global_zero:
            record = {"epoch": epoch + 1, "loss": round(mean, 4), **rounded(validate(captioner.eval()))}
            log.append(record | {"seconds": round(time.perf_counter() - began, 1)})
            save_training(captioner, optimizer, plan, out, log)
            tqdm.write("  ".join(f"{k} {v}" for k, v in log[-1].items()))
        fabric.barrier()
    return log


def cross_entropy(model: nn.Module, captioner: Captioner, batch: Batch, plan: Plan) -> Tensor:
    """The loss of a batch under teacher forcing, with those of the other terms that the plan has."""
    inputs, targets = batch.tokens[..., :-1], batch.tokens[..., 1:]
    grid = captioner.look(batch.source)
    step = model(grid, forget(inputs, plan.forget) if plan.forget else inputs)
    loss = weighed(caption_loss(step.logits, targets, plan.smoothing), (targets != Vocabulary.pad).sum())
    if plan.doubly:
        loss = loss + plan.doubly * weighed(doubly_stochastic(step.weights, targets), targets[..., 0].numel())
    if plan.shown and batch.shown is not None:
        taught = shown_loss(captioner, grid, step.weights, targets, batch.shown)
        loss = loss + plan.shown * weighed(taught, batch.shown.any(-1).sum())
    return loss


def train_step(fabric: Fabric, model: nn.Module, optimizer: Any, loss: Tensor, clip: float, rate: float) -> Tensor:
    """One step down the gradient of the loss; returns the loss."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    fabric.backward(loss)
    fabric.clip_gradients(model, optimizer, max_norm=clip, error_if_nonfinite=False)
    optimizer.step()
    return loss.detach()


def parameter_groups(captioner: Captioner, decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases, norms and single vectors do not."""
    trained = [p for p in captioner.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def rounded(scores: dict[str, float]) -> dict[str, float]:
    """Scores to four places, as the log and the card show them."""
    return {k: round(float(v), 4) for k, v in scores.items()}


def save_training(captioner: Captioner, optimizer: Any, plan: Plan, out: Path, log: list[dict[str, Any]]) -> None:
    """Weights, the optimizer's moments, the plan and the log in one file, replaced whole."""
    tensors = {f"model.{k}": v.contiguous() for k, v in trained_weights(captioner).items()}
    for i, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": v for k, v in moments.items()}
    about = {"plan": json.dumps(plan), "log": json.dumps(log), "settings": json.dumps(captioner.settings)}
    out.mkdir(parents=True, exist_ok=True)
    # The log first: after a stop between the two it is an epoch ahead, and resuming writes that epoch again.
    write_whole(out / "log.jsonl", "".join(json.dumps(record) + "\n" for record in log).encode())
    write_whole(out / "training.safetensors", bytes_of(tensors, metadata=about))


def load_training(captioner: Captioner, optimizer: Any, plan: Plan, out: Path) -> list[dict[str, Any]]:
    """Put back what `save_training` wrote and return its log; an empty log if nothing was written yet.

    ValueError, naming the file, if it is damaged or of another run.
    """
    path = out / "training.safetensors"
    if not path.exists():
        return []
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        written = {key: json.loads(about[key]) for key in ("plan", "settings", "log")}
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: cannot be resumed from ({error}); delete it to start again") from None
    if (written["plan"], written["settings"]) != (list(plan), captioner.settings):
        other = f"{about['plan']}, {about['settings']}"
        raise ValueError(f"{path}: belongs to another run ({other}); use its settings or another --out")
    try:
        put_back(captioner, optimizer, tensors)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; delete it to start again") from None
    return written["log"]


def put_back(captioner: Captioner, optimizer: Any, tensors: dict[str, Tensor]) -> None:
    """The tensors of `save_training`, each to where it came from. ValueError if they are not this captioner's."""
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    set_weights(captioner, parts["model"])
    state = optimizer.state_dict()
    for name, tensor in parts["optimizer"].items():
        i, _, key = name.partition(".")
        state["state"].setdefault(int(i), {})[key] = tensor
    optimizer.load_state_dict(state)
