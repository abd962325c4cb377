"""Where the self-attention of an encoder of patches puts weight whatever the query: attention sinks, and registers.

`python -m benchmarks.mechanisms encoders` records these numbers beside the scores of its captioners.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from companion import scenes
from companion.attention import SelfAttentionBlock
from companion.datasets import Example
from companion.metrics.grounding import covered
from companion.models import Captioner
from companion.patches import PatchEncoder
from companion.scenes import Scene

PICTURES = 300
COLUMNS = (
    "head_share", "sink_share", "sink_value", "sink_background", "background", "largest_feature", "register_share",
)  # fmt: skip


class BlockMaps(NamedTuple):
    """What one block of self-attention does with pictures; `all` are the places, and behind them the registers."""

    weights: Float[Tensor, "batch head query all"]
    value_norms: Float[Tensor, "batch head all"]


def block_maps(encoder: PatchEncoder, images: Tensor) -> tuple[list[BlockMaps], Float[Tensor, "batch place"]]:
    """Return the maps of every block, and the norm of each place's features after the last."""
    grid = encoder.embed(images)
    x, maps = encoder.add_registers(grid.features), []
    for each in encoder.blocks:
        block = cast(SelfAttentionBlock, each)
        normed, attention = block.norms[0](x), block.self_attention
        keys, values = attention.prepare(normed, normed)
        _, weights = attention.attend_heads(normed, keys, values)
        maps.append(BlockMaps(weights, values.norm(dim=-1)))
        x = block(x)
    return maps, x[:, : grid.features.shape[1]].norm(dim=-1)


def on_objects(world: Sequence[Scene], rows: int, cols: int) -> Bool[Tensor, "batch place"]:
    """Return the places of which a part lies on an object."""
    covers = [covered(np.any(scene.masks, axis=0), rows, cols) > 0 for scene in world]
    return torch.from_numpy(np.stack(covers)).flatten(1)


@torch.no_grad()
def measure(
    captioner: Captioner, captions: Callable[[Sequence[Scene]], list[Example]], split: str, count: int
) -> dict[str, float]:
    """Return where the self-attention of an encoder of patches puts its weight; nothing for another encoder.

    The share of a place is its mean weight over the queries, all of them places of the same picture, so the shares of
    the places and of the registers sum to one. The mean is over the first `PICTURES` scenes of the split.

    `head_share`: the largest share of a place, mean over blocks and heads; `sink_share`: that of the head where it is
    largest. For this head, `sink_value`: the norm of that place's value divided by the mean norm of the values, and
    `sink_background`: the share of pictures in which no part of it lies on an object; `background` is the share of such
    places. `largest_feature`: the largest norm of a place's features behind the last block, divided by the median.
    `register_share`: the shares of all registers, mean over blocks and heads.
    """
    encoder = captioner.encoder
    if not isinstance(encoder, PatchEncoder):
        return {}
    world = scenes.make_dataset(split, min(count, PICTURES))
    maps, features = block_maps(encoder, scenes.image_tensor(world))
    places = features.shape[1]
    weights, norms = (
        rearrange(list(part), "block batch head ... -> (block head) batch ...") for part in zip(*maps, strict=True)
    )
    shares = weights[..., :places, :].mean(-2)  # head batch all
    share, place = shares[..., :places].max(-1)
    head = int(share.mean(1).argmax())
    value = norms[head].gather(1, place[head][:, None])[:, 0] / norms[head][:, :places].mean(1)
    empty = ~on_objects(world, 8, places // 8)
    return {
        "head_share": share.mean().item(),
        "sink_share": share[head].mean().item(),
        "sink_value": value.mean().item(),
        "sink_background": empty.gather(1, place[head][:, None]).float().mean().item(),
        "background": empty.float().mean().item(),
        "largest_feature": (features.amax(1) / features.median(1).values).mean().item(),
        "register_share": shares[..., places:].sum(-1).mean().item(),
    }
