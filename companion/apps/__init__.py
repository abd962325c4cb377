"""Applications of a trained captioner. `captioning` captions many image files at once, `folders` finds them,
`result_files` keeps their captions, and `coco_results` writes and scores captions in COCO's format. `index` keeps the
captions of a folder beside it, and `word_index` searches them. `alt_text` proposes alternative texts for pages.
"""

from companion.apps.captioning import BATCH_SIZE, caption_files, growing_batches, read_images
from companion.apps.coco_results import read_coco_results, score_coco_results, write_coco_results
from companion.apps.folders import FoundPictures, find_pictures
from companion.apps.index import Entry, Hit, PictureIndex, Update
from companion.apps.result_files import ResultFile
from companion.apps.word_index import Match, WordIndex

__all__ = [
    "BATCH_SIZE",
    "Entry",
    "FoundPictures",
    "Hit",
    "Match",
    "PictureIndex",
    "ResultFile",
    "Update",
    "WordIndex",
    "caption_files",
    "find_pictures",
    "growing_batches",
    "read_coco_results",
    "read_images",
    "score_coco_results",
    "write_coco_results",
]
