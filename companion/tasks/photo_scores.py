"""What is measured of captions of photographs beside the metrics: their nouns, and which of them are sure.

Explained in the chapter on real photographs.
"""

from collections.abc import Sequence
from typing import Any

from companion import metrics
from companion.decoding import Caption
from companion.metrics import calibration, nouns
from companion.metrics.calibration import Confidence
from companion.tokenizer import ENGLISH

LEAST_RATED = 40  # captions; from fewer, a probability and its threshold would be guesses


def sure_scores(
    captions: Sequence[Caption], references: metrics.References, confidence: Confidence
) -> dict[str, float]:
    """Return the share of captions that are `sure`, and the mean CIDEr-D of these, `cider_d_sure`; 0 without any."""
    sure = confidence.are_sure(captions)
    each = metrics.cider_d_each([c.text for c in captions], references)
    of_sure = [score for score, is_sure in zip(each, sure, strict=True) if is_sure]
    return {"sure": len(of_sure) / len(sure), "cider_d_sure": sum(of_sure) / max(len(of_sure), 1)}


def confidence_facts(captions: Sequence[Caption], references: metrics.References) -> dict[str, Any]:
    """Return the card's `confidence` in English captions of a captioner with tags; nothing for others, or for too few.

    A caption counts as right if one of its nouns is right (`metrics.nouns`), as in `right_noun`.
    """
    if references.tokenizer != ENGLISH or len(captions) < LEAST_RATED or not any(caption.tags for caption in captions):
        return {}
    counts = nouns.noun_counts([caption.text for caption in captions], references)
    return {"confidence": calibration.describe(captions, [each.right > 0 for each in counts])}
