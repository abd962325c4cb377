"""An encoder, a decoder and a vocabulary put together: images in, captions out. Explained in chapters 10 and 16."""

import torch
from einops import rearrange
from jaxtyping import Int
from torch import Tensor, nn

from companion import decoding, photos
from companion.decoders import LSTMDecoder, State, Step, TransformerDecoder
from companion.decoding import Caption
from companion.encoders import ConvEncoder, EfficientNetLite0, Grid, Images
from companion.ensemble import Ensemble
from companion.mechanisms import MECHANISMS
from companion.vocabulary import Vocabulary

# The one dial. For each size: the widths of the convolutions, the hidden width of the decoder of scenes; that of
# photographs, whose vocabulary is fifty times larger, is twice as wide.
SIZES = {"tiny": ((32, 64, 96, 96), 128), "base": ((48, 96, 160, 192), 256)}
LENGTH_POWER = 0.6  # of the beam search; of 0, 0.3, 0.5 to 0.9, the one of highest CIDEr-D on the dev split of Flickr8k
Decoder = LSTMDecoder | TransformerDecoder | Ensemble
Source = Images | Grid  # pictures, or their grids when a frozen encoder has looked before
SIDES = {"scenes": 64, "photos": photos.SIDE}  # of the pictures, in pixels


class Captioner(nn.Module):
    """A model of captions given images. It is itself what `decoding` asks for: it has `start` and `step`."""

    def __init__(self, encoder: nn.Module, decoder: Decoder, vocabulary: Vocabulary):
        super().__init__()
        self.encoder, self.decoder, self.vocabulary = encoder, decoder, vocabulary
        self.settings: dict[str, str | int] = {}  # how `build` made it, for the checkpoint

    @property
    def side(self) -> int:
        """Pixels a side of the pictures that it was trained on."""
        return SIDES[str(self.settings["data"])]

    def look(self, source: Source) -> Grid:
        """Images through the encoder; a grid, encoded before, as it is."""
        device = next(self.decoder.parameters()).device
        if isinstance(source, Grid):
            return source._replace(features=source.features.to(device))
        return self.encoder(source.to(device))

    def start(self, source: Source) -> State:
        """The decoder's state before the first word."""
        return self.decoder.start(self.look(source))

    def step(self, tokens: Int[Tensor, "batch beam"], state: State) -> Step:
        """The decoder's next step."""
        return self.decoder.step(tokens, state)

    def forward(self, source: Source, tokens: Int[Tensor, "batch beam word"]) -> Step:
        """Teacher forcing: logits (batch beam word vocab) after every prefix of the known captions."""
        return self.decoder(self.look(source), tokens)

    @torch.no_grad()
    def caption(
        self, source: Source, beam: int = 5, max_words: int = 20, length_power: float = LENGTH_POWER
    ) -> list[Caption]:
        """One caption a picture by beam search, its weights laid out as `word row col`. Sets the model to eval mode."""
        self.eval()
        grid = self.look(source)
        found = decoding.beam(self.decoder, grid, self.vocabulary, beam, max_words, length_power)
        return [c._replace(weights=lay_out(c.weights, grid).cpu()) for c in found]


def lay_out(weights: Tensor, grid: Grid) -> Tensor:
    """Weights over places as weights over rows and columns."""
    return rearrange(weights, "word (row col) -> word row col", row=grid.rows)


def build(
    data: str,
    vocabulary: Vocabulary,
    size: str = "base",
    attention: str = "additive",
    decoder: str = "lstm",
    decoders: int = 1,
) -> Captioner:
    """A captioner for "scenes" (encoder from nothing) or "photos" (EfficientNet-Lite0, frozen).

    `attention` is one of `mechanisms.MECHANISMS` and serves the LSTM; the transformer brings its own ("multi_head").
    Several `decoders` speak as an `Ensemble`. ValueError that lists the choices for an unknown name.
    """
    for name, value, choices in (
        ("data", data, ("scenes", "photos")), ("size", size, SIZES),
        ("decoder", decoder, ("lstm", "transformer")), ("attention", attention, MECHANISMS),
    ):  # fmt: skip
        if value not in choices:
            raise ValueError(f"there is no {name} called {value!r}; choose from {', '.join(choices)}")
    widths, hidden = SIZES[size]
    encoder: ConvEncoder | EfficientNetLite0
    if data == "scenes":
        encoder, dropout = ConvEncoder(widths), 0.1
    else:
        encoder, hidden, dropout = EfficientNetLite0().requires_grad_(False), 2 * hidden, 0.5

    def words() -> LSTMDecoder | TransformerDecoder:
        if decoder == "transformer":
            return TransformerDecoder(len(vocabulary), encoder.channels, hidden, dropout=dropout)
        return LSTMDecoder(len(vocabulary), encoder.channels, hidden, attention, dropout)

    captioner = Captioner(encoder, words() if decoders == 1 else Ensemble(words() for _ in range(decoders)), vocabulary)
    captioner.settings = {"data": data, "size": size, "attention": attention, "decoder": decoder, "decoders": decoders}
    return captioner
