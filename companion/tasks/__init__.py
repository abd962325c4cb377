"""The two captioning tasks, each from data to card: `scenes` and `photos` own their recipe, captioning, scoring, card
and reward. `scene_batches` draws the scenes to train on, `scene_probes` asks a captioner of scenes what it knows,
`streams` mixes what a model of photographs with tags learns from, `photo_scores` measures nouns and confidence,
`ensembling` joins models of photographs, `data` reads their data set, `languages` does what depends on its language,
and `run` finishes every training run.
"""

from companion.tasks import (
    data,
    ensembling,
    languages,
    photo_scores,
    photos,
    run,
    scene_batches,
    scene_probes,
    scenes,
    streams,
)

__all__ = [
    "data",
    "ensembling",
    "languages",
    "photo_scores",
    "photos",
    "run",
    "scene_batches",
    "scene_probes",
    "scenes",
    "streams",
]
