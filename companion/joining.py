"""Captioners of photographs that were trained apart go in; one comes out whose decoders speak together.

Explained in chapter 16.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from companion import cards, checkpoints, datasets, evaluation
from companion.captioner import Captioner, build
from companion.ensemble import Ensemble
from companion.training import rounded

KEPT = ("command", "sha256", "seed", "minutes", "metrics", "log")  # of each one's card


def join(folders: Sequence[str], data: Path, out: Path) -> Captioner:
    """Make an `Ensemble` of the decoders in the folders, measure it on the dev split of `data`, save it in `out`.

    ValueError, naming the folder, for a checkpoint of anything but photographs, of other words or settings than the
    first, or of several decoders itself.
    """
    found = [checkpoints.load(folder) for folder in folders]
    for folder, captioner in zip(folders, found, strict=True):
        reason = refused(captioner, found[0])
        if reason:
            raise ValueError(f"{folder}: {reason}; join decoders that `companion train photos` made of one data set")
    settings: dict[str, Any] = found[0].settings | {"decoders": len(found)}
    captioner = build(vocabulary=found[0].vocabulary, **settings)
    captioner.decoder.load_state_dict(
        {f"decoders.{i}.{k}": v for i, one in enumerate(found) for k, v in one.decoder.state_dict().items()}
    )
    checkpoints.set_weights(captioner, checkpoints.unpacked(checkpoints.packed(checkpoints.trained_weights(captioner))))
    examples = datasets.pick(evaluation.read(data), "dev")
    about = cards.of_photos(evaluation.caption_photos(captioner, examples), examples)
    before = [checkpoints.card(folder) for folder in folders]
    names = " ".join(shlex.quote(Path(folder).name) for folder in folders)
    card = {
        "command": f"companion join {names} --data {shlex.quote(data.name)} --out {shlex.quote(out.name)}",
        **about,
        "metrics": rounded(about["metrics"]),
        "joined": [{key: one.get(key) for key in KEPT} for one in before],
        "minutes": round(sum(one["minutes"] for one in before), 1),
        **{key: before[0].get(key) for key in ("data", "plan", "machine", "versions")},
    }
    checkpoints.save(captioner, out, card)
    return captioner


def refused(captioner: Captioner, first: Captioner) -> str | None:
    """Why it cannot be joined to the first, if it cannot."""
    if captioner.settings["data"] != "photos":
        return f"was trained on {captioner.settings['data']}, not on photographs"
    if isinstance(captioner.decoder, Ensemble):
        return "holds several decoders already"
    if captioner.settings != first.settings or captioner.vocabulary.words != first.vocabulary.words:
        return "has other words or settings than the first"
    return None
