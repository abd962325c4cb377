"""Show reward hacking: one captioner, the same reward for truth, with and without a penalty on divergence.

    python -m benchmarks.rewards

A small captioner of scenes learns by cross-entropy. From there, reinforcement learning starts again for every penalty
and seed. What the captions of validation scenes state is measured before and four times during each run. Every run is
added to rewards.json when it is done, and none is repeated. The chapter on learning shows the curves.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from companion import checkpoints, scenes, tasks, training
from companion.files import atomic_write
from companion.metrics import statements
from companion.model_card import round_scores
from companion.models import Captioner
from companion.scenes import Scene
from companion.tasks.scene_batches import SceneBatches
from companion.training import distributed

CROSS_ENTROPY = tasks.scenes.TINY._replace(rl_epochs=0, kl_weight=0.0)
PENALTIES = (0.0, tasks.scenes.TINY.kl_weight)
SEEDS = (0, 1, 2)
PARTS = 4  # measurements of a run
STEPS = 60  # of reinforcement learning, from one measurement to the next
VALIDATION = 300  # scenes
RESULTS = Path(__file__).with_name("rewards.json")


def measure(captioner: Captioner) -> dict[str, float]:
    """Return the truth of the captions of validation scenes, and the share of captions with each class of words."""
    world = scenes.make_dataset("validation", VALIDATION)
    lines = [caption.text for caption in tasks.scenes.caption(captioner, world, beam=1)]
    true = [scenes.is_true(line, scene) for line, scene in zip(lines, world, strict=True)]
    rates = {k: sum(statements.states(line, k) for line in lines) / len(lines) for k in statements.STATED_CLASSES}
    return round_scores(
        {"truth": sum(true) / len(true), **rates, "words": statements.score_statements(lines, world)["words_used"]}
    )


def references() -> dict[str, float]:
    """Return the shares of reference captions with each class of words."""
    lines = [r.text for scene in scenes.make_dataset("validation", VALIDATION) for r in scene.captions]
    return round_scores(
        {k: sum(statements.states(x, k) for x in lines) / len(lines) for k in statements.STATED_CLASSES}
    )


def exact_reward(
    world: Sequence[Scene], image_ids: Sequence[int], captions: Sequence[Sequence[str]]
) -> list[list[float]]:
    """Return 1 for every caption that is true and names every object, and 0 for any other."""
    rows = zip(image_ids, captions, strict=True)
    return [[float(scenes.is_exact(line, world[i])) for line in lines] for i, lines in rows]


def reinforce(start: Path, *, penalty: float, seed: int) -> list[dict[str, float]]:
    """Return the measurements of one run from the checkpoint in `start`."""
    captioner = checkpoints.load(start)
    config = tasks.scenes.TINY._replace(epochs=0, rl_epochs=PARTS, kl_weight=penalty, rl_ce_weight=0.0, seed=seed)
    batches = SceneBatches(STEPS * config.batch_size, captioner.vocabulary, config)
    with tempfile.TemporaryDirectory() as out:
        log = training.fit(
            captioner, batches, config, out=out, validate=measure,
            reward_fn=lambda image_ids, captions: exact_reward(batches.world, image_ids, captions),
        )  # fmt: skip
    keys = ("truth", *statements.STATED_CLASSES, "words")
    return [{key: record[key] for key in keys} for record in log]


def main() -> None:
    """Train what is missing in rewards.json, and print the last measurement of every run."""
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    wanted = [(penalty, seed) for penalty in PENALTIES for seed in SEEDS]
    done = {(run["kl_weight"], run["seed"]) for run in results.get("runs", [])}
    with tempfile.TemporaryDirectory() as start:
        for penalty, seed in [each for each in wanted if each not in done]:
            if not (Path(start) / "card.json").exists():
                captioner = tasks.scenes.train(
                    Path(start), size="tiny", config=CROSS_ENTROPY, fabric=distributed.launch()
                )
                results |= {
                    "start": measure(captioner),
                    "references": references(),
                    "steps": STEPS,
                    "runs": results.get("runs", []),
                }
            curve = reinforce(Path(start), penalty=penalty, seed=seed)
            results["runs"].append({"kl_weight": penalty, "seed": seed, "curve": curve})
            atomic_write(RESULTS, json.dumps(results, indent=1).encode() + b"\n")
    print("start", results["start"])
    for run in results["runs"]:
        print(f"penalty {run['kl_weight']:.2f}, seed {run['seed']}:", run["curve"][-1])


if __name__ == "__main__":
    main()
