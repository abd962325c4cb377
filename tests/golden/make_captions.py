"""Writes captions.json: what the models that ship say of known pictures, greedily. Run it after new weights:

    python tests/golden/make_captions.py

Only captions that are safe from rounding are kept: another processor, another version of a library, may move a
logarithm of a probability in its last digits, so a caption is left out if its model was close to another word.
"""

import json
from pathlib import Path

import torch

from companion import checkpoints, evaluation, photos, scenes
from companion.captioner import Captioner
from companion.vocabulary import Vocabulary

GOLDEN = Path(__file__).with_name("captions.json")
MARGIN = 0.02  # nats between the word that is said and the next best
SCENES = 30
LONGEST = 20  # words, after which a caption has to end, however unlikely that is


def pictures(name: str) -> dict[str, torch.Tensor]:
    """The pictures on which a model is tried, by name: each with a batch axis of one."""
    if name == "photos":
        return {example: photos.load(photos.example(example))[None] for example in photos.EXAMPLES}
    return {str(scene.seed): evaluation.scene_images([scene]) for scene in scenes.make("test", SCENES)}


@torch.inference_mode()
def margin(captioner: Captioner, image: torch.Tensor, line: str) -> float:
    """How much likelier each word was than the next best one, in nats: the least over the caption."""
    ids = torch.tensor(captioner.vocabulary.encode(line))
    logits = captioner(image, ids[None, None, :-1]).logits[0, 0]
    logits[:, [Vocabulary.pad, Vocabulary.start, Vocabulary.unk]] = -torch.inf
    best = logits[:LONGEST].topk(2, dim=-1)
    assert torch.equal(best.indices[:, 0], ids[1 : LONGEST + 1]), f"{line!r} is not the greedy caption"
    return float((best.values[:, 0] - best.values[:, 1]).min())


def main() -> None:
    """Caption all pictures and write the file."""
    golden: dict[str, dict] = {}
    for name in ("photos", "scenes"):
        captioner, kept = checkpoints.load(name), {}
        for picture, image in pictures(name).items():
            line = evaluation.text(captioner.caption(image, beam=1, max_words=LONGEST)[0])
            if margin(captioner, image, line) > MARGIN:
                kept[picture] = line
        golden[name] = {"sha256": checkpoints.card(name)["sha256"], "captions": kept}
        print(f"{name}: {len(kept)} captions")
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
