"""Make what a captioner with tags learns from beside Flickr8k: captions alone, and photographs with retrieved captions.

    python -m benchmarks.everyday_streams DATA OUT

DATA is a data set with a split dev, `captions_val2017.json` in COCO's format and `photographs/`. Writes OUT/text.json,
the captions of the photographs that are not in dev, and OUT/pseudo/, the photographs that are not in dev, each with
three captions from that text, chosen by `retrieval` from its ten tags. A caption is chosen for at most `LIMIT`
photographs: without that, 901 captions were chosen for 6,054 photographs, the ten favourites 2,685 times, and a decoder
learnt these by heart (hubs, Radovanovic et al. 2010). Then:

    companion train photos --data FLICKR8K --out RUN --tags --text OUT/text.json --pseudo OUT/pseudo
"""

import json
import sys
from collections import Counter
from pathlib import Path

import torch

from benchmarks import calibrate_tags
from benchmarks.retrieval import CaptionIndex
from companion import datasets
from companion.datasets import Example
from companion.encoders import Tags
from companion.files import atomic_write
from companion.tags import TAG_WORDS, Tagger, best_tags

CANDIDATES = (20, 60, 150)  # for the consensus, which chooses one caption among so many
LIMIT = 5  # photographs for which a caption is chosen
TRIED = 600  # captions that fit best, among which those below the limit are candidates
ABSENT = -8.0  # the log-odds of a word that is no tag of the photograph


def write_text(data: Path, dev: list[Example], out: Path) -> list[str]:
    """Write the captions that are of no photograph in dev, in COCO's format, and return them."""
    own = {int(Path(example.name).stem.rpartition("_")[2]) for example in dev}  # COCO_val2014_000000000042.jpg
    annotations = json.loads((data / "captions_val2017.json").read_text(encoding="utf-8"))["annotations"]
    kept = [each for each in annotations if each["image_id"] not in own]
    assert len(kept) == len(annotations) - sum(len(example.captions) for example in dev), "dev is not left out whole"
    others = [{"image_id": each["image_id"], "caption": each["caption"]} for each in kept]
    atomic_write(out / "text.json", json.dumps({"annotations": others}).encode())
    return [each["caption"] for each in others]


def choose_captions(index: CaptionIndex, tags: Tags) -> list[list[str]]:
    """Return the captions for each photograph with these tags; the photographs choose in random order."""
    photographs = len(tags.words)
    log_odds = torch.full((photographs, len(TAG_WORDS)), ABSENT).scatter(1, tags.words, tags.confidence)
    chosen: list[list[str]] = [[] for _ in range(photographs)]
    times = Counter[str]()
    for i in torch.randperm(photographs, generator=torch.Generator().manual_seed(0)).tolist():
        best = index.scores(log_odds[i : i + 1])[0].topk(min(TRIED, len(index.texts))).indices.tolist()
        free = [j for j in best if times[index.texts[j]] < LIMIT]
        for count in CANDIDATES:
            j = index.consensus(free[:count])
            free.remove(j)
            times[index.texts[j]] += 1
            chosen[i].append(index.texts[j])
    return chosen


def write_pseudo(data: Path, dev: list[Example], texts: list[str], out: Path) -> int:
    """Write the photographs that are not in dev with retrieved captions; return how many these are."""
    known = {Path(example.name).name for example in dev}
    paths = [path for path in sorted((data / "photographs").iterdir()) if path.name not in known]
    logits, scores, _ = calibrate_tags.predict([Example(path.name, path, ("",)) for path in paths])
    tagger = Tagger()
    tags = best_tags(tagger.imagenet_log_odds(logits), tagger.detector_curve(scores), torch.zeros(*scores.shape, 4))
    choices = choose_captions(CaptionIndex(texts), tags)
    (out / "photographs").mkdir(parents=True, exist_ok=True)
    records = []
    for path, captions in zip(paths, choices, strict=True):
        link = out / "photographs" / path.name
        link.unlink(missing_ok=True)
        link.symlink_to(path.resolve())
        records.append({"image": path.name, "captions": captions})
    atomic_write(out / "retrieved.json", json.dumps(records).encode())
    return len(records)


def main(data: Path, out: Path) -> None:
    """Write both and print their sizes."""
    dev = datasets.get_split(datasets.read(data), "dev")
    out.mkdir(parents=True, exist_ok=True)
    texts = write_text(data, dev, out)
    print(f"{len(texts):,} captions in {out / 'text.json'}")
    print(f"{write_pseudo(data, dev, texts, out / 'pseudo'):,} photographs in {out / 'pseudo'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
