"""The two captioning tasks, each from data to card: `scenes` and `photos` own their recipe, captioning, scoring, card
and reward. `ensembling` joins models of photographs, `data` reads their data set, `run` finishes every training run.
"""

from companion.tasks import data, ensembling, photos, run, scenes

__all__ = ["data", "ensembling", "photos", "run", "scenes"]
