"""The training loop: epochs of cross-entropy, then epochs of reinforcement learning, resumable after every epoch.

It runs on Lightning Fabric, so the same lines serve one CPU and many GPUs. Every epoch is seeded by its number.
Explained in the chapters on learning and on more than one machine.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from companion.model_card import round_scores
from companion.models import Captioner
from companion.training import distributed
from companion.training.batches import Batch, BatchSource
from companion.training.config import TrainConfig, lr_at
from companion.training.distributed import global_mean
from companion.training.losses import alignment_loss, caption_loss, doubly_stochastic_loss, word_dropout
from companion.training.reinforce import RewardFn, rloo_loss
from companion.training.resume import load_state, reference_model, save_reference, save_state
from companion.vocabulary import Vocabulary

# From the model, as Fabric wraps it, the captioner itself, a batch and the hyperparameters to the loss of the captions.
LossFn = Callable[[nn.Module, Captioner, Batch, TrainConfig], Tensor]


def fit(
    captioner: Captioner,
    batches: BatchSource,
    config: TrainConfig,
    *,
    out: Path | str,
    validate: Callable[[Captioner], dict[str, float]],
    resume: bool = False,
    fabric: Fabric | None = None,
    loss_fn: LossFn | None = None,
    reward_fn: RewardFn | None = None,
    rl_batches: BatchSource | None = None,
) -> list[dict[str, Any]]:
    """Train `captioner` in place and return the log, one record per epoch; it is also written to `out/log.jsonl`.

    Args:
        captioner: what is trained.
        batches: the training data.
        config: hyperparameters.
        out: folder of the log, and of the state that `resume` reads; written after every epoch.
        validate: scores the captioner after every epoch, on the first process alone; the scores are logged and decide
            nothing.
        resume: continue from the last finished epoch in `out`.
        fabric: devices and precision; one CPU process if None.
        loss_fn: the loss of a batch of captions; `cross_entropy` if None.
        reward_fn: scores sampled captions in the `config.rl_epochs`. Their logged loss has the size of an update, not
            of an error.
        rl_batches: the data of those epochs, if it is not `batches`.

    Raises:
        ValueError: the state in `out` is damaged or of another run, or the loss is no longer finite.
    """
    assert reward_fn or not config.rl_epochs, "reinforcement learning needs a reward function"
    out, fabric, loss_fn = Path(out), fabric or distributed.launch(), loss_fn or cross_entropy
    distributed.convert_sync_batchnorm(captioner)
    optimizer = torch.optim.AdamW(parameter_groups(captioner, config.weight_decay), lr=config.lr, betas=(0.9, 0.98))
    model, optimizer = fabric.setup(captioner, optimizer)
    log = distributed.rank_zero_first(
        fabric, lambda: load_state(captioner, optimizer, config, out=out) if resume else []
    )
    if fabric.broadcast(len(log)) != len(log):
        raise ValueError(f"{out}: here it holds {len(log)} epochs, for the first process it does not; share the folder")
    reference = None
    for epoch in range(len(log), config.epochs + config.rl_epochs):
        rl = epoch >= config.epochs
        # The learning rate has one schedule for each of the two phases.
        first, epochs, peak = (config.epochs, config.rl_epochs, config.rl_lr) if rl else (0, config.epochs, config.lr)
        data = rl_batches if rl and rl_batches is not None else batches
        if rl and config.kl_weight and reference is None:
            if epoch == first:
                distributed.on_rank_zero(fabric, lambda: save_reference(captioner, out=out))
            reference = reference_model(captioner, out=out)
        began = time.perf_counter()
        seed = config.seed * 10_000 + epoch
        torch.manual_seed(seed + 10**9 * fabric.global_rank)  # every process has a dropout of its own
        captioner.train(not rl)
        total = torch.zeros((), device=fabric.device)
        progress = tqdm(
            data.epoch(torch.Generator().manual_seed(seed)),
            f"epoch {epoch + 1}",
            len(data),
            leave=False,
            disable=not fabric.is_global_zero,
        )
        for i, batch in enumerate(progress):
            batch = fabric.to_device(batch)
            with fabric.autocast():
                if rl and reward_fn:
                    loss = rloo_loss(
                        model, captioner, batch.source, image_ids=batch.image_ids, reward_fn=reward_fn,
                        temperature=config.temperature, min_advantage=config.min_advantage,
                        reference=reference, kl_weight=config.kl_weight,
                    )  # fmt: skip
                    if config.rl_ce_weight:  # keeps what the reward does not ask for (Ouyang et al. 2022, equation 2)
                        loss = loss + config.rl_ce_weight * loss_fn(model, captioner, batch, config)
                else:
                    loss = loss_fn(model, captioner, batch, config)
            lr = lr_at((epoch - first) * len(data) + i, epochs * len(data), peak, warm_up=config.warm_up)
            total += train_step(fabric, model, optimizer, loss=loss, grad_clip=config.grad_clip, lr=lr)
        mean = distributed.all_reduce_mean(total / len(data))
        if not math.isfinite(mean):  # before anything is saved, so that the last good epoch stays
            distributed.fail(f"epoch {epoch + 1}: the loss is {mean}; try a learning rate below {peak}")
        if fabric.is_global_zero:
            record = {"epoch": epoch + 1, "loss": round(mean, 4), **round_scores(validate(captioner.eval()))}
            log.append(record | {"seconds": round(time.perf_counter() - began, 1)})
            save_state(captioner, optimizer, config, out=out, log=log)
            tqdm.write("  ".join(f"{k} {v}" for k, v in log[-1].items()))
        fabric.barrier()
    return log


def cross_entropy(model: nn.Module, captioner: Captioner, batch: Batch, config: TrainConfig) -> Float[Tensor, ""]:
    """Return the loss of a batch under teacher forcing, with the other terms that the config asks for."""
    inputs, targets = batch.tokens[..., :-1], batch.tokens[..., 1:]
    grid = captioner.encode(batch.source)
    step = model(grid, word_dropout(inputs, config.word_dropout) if config.word_dropout else inputs)
    words = (targets != Vocabulary.pad).sum()
    loss = global_mean(caption_loss(step.logits, targets, config.label_smoothing), words)
    if config.doubly_stochastic_weight:
        term = doubly_stochastic_loss(step.weights, targets)
        loss = loss + config.doubly_stochastic_weight * global_mean(term, targets[..., 0].numel())
    if config.alignment_weight and batch.alignment is not None:
        term = alignment_loss(captioner, grid, weights=step.weights, targets=targets, alignment=batch.alignment)
        loss = loss + config.alignment_weight * global_mean(term, batch.alignment.any(-1).sum())
    return loss


def train_step(
    fabric: Fabric, model: nn.Module, optimizer: Any, *, loss: Tensor, grad_clip: float, lr: float
) -> Float[Tensor, ""]:
    """Take one optimizer step on the gradient of the loss, clipped to a norm of `grad_clip`; return the loss."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    fabric.backward(loss)
    fabric.clip_gradients(model, optimizer, max_norm=grad_clip, error_if_nonfinite=False)
    optimizer.step()
    return loss.detach()


def parameter_groups(captioner: Captioner, weight_decay: float) -> list[dict[str, Any]]:
    """Return the trained parameters in two groups: matrices decay; biases, norms and single vectors do not."""
    trained = [p for p in captioner.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
