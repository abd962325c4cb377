"""The tagger: ten words for each picture, from the classes of ImageNet and from a detector."""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from companion.encoders import Images, Tags
from companion.tags.calibration import load_calibration
from companion.tags.nanodet import load_nanodet
from companion.tags.words import COCO_WORDS, TAG_WORDS, imagenet_membership

TAG_COUNT = 10  # tags of a picture
NAMED = 0.1  # the detector's score above which it counts as having found the class, and its box is used


class Tagger(nn.Module):
    """A module from images, and the logits of their ImageNet classes, to `Tags`.

    A word's score from ImageNet is the summed probability of the classes that have it; its score from the detector is
    the highest of the class at any place. Both are calibrated to the log-odds that a caption mentions the word, and the
    higher counts. Nothing of it is trained: no checkpoint stores it.
    """

    membership: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.detector = load_nanodet()
        calibration = load_calibration()
        self.imagenet_curve, self.detector_curve = calibration.imagenet.log_odds, calibration.detector.log_odds
        self.register_buffer("membership", imagenet_membership(), persistent=False)

    @torch.no_grad()
    def forward(self, images: Images, class_logits: Float[Tensor, "batch 1000"]) -> Tags:
        """Return the `TAG_COUNT` most probable words of each image, the most probable first."""
        scores, boxes = self.detector(images)
        return best_tags(self.imagenet_log_odds(class_logits), self.detector_curve(scores), boxes)

    @torch.no_grad()
    def tag_scores(self, images: Images, class_logits: Float[Tensor, "batch 1000"]) -> Float[Tensor, "batch word"]:
        """Return the log-odds that a caption mentions each of `TAG_WORDS`."""
        detections = self.detector_curve(self.detector(images).scores)
        return torch.maximum(self.imagenet_log_odds(class_logits), at_all_words(detections))

    def imagenet_log_odds(self, class_logits: Float[Tensor, "batch 1000"]) -> Float[Tensor, "batch word"]:
        """Return the log-odds of each of `TAG_WORDS` by the classifier; minus infinity for words of no class."""
        log_odds = self.imagenet_curve(class_logits.softmax(1) @ self.membership)
        return log_odds.masked_fill(self.membership.sum(0) == 0, -torch.inf)


def best_tags(
    imagenet: Float[Tensor, "batch word"], detections: Float[Tensor, "batch 80"], boxes: Float[Tensor, "batch 80 4"]
) -> Tags:
    """Return the `TAG_COUNT` best words by the higher of the log-odds of the two sources, the best first.

    A tag has the detector's box if the detector is its source, or scores the class above `NAMED`; else the box is the
    whole picture. Of equal words the first of `TAG_WORDS` comes first.
    """
    detected = at_all_words(detections)
    ranking = torch.maximum(imagenet, detected).sort(dim=1, descending=True, stable=True)
    confidence, words = (each[:, :TAG_COUNT] for each in ranking)
    from_detector = (detected >= imagenet).gather(1, words)
    has_box = from_detector | (detected.gather(1, words) > named_log_odds())
    boxes = F.pad(boxes, (0, 0, 0, len(TAG_WORDS) - len(COCO_WORDS))).gather(1, words[:, :, None].expand(-1, -1, 4))
    whole_picture = boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
    return Tags(words, confidence, from_detector.long(), torch.where(has_box[:, :, None], boxes, whole_picture))


def at_all_words(detections: Float[Tensor, "batch 80"]) -> Float[Tensor, "batch word"]:
    """Return the log-odds of the detector's classes at their words, which come first; minus infinity at all others."""
    return F.pad(detections, (0, len(TAG_WORDS) - len(COCO_WORDS)), value=-torch.inf)


@cache
def named_log_odds() -> float:
    """Return the log-odds of a class that the detector scores with `NAMED`."""
    return float(load_calibration().detector.log_odds(torch.tensor([NAMED])))
