"""The captioner: an encoder, a decoder and a vocabulary, and `build`, which makes one by the names of its parts.

Explained in the chapters on decoding and on real photographs.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from companion import decoding
from companion.attention import MECHANISMS, at_least_single
from companion.datasets import IMAGE_SIZE
from companion.decoders import DECODERS, Decoder, Ensemble, State, Step, TwoMemoryDecoder
from companion.decoding import Caption, Tag
from companion.encoders import ConvEncoder, EfficientNetLite0, Grid, Images, TaggedEncoder, Tags, check_images
from companion.patches import PatchEncoder
from companion.tags import TAG_WORDS, Tagger
from companion.vocabulary import Vocabulary

# The one setting of size: the channels of the convolutions, and the hidden width of the decoder of scenes. The decoder
# of photographs, whose vocabulary is fifty times larger, is twice as wide.
SIZES = {"tiny": ((32, 64, 96, 96), 128), "base": ((48, 96, 160, 192), 256)}
# Encoders of scenes. Each is called with the channels of `SIZES`, of which the places of a grid have the last.
ENCODERS: dict[str, Callable[..., ConvEncoder | PatchEncoder]] = {
    "convolution": ConvEncoder,
    "patches": lambda widths, **options: PatchEncoder(widths[-1], **options),
}
LENGTH_POWER = 0.6  # of beam search; the best CIDEr-D on the dev split of Flickr8k, among 0, 0.3 and 0.5 to 0.9
IMAGE_SIZES = {"scenes": 64, "photos": IMAGE_SIZE}  # pixels a side
Source = Images | Grid  # images, or their grids if a frozen encoder has run before


class Captioner(nn.Module):
    """An image captioning model: `encoder`, `decoder` and `vocabulary`.

    It has `start` and `step`, so the search functions of `decoding` accept it as a model.

    Args:
        encoder: a module from images to a `Grid`.
        decoder: a `decoders.Decoder`.
        vocabulary: the words that the decoder's logits stand for.
        image_size: pixels per side of the images that it is trained on.
        config: the arguments of `build` that made it, which a checkpoint stores.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        vocabulary: Vocabulary,
        *,
        image_size: int,
        config: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.encoder, self.decoder, self.vocabulary = encoder, decoder, vocabulary
        self.image_size, self.config = image_size, config or {}

    def encode(self, source: Source) -> Grid:
        """Return the grid of images on the model's device, in its dtype; a grid is only moved there.

        Raises ValueError for images that `encoders.to_pixels` refuses.
        """
        parameter = next(self.decoder.parameters())
        grid = source if isinstance(source, Grid) else self.encoder(check_images(source).to(parameter.device))
        return grid.cast_like(parameter)

    def start(self, source: Source) -> State:
        """Return the decoder's state before the first word."""
        return cast(Decoder, self.decoder).start(self.encode(source))

    def step(self, tokens: Int[Tensor, "batch beam"], state: State) -> Step:
        """Run the decoder for one token per hypothesis."""
        return cast(Decoder, self.decoder).step(tokens, state)

    def forward(self, source: Source, tokens: Int[Tensor, "batch beam word"]) -> Step:
        """Run known captions (teacher forcing): logits (batch beam word vocab) after every prefix of `tokens`."""
        return self.decoder(self.encode(source), tokens)

    @torch.no_grad()
    def caption(
        self, source: Source, beam: int = 5, *, max_words: int | None = None, length_power: float = LENGTH_POWER
    ) -> list[Caption]:
        """Return one caption per picture by beam search, with weights as `word row col`. Switches to eval mode.

        Raises ValueError, naming the picture by its index, for images that `encoders.to_pixels` refuses, and where the
        scores of the words are not finite.
        """
        self.eval()
        grid = self.encode(source)
        decoder = cast(Decoder, self.decoder)
        captions = decoding.beam_search(
            decoder, grid, self.vocabulary, beam, max_words=max_words, length_power=length_power
        )
        return finish_captions(captions, grid)

    @torch.no_grad()
    def sample(
        self, source: Source, *, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> list[Caption]:
        """Return one sampled caption per picture, with weights as `word row col`. Switches to eval mode."""
        self.eval()
        grid = self.encode(source)
        decoder = cast(Decoder, self.decoder)
        samples = decoding.sample(decoder, grid, self.vocabulary, temperature=temperature, generator=generator)
        return finish_captions([caption for (caption,) in samples], grid)


def finish_captions(captions: Sequence[Caption], grid: Grid) -> list[Caption]:
    """Return the captions of the grid's pictures with weights as `word row col`, and with the tags if it has them."""
    weights = [unflatten_weights(at_least_single(c.weights), grid).cpu() for c in captions]  # NumPy has no bfloat16
    captions = [c._replace(weights=w) for c, w in zip(captions, weights, strict=True)]
    if grid.tags is None:
        return captions
    return [
        c._replace(tags=tags, tag_weights=None if c.tag_weights is None else at_least_single(c.tag_weights).cpu())
        for c, tags in zip(captions, list_tags(grid.tags), strict=True)
    ]


def unflatten_weights(weights: Float[Tensor, "word place"], grid: Grid) -> Float[Tensor, "word row col"]:
    """Return weights over places as weights over the grid's rows and columns."""
    return rearrange(weights, "word (row col) -> word row col", row=grid.rows, col=grid.cols)


def list_tags(tags: Tags) -> list[tuple[Tag, ...]]:
    """Return the tags of each picture, in their order, with their words spelled out."""
    rows = zip(*(x.tolist() for x in tags), strict=True)
    return [
        tuple(
            Tag(TAG_WORDS[word], confidence, bool(source), tuple(box))
            for word, confidence, source, box in zip(*picture, strict=True)
        )
        for picture in rows
    ]


def build(
    task: str,
    vocabulary: Vocabulary,
    size: str = "base",
    *,
    attention: str | None = None,
    decoder: str = "lstm",
    decoders: int = 1,
    encoder: str = "convolution",
    positions: bool | None = None,
    blocks: int | None = None,
    registers: int = 0,
    tags: bool = False,
) -> Captioner:
    """Return an untrained captioner of "scenes" (encoder from scratch) or "photos" (frozen EfficientNet-Lite0).

    Args:
        task: "scenes" or "photos".
        vocabulary: the words of its captions.
        size: a name in `SIZES`.
        attention: a name in `attention.MECHANISMS` that the decoder accepts; None is the decoder's default.
        decoder: a name in `decoders.DECODERS`.
        decoders: their number; several form an `Ensemble`.
        encoder: of scenes: a name in `ENCODERS`.
        positions: whether the values hold a positional encoding of their places (`decoders.InputProjection`); None is
            yes for scenes and no for photographs.
        blocks: of scenes: number of self-attention blocks in the encoder; None is the encoder's default.
        registers: of scenes and the encoder "patches": number of registers.
        tags: of photographs: whether the encoder names tags, and the LSTM decoder attends to them (`TwoMemoryDecoder`).

    Raises:
        ValueError: an unknown name, or an attention that the decoder does not support, and the message lists the
            choices; or an option of another task, encoder or decoder.
    """
    for kind, value, choices in (
        ("task", task, IMAGE_SIZES),
        ("size", size, SIZES),
        ("encoder", encoder, ENCODERS),
        ("decoder", decoder, DECODERS),
    ):
        if value not in choices:
            raise ValueError(f"there is no {kind} called {value!r}; choose from {', '.join(choices)}")
    decoder_class = DECODERS[decoder]
    attention = attention or decoder_class.default_attention
    if attention not in decoder_class.mechanisms:
        reason = f"the decoder {decoder!r} does not support the attention {attention!r}"
        if attention not in MECHANISMS:
            reason = f"there is no attention called {attention!r}"
        raise ValueError(f"{reason}; choose from {', '.join(decoder_class.mechanisms)}")
    if tags and (task, decoder) != ("photos", "lstm"):
        raise ValueError(f"tags are for photographs and the decoder 'lstm', not for {task} and {decoder!r}")
    parts: dict[str, Any] = {"encoder": encoder} if encoder != "convolution" else {}
    options = ({} if blocks is None else {"blocks": blocks}) | ({"registers": registers} if registers else {})
    if task != "scenes" and (parts or options):
        raise ValueError(f"{', '.join(parts | options)}: for scenes; photographs have the encoder EfficientNet-Lite0")
    if registers and encoder != "patches":
        raise ValueError(f"registers are for the encoder 'patches', not for {encoder!r}")
    positions = task == "scenes" if positions is None else positions
    widths, hidden = SIZES[size]
    network: ConvEncoder | PatchEncoder | EfficientNetLite0 | TaggedEncoder
    if task == "scenes":
        network, dropout = ENCODERS[encoder](widths, **options), 0.1
    else:
        network, hidden, dropout = EfficientNetLite0().requires_grad_(False), 2 * hidden, 0.5
    make_decoder: Callable[..., nn.Module] = decoder_class
    if tags:
        assert isinstance(network, EfficientNetLite0)
        network = TaggedEncoder(network, Tagger()).eval().requires_grad_(False)
        make_decoder = partial(TwoMemoryDecoder, tag_ids=torch.tensor([vocabulary.id(word) for word in TAG_WORDS]))
    members = [
        make_decoder(
            len(vocabulary), network.channels, hidden, attention=attention, dropout=dropout, positions=positions
        )
        for _ in range(decoders)
    ]
    config = {"task": task, "size": size, "attention": attention, "decoder": decoder, "decoders": decoders}
    config |= {"positions": positions} if positions or task == "scenes" else {}
    config |= {"tags": True} if tags else {}
    module = members[0] if decoders == 1 else Ensemble(members)
    return Captioner(network, module, vocabulary, image_size=IMAGE_SIZES[task], config=config | parts | options)
