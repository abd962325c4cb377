"""Join captioners of photographs that were trained separately into one ensemble.

Explained in the chapter on real photographs.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from companion import checkpoints, datasets
from companion.decoders import Ensemble
from companion.model_card import round_scores
from companion.models import Captioner, build
from companion.tasks import photos
from companion.tasks.data import leave_out, picture_reporter, read_data

# What the card of an ensemble keeps of each member's card.
MEMBER_FACTS = "command sha256 seed minutes metrics data train_config machine versions log".split()


def ensemble(folders: Sequence[str], data: Path, out: Path, *, strict: bool = False) -> Captioner:
    """Build an `Ensemble` of the decoders in the folders, measure it on the dev split of `data`, save it in `out`.

    Args:
        folders: checkpoints that `companion train photos` wrote.
        data: the data set that they were trained on.
        out: folder of the new checkpoint.
        strict: the first caption or picture that cannot be used is an error; otherwise they are reported and left out.

    Raises:
        ValueError: a checkpoint is of another task, vocabulary or config than the first, or is an ensemble itself; or
            two were trained on different parts of a data set that names no split dev.
    """
    members = [checkpoints.load(folder) for folder in folders]
    for folder, captioner in zip(folders, members, strict=True):
        if reason := incompatibility(captioner, members[0]):
            raise ValueError(f"{folder}: {reason}; join decoders that `companion train photos` made of one data set")
    config: dict[str, Any] = members[0].config | {"decoders": len(members)}
    captioner = build(vocabulary=members[0].vocabulary, **config)
    captioner.decoder.load_state_dict(
        {f"decoders.{i}.{k}": v for i, one in enumerate(members) for k, v in one.decoder.state_dict().items()}
    )
    stored = checkpoints.quantize(checkpoints.trained_weights(captioner))
    checkpoints.set_weights(captioner, checkpoints.dequantize(stored))
    examples = datasets.get_split(read_data(data, trained=folders, strict=strict), "dev")
    reporter = picture_reporter(datasets.print_issue, strict=strict)
    captions, left_out = photos.caption(captioner, examples, report=reporter)
    readable = leave_out(examples, left_out, place=f"{data}, split 'dev'", report=datasets.print_issue)
    measured = photos.photo_card(captions, readable)
    if left_out:
        measured["measured"] = f"dev, {len(readable)} of {len(examples)} photographs"
    cards = [checkpoints.card(folder) for folder in folders]
    names = " ".join(shlex.quote(Path(folder).name) for folder in folders)
    card = {
        "command": f"companion ensemble {names} --data {shlex.quote(data.name)} --out {shlex.quote(out.name)}",
        **measured,
        "metrics": round_scores(measured["metrics"]),
        "members": [{key: one.get(key) for key in MEMBER_FACTS} for one in cards],
        "minutes": round(sum(one["minutes"] for one in cards), 1),
    }
    checkpoints.save(captioner, out, card)
    return captioner


def incompatibility(captioner: Captioner, first: Captioner) -> str | None:
    """Return why a captioner cannot join an ensemble with the first, or None if it can."""
    if captioner.config["task"] != "photos":
        return f"was trained on {captioner.config['task']}, not on photographs"
    if isinstance(captioner.decoder, Ensemble):
        return "holds several decoders already"
    vocabulary = captioner.vocabulary
    if (captioner.config, vocabulary.words, vocabulary.tokenizer) != (
        first.config, first.vocabulary.words, first.vocabulary.tokenizer
    ):  # fmt: skip
        return "has another vocabulary or config than the first"
    return None
