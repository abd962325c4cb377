"""What a model said and what it should have said in, a number to go down on out. Explained in chapters 10 and 11."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from companion.captioner import Captioner
from companion.decoders import LSTMDecoder
from companion.encoders import Grid
from companion.vocabulary import Vocabulary


def caption_loss(
    logits: Float[Tensor, "batch beam word vocab"], targets: Int[Tensor, "batch beam word"], smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Cross-entropy a word, in nats; `<pad>` does not count."""
    logits, words = logits.flatten(0, 2), targets.flatten()
    return F.cross_entropy(logits, words, ignore_index=Vocabulary.pad, label_smoothing=smoothing)


def doubly_stochastic(
    weights: Float[Tensor, "batch beam word place"], targets: Int[Tensor, "batch beam word"]
) -> Float[Tensor, ""]:
    """How far the attention that each place gets over a whole caption is from one (Xu et al. 2015, equation 14).

    The mean over captions of `sum_place (1 - sum_word weight)^2`; padding gives no attention. With W words and P places
    the least possible value is `P (1 - W / P)^2`, reached by looking everywhere alike.
    """
    given = (weights * (targets != Vocabulary.pad).unsqueeze(-1)).sum(2)
    return ((1 - given) ** 2).sum(-1).mean()


def shown_loss(
    captioner: Captioner,
    grid: Grid,
    weights: Float[Tensor, "batch beam word place"],
    targets: Int[Tensor, "batch beam word"],
    shown: Bool[Tensor, "batch beam word place"],
) -> Float[Tensor, ""]:
    """How badly the model looks where a word's thing is, plus how badly it names what is there; nats a word.

    For each word that speaks of things, with R the places where they are: `-log sum_R weight` (attention supervised by
    alignment; Liu et al. 2017, Attention Correctness, section 4.2) and the cross-entropy of the word when the decoder
    reads it from the mean feature of R alone, through its own layers. Other words do not count.
    """
    decoder, spoken = captioner.decoder, shown.any(-1)
    assert isinstance(decoder, LSTMDecoder), "only the LSTM decoder is shown where to look"
    there = shown[spoken].to(weights.dtype)
    looked = (weights[spoken] * there).sum(-1).clamp_min(1e-6).log()
    values = decoder.adapt(grid.features)
    share = (shown.to(values.dtype) / shown.sum(-1, keepdim=True).clamp_min(1)).flatten(1, 2)
    region = (share @ values).view(*spoken.shape, -1)[spoken]
    named = F.cross_entropy(decoder.read_out(decoder.from_context(region.unsqueeze(0)))[0], targets[spoken])
    return named - looked.mean()


def forget(tokens: Int[Tensor, "batch beam word"], share: float) -> Int[Tensor, "batch beam word"]:
    """The words read, a share of them drawn at random replaced by `<unk>`, so that the picture must be asked instead.

    Word dropout (Bowman et al. 2016, section 3.1). `<start>` and padding stay.
    """
    lost = (torch.rand(tokens.shape, device=tokens.device) < share) & (tokens > Vocabulary.unk)
    return tokens.masked_fill(lost, Vocabulary.unk)
