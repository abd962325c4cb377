"""The hidden checks of A6: the model that was handed in, on a world that is drawn from the key.

A model of scenes captions new scenes. A model of photographs has no such world: it captions the test split of the
project's own data once more. Either time its captions are also dealt to other pictures, by shifts drawn from the key.
"""

from typing import Any

import torch

from companion.classroom import Mistake, points
from companion.classroom.projects import Project

SCENES = 300
DEALS = 20
LEAST_TRUTH = 0.4  # of captions of new scenes; the tiny recipe of the package reaches 0.7
MARGIN = {"scenes": 0.1, "photos": 0.05}  # by which the claim may be higher: other scenes; another processor


@points(2, "change")
def test_held_out_captions_belong_to_their_pictures(project: Project, draw: torch.Generator) -> None:
    found = measured(project, draw)
    if found["score"] <= max(found["dealt"]):
        raise Mistake("The captions of the model suit other pictures as well as their own.")
    if project.task == "scenes" and found["score"] < LEAST_TRUTH:
        raise Mistake(f"Of the captions of new scenes, fewer than {LEAST_TRUTH:g} are true.")


@points(2, "table")
def test_held_out_score_is_that_of_the_table(project: Project, draw: torch.Generator) -> None:
    model, run = project.model
    claim = project.scores_of(model, "test")[str(run.seed)].score
    score = measured(project, draw)["score"]
    if score < claim - MARGIN[project.task]:
        raise Mistake(f"The table claims {claim:g} on test for {run.folder}; measured again, it has less: {score:.2f}.")


def measured(project: Project, draw: torch.Generator) -> dict[str, Any]:
    """Return the score of the handed-in model and those of its captions dealt to other pictures."""
    seed = int(torch.randint(1, 2**30, (), generator=draw))
    shifts = torch.randint(2**20, (DEALS,), generator=draw).tolist()
    return project.measured(seed, SCENES, shifts)
