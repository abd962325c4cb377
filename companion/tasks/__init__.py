"""The two captioning tasks, each from data to card: `scenes` and `photos` own their recipe, captioning, scoring, card
and reward. `scene_batches` draws the scenes to train on, `scene_probes` asks a captioner of scenes what it knows,
`ensembling` joins models of photographs, `data` reads their data set, `languages` does what depends on its language,
and `run` finishes every training run.
"""

from companion.tasks import data, ensembling, languages, photos, run, scene_batches, scene_probes, scenes

__all__ = ["data", "ensembling", "languages", "photos", "run", "scene_batches", "scene_probes", "scenes"]
