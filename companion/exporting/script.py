"""The captioner of scenes as one JavaScript file, which a page can load from a disk.

A page that was opened from a file may run a script beside it, and may read no other file. So the script holds the
arrays of the export (`arrays.pack`, as int8 by row) as text. `book/_static/laboratory/captioner.js` runs them.
"""

import base64
import copy
import json

from torch import nn

from companion.attention import SelfAttentionBlock
from companion.decoders.base import POSITION_SCALE
from companion.encoders import ConvEncoder, fold_batch_norms
from companion.exporting.arrays import pack, weights_of
from companion.models import LENGTH_POWER, Captioner

# What captioner.js computes; sizes and the number of blocks are read off the arrays.
PARTS = {"task": "scenes", "attention": "coverage", "decoder": "lstm", "decoders": 1, "positions": True}


def script(captioner: Captioner) -> str:
    """Return a script that assigns the model to `attentionBook.model`: keys as in a manifest, and the arrays as base64.

    Batch norms are folded into the convolutions before them; the captioner is not changed. No word of the vocabulary
    can end the script's element, should it be put into a page.

    Raises:
        ValueError: the captioner has parts that captioner.js does not compute.
    """
    other = {name: captioner.config.get(name) for name, part in PARTS.items() if captioner.config.get(name) != part}
    blocks = captioner.encoder.blocks if isinstance(captioner.encoder, ConvEncoder) else nn.Sequential()
    block = next(iter(blocks), None)
    if other or not isinstance(block, SelfAttentionBlock):
        raise ValueError(f"captioner.js runs {PARTS} with self-attention blocks in the encoder, not {captioner.config}")
    captioner = copy.deepcopy(captioner).cpu().float().eval()
    fold_batch_norms(captioner.encoder)
    data, tensors = pack(weights_of(captioner), quantized=True)
    model = {
        "config": captioner.config,
        "image_size": captioner.image_size,
        "grid": [captioner.image_size // 8] * 2,
        "heads": block.self_attention.heads,
        "position_scale": POSITION_SCALE,
        "max_words": captioner.vocabulary.tokenizer.max_words,
        "length_power": LENGTH_POWER,
        "vocabulary": captioner.vocabulary.words,
        "tensors": tensors,
        "data": base64.b64encode(data).decode(),
    }
    text = json.dumps(model).replace("<", r"\u003c")
    return f"attentionBook.model = {text};\n"
