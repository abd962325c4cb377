"""Decoders: from a grid and the words so far to the next word. `base` has the records and protocols, `lstm` and
`transformer` the two decoders, `prefix` the two that put the picture before the words, `two_memories` the LSTM that
reads tags, too, `ensemble` the average of several. To add a decoder, write its class in a file here and add one line to
`DECODERS`.
"""

from companion.decoders.base import (
    Decoder,
    DecoderClass,
    InputProjection,
    Reading,
    State,
    Step,
    expand_beams,
    tied_output_proj,
)
from companion.decoders.ensemble import Ensemble, mean_prediction, merge_states, split_states
from companion.decoders.lstm import LSTMDecoder
from companion.decoders.prefix import PrefixBlock, PrefixDecoder, QueryDecoder
from companion.decoders.transformer import TransformerBlock, TransformerDecoder, causal_mask, sinusoidal_positions
from companion.decoders.two_memories import TwoMemoryDecoder

__all__ = [
    "DECODERS",
    "Decoder",
    "DecoderClass",
    "Ensemble",
    "InputProjection",
    "LSTMDecoder",
    "PrefixBlock",
    "PrefixDecoder",
    "QueryDecoder",
    "Reading",
    "State",
    "Step",
    "TransformerBlock",
    "TransformerDecoder",
    "TwoMemoryDecoder",
    "causal_mask",
    "expand_beams",
    "mean_prediction",
    "merge_states",
    "sinusoidal_positions",
    "split_states",
    "tied_output_proj",
]

DECODERS: dict[str, DecoderClass] = {
    "lstm": LSTMDecoder,
    "transformer": TransformerDecoder,
    "prefix": PrefixDecoder,
    "queries": QueryDecoder,
}
