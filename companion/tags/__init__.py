"""Tags: words that a classifier and a detector propose for a picture, each with the log-odds that captions mention it.

`Tagger` makes them from images and the logits of their ImageNet classes; `simulate_tags` makes them up for captions
whose pictures are not there. Explained in the chapter on real photographs.
"""

from companion.tags.calibration import Calibration, Curve, Source, load_calibration
from companion.tags.nanodet import Detections, NanoDet, load_nanodet
from companion.tags.simulation import simulate_tags
from companion.tags.tagger import TAG_COUNT, Tagger, best_tags
from companion.tags.words import COCO_WORDS, TAG_WORDS, mentions

__all__ = [
    "COCO_WORDS",
    "TAG_COUNT",
    "TAG_WORDS",
    "Calibration",
    "Curve",
    "Detections",
    "NanoDet",
    "Source",
    "Tagger",
    "best_tags",
    "load_calibration",
    "load_nanodet",
    "mentions",
    "simulate_tags",
]
