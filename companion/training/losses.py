"""Losses of captions under teacher forcing. Explained in the chapters on the attention decoder and on learning."""

from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from companion.encoders import Grid
from companion.models import Captioner
from companion.vocabulary import Vocabulary


def caption_loss(
    logits: Float[Tensor, "batch beam word vocab"],
    targets: Int[Tensor, "batch beam word"],
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy per word, in nats; `<pad>` does not count."""
    logits, words = logits.flatten(0, 2), targets.flatten()
    return F.cross_entropy(logits, words, ignore_index=Vocabulary.pad, label_smoothing=label_smoothing)


def doubly_stochastic_loss(
    weights: Float[Tensor, "batch beam word place"], targets: Int[Tensor, "batch beam word"]
) -> Float[Tensor, ""]:
    """Return how far each place's total attention over a caption is from one (Xu et al. 2015, equation 14).

    The mean over captions of `sum_place (1 - sum_word weight)^2`; words of padding do not count. With W words and P
    places its minimum is `P (1 - W / P)^2`, reached by uniform attention.
    """
    received = (weights * (targets != Vocabulary.pad).unsqueeze(-1)).sum(2)
    return ((1 - received) ** 2).sum(-1).mean()


def alignment_loss(
    captioner: Captioner,
    grid: Grid,
    *,
    weights: Float[Tensor, "batch beam word place"],
    targets: Int[Tensor, "batch beam word"],
    alignment: Bool[Tensor, "batch beam word place"],
) -> Float[Tensor, ""]:
    """Return a loss that supervises where attention goes for a word, in nats per word.

    For each word that names objects, with R the places that they cover, two terms: `-log sum_R weight` (attention
    supervised by alignment; Liu et al. 2017, Attention Correctness, section 4.2), and the cross-entropy of the word
    when the decoder's output layers read it from the mean feature of R alone. Other words do not count.

    Args:
        captioner: its decoder must have `context_logits`.
        grid: the pictures.
        weights: attention weights under teacher forcing.
        targets: the words that the weights belong to.
        alignment: True where an object lies that the word names.
    """
    decoder, aligned = cast(Any, captioner.decoder), alignment.any(-1)
    assert getattr(decoder, "supports_alignment", False), "this decoder has no `context_logits`"
    region = alignment[aligned].to(weights.dtype)
    log_mass = (weights[aligned] * region).sum(-1).clamp_min(1e-6).log()
    values = decoder.input_proj(grid)
    share = (alignment.to(values.dtype) / alignment.sum(-1, keepdim=True).clamp_min(1)).flatten(1, 2)
    context = (share @ values).view(*aligned.shape, -1)[aligned]
    named = F.cross_entropy(decoder.context_logits(context), targets[aligned])
    return named - log_mass.mean()


def word_dropout(tokens: Int[Tensor, "batch beam word"], share: float) -> Int[Tensor, "batch beam word"]:
    """Return the tokens with a random `share` of the words replaced by `<unk>` (Bowman et al. 2016, section 3.1).

    The decoder must then rely on the picture where it could have relied on the words. `<start>` and padding stay.
    """
    dropped = (torch.rand(tokens.shape, device=tokens.device) < share) & (tokens > Vocabulary.unk)
    return tokens.masked_fill(dropped, Vocabulary.unk)
