"""Pictures and captions in one space: retrieval both ways, and what matching does not learn.

    python -m benchmarks.contrastive FLICKR8K GRIDS

FLICKR8K is a data set with the splits train and dev; GRIDS is a folder for the encoder's grids, which are used again.
Encoders are those of the captioners that ship, frozen: of scenes with its own grid, of photographs with one of 7 x 7
places. `matching.MatchingModel` is trained on them with three seeds, by mean pooling and by attention; on scenes also
with foils among the captions (`scenes.foils`), and beside it a captioner's decoder on the same grids, captions and
batches. Measured on validation scenes, and on the 500 photographs of dev that `benchmarks.search` measures, with the
same captions as queries.

Writes contrastive.json, run by run, with no caption of a photograph. The chapter on pictures and words in one space
shows the tables.
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from benchmarks import record, search
from companion import checkpoints, datasets, decoders, matching, scenes, training
from companion.datasets import Example
from companion.encoders import Grid, TaggedEncoder
from companion.model_card import bootstrap_interval
from companion.scenes import Scene, foils
from companion.scenes.foils import FoilPair
from companion.tasks.photos import VALIDATION_SIZE
from companion.training.feature_cache import fingerprint
from companion.vocabulary import Vocabulary

RESULTS = Path(__file__).with_name("contrastive.json")
SEEDS = (0, 1, 2)
POOLINGS = {"mean": "mean_pooling", "attention": "additive"}
TRAINED = {"scenes": 3000, "photographs": 2000}  # pictures
VALIDATION = 1000  # scenes
SIZE = 224  # pixels a side of a photograph
BATCH, EPOCHS, LR, WARM_UP = 64, 8, 4e-3, 0.1
LONGER = 24  # epochs of one more part, with one seed
CAPTIONS = 5  # of a picture
CUTOFFS = (1, 5, 10)

Loss = Callable[[Tensor, Tensor], Tensor]  # of pictures and captions of each, by their indices


class Data(NamedTuple):
    """Grids and captions of pictures, and the words."""

    features: Float[Tensor, "image place channel"]  # in half precision
    captions: Sequence[Sequence[str]]
    vocabulary: Vocabulary

    def grid(self, chosen: Tensor | slice = slice(None)) -> Grid:
        """Return the grids of some pictures in single precision."""
        features = self.features[chosen].float()
        side = int(features.shape[1] ** 0.5)
        return Grid(features, side, side)

    def tokens(self, lines: Sequence[str]) -> Int[Tensor, "caption word"]:
        """Return captions as ids between `<start>` and `<end>`."""
        return datasets.collate_captions([[self.vocabulary.encode(line, 20) for line in lines]])[0]


@torch.inference_mode()
def encode(encoder: nn.Module, images: Sequence[Any], load: Callable[[Any], Tensor]) -> Float[Tensor, "..."]:
    """Return the features of the grids of images, which are loaded in parts, in half precision."""
    parts = [images[start : start + 50] for start in range(0, len(images), 50)]
    return torch.cat([encoder(load(part)).features.half() for part in parts])


def scene_data(split: str, count: int) -> tuple[list[Scene], Data]:
    """Return scenes of a split, and their grids and captions."""
    world, captioner = scenes.make_dataset(split, count), checkpoints.load("scenes").eval()
    captions = [[each.text for each in scene.captions] for scene in world]
    return world, Data(encode(captioner.encoder, world, scenes.image_tensor), captions, captioner.vocabulary)


def photo_data(examples: Sequence[Example], folder: Path) -> Data:
    """Return grids and captions of photographs; the grids are written to the folder, and read if they are there."""
    captioner = checkpoints.load("photos").eval()
    path = folder / f"{fingerprint(examples)[:16]}-{SIZE}.npy"
    if not path.exists():

        def load(part: Sequence[Example]) -> Tensor:
            return torch.stack([datasets.load_image(Path(str(example.image)), SIZE) for example in part])

        features = encode(cast(TaggedEncoder, captioner.encoder).network, examples, load)
        unfinished = path.with_suffix(".unfinished.npy")
        np.save(unfinished, features.numpy())
        unfinished.replace(path)
    return Data(torch.from_numpy(np.load(path)), [e.captions for e in examples], captioner.vocabulary)


def fit(model: nn.Module, count: int, loss: Loss, *, seed: int, epochs: int) -> float:
    """Train a model on batches of pictures, each with one of its captions; return the seconds of processor time."""
    generator, began = torch.Generator().manual_seed(seed), time.process_time()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.01)
    batches = [b for _ in range(epochs) for b in torch.randperm(count, generator=generator).split(BATCH)]
    for step, chosen in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = training.lr_at(step, len(batches), LR, warm_up=WARM_UP)
        value = loss(chosen, torch.randint(CAPTIONS, chosen.shape, generator=generator))
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return round(time.process_time() - began, 1)


def train_matching(
    data: Data, pooling: str, seed: int, *, false: Sequence[Sequence[str | None]] = (), epochs: int = EPOCHS
) -> Any:
    """Return a trained `MatchingModel` and its seconds; `false` are foils of the captions, None where there is none."""
    torch.manual_seed(seed)
    model = matching.MatchingModel(data.features.shape[-1], len(data.vocabulary), pooling)

    def loss(chosen: Tensor, which: Tensor) -> Tensor:
        pairs = list(zip(chosen.tolist(), which.tolist(), strict=True))
        lines = [data.captions[i][j] for i, j in pairs]
        lines += [foil for i, j in pairs if false and (foil := false[i][j])]
        return matching.info_nce(model(data.grid(chosen), data.tokens(lines)))

    seconds = fit(model, len(data.captions), loss, seed=seed, epochs=epochs)
    return model.eval(), seconds


def train_captioner(data: Data, seed: int, epochs: int = EPOCHS) -> Any:
    """Return a decoder that was trained by cross-entropy on the same grids, captions and batches, and its seconds."""
    torch.manual_seed(seed)
    decoder = decoders.LSTMDecoder(len(data.vocabulary), data.features.shape[-1], 128, dropout=0.0, positions=True)

    def loss(chosen: Tensor, which: Tensor) -> Tensor:
        pairs = zip(chosen.tolist(), which.tolist(), strict=True)
        tokens = data.tokens([data.captions[i][j] for i, j in pairs])[:, None]
        return training.caption_loss(decoder(data.grid(chosen), tokens[..., :-1]).logits, tokens[..., 1:])

    seconds = fit(decoder, len(data.captions), loss, seed=seed, epochs=epochs)
    return decoder.eval(), seconds


def make_foils(world: Sequence[Scene], kind: str) -> list[list[str | None]]:
    """Return the foil of every caption of every scene, None where there is none."""
    return [[foils.false_foil(scene, caption.words, kind) for caption in scene.captions] for scene in world]


@torch.inference_mode()
def retrieval(model: matching.MatchingModel, data: Data) -> dict[str, list[float]]:
    """Return the rank of each picture for its first caption, and of that caption for the picture."""
    similarity = model(data.grid(), data.tokens([captions[0] for captions in data.captions]))
    target = torch.arange(len(similarity))
    return {
        "picture": matching.ranks(similarity.T, target).tolist(),
        "caption": matching.ranks(similarity, target).tolist(),
    }


@torch.inference_mode()
def matching_right(model: matching.MatchingModel, data: Data, pairs: Sequence[FoilPair]) -> list[float]:
    """Return for each pair 1 if the true caption is closer to its scene than the foil, 0.5 if as close, else 0."""
    pictures = model.image_vectors(data.grid(torch.tensor([pair.scene for pair in pairs])))
    true = model.text_vectors(data.tokens([pair.true for pair in pairs]))
    false = model.text_vectors(data.tokens([pair.false for pair in pairs]))
    return right_share((pictures * true).sum(1), (pictures * false).sum(1))


@torch.inference_mode()
def captioner_right(decoder: Any, data: Data, pairs: Sequence[FoilPair]) -> list[float]:
    """Return for each pair 1 if the true caption has the larger log-probability, 0.5 if the same, else 0."""
    both = [[data.vocabulary.encode(line) for line in (pair.true, pair.false)] for pair in pairs]
    tokens = datasets.collate_captions(both)
    logits = decoder(data.grid(torch.tensor([pair.scene for pair in pairs])), tokens[..., :-1]).logits
    return right_share(*training.token_log_probs(logits, tokens[..., 1:]).sum(-1).unbind(1))


def right_share(true: Float[Tensor, "pair"], false: Float[Tensor, "pair"]) -> list[float]:
    """Return for each pair 1 if the score of the true caption is the larger, 0.5 if they are equal, else 0."""
    return ((true > false).float() + (true == false).float() / 2).tolist()


def estimate(values: Sequence[float]) -> list[float]:
    """Return the mean with its 95 % bootstrap interval."""
    return [round(float(np.mean(values)), 4), *bootstrap_interval(list(values))]


def recalls(ranked: dict[str, list[float]]) -> dict[str, Any]:
    """Return, for what is looked for, the recall at each cutoff with its interval."""
    return {
        name: {str(k): estimate([float(rank <= k) for rank in each]) for k in CUTOFFS} for name, each in ranked.items()
    }


def paired(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> dict[str, Any]:
    """Return the recalls of one model minus those of another, query by query, with their intervals."""
    return {
        name: {
            str(k): estimate([float(a <= k) - float(b <= k) for a, b in zip(ours[name], theirs[name], strict=True)])
            for k in CUTOFFS
        }
        for name in ours
    }


def compare_poolings(train: Data, measured: Data, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the facts of both poolings, trained with the same seed, with their paired difference, and the models."""
    facts: dict[str, Any] = {}
    models, ranked = {}, {}
    for name, pooling in POOLINGS.items():
        models[name], seconds = train_matching(train, pooling, seed)
        ranked[name] = retrieval(models[name], measured)
        parameters = sum(p.numel() for p in models[name].parameters())
        facts[name] = {"seconds": seconds, "parameters": parameters, "recall": recalls(ranked[name])}
    return facts | {"attention minus mean": paired(ranked["attention"], ranked["mean"])}, models


def measure_scenes(seed: int) -> dict[str, Any]:
    """Train and measure all rows of scenes with one seed."""
    (world, train), (others, measured) = scene_data("train", TRAINED["scenes"]), scene_data("validation", VALIDATION)
    pairs = {kind: foils.foil_pairs(others, kind) for kind in foils.FOILS}
    facts, models = compare_poolings(train, measured, seed)
    for kind in ("sides exchanged", "colours exchanged"):
        name = f"mean, {kind} among the captions"
        models[name], seconds = train_matching(train, "mean_pooling", seed, false=make_foils(world, kind))
        facts[name] = {"seconds": seconds, "recall": recalls(retrieval(models[name], measured))}
    for name, model in models.items():
        facts[name]["right"] = {kind: estimate(matching_right(model, measured, each)) for kind, each in pairs.items()}
    decoder, seconds = train_captioner(train, seed)
    right = {kind: estimate(captioner_right(decoder, measured, each)) for kind, each in pairs.items()}
    parameters = sum(p.numel() for p in decoder.parameters())
    return facts | {"captioner": {"seconds": seconds, "parameters": parameters, "right": right}}


def measure_longer() -> dict[str, Any]:
    """Return what matching by mean pooling and a captioner tell apart after `LONGER` epochs, with one seed."""
    (_, train), (others, measured) = scene_data("train", TRAINED["scenes"]), scene_data("validation", VALIDATION)
    pairs = {kind: foils.foil_pairs(others, kind) for kind in foils.FOILS}
    model, seconds = train_matching(train, "mean_pooling", SEEDS[0], epochs=LONGER)
    mean = {kind: estimate(matching_right(model, measured, each)) for kind, each in pairs.items()}
    decoder, more_seconds = train_captioner(train, SEEDS[0], LONGER)
    captioner = {kind: estimate(captioner_right(decoder, measured, each)) for kind, each in pairs.items()}
    return {
        "mean": {"seconds": seconds, "right": mean},
        "captioner": {"seconds": more_seconds, "right": captioner},
    }


def measure_shipped() -> dict[str, Any]:
    """Return how often the captioner of scenes that ships finds the true caption more probable than its foil.

    "another scene" is the control: the same two captions with the picture of the next scene.
    """
    others, measured = scene_data("validation", VALIDATION)
    elsewhere = measured._replace(features=measured.features.roll(-1, 0))
    decoder = checkpoints.load("scenes").eval().decoder
    pairs = {kind: foils.foil_pairs(others, kind) for kind in foils.FOILS}
    return {
        kind: {
            "pairs": len(each),
            "right": estimate(captioner_right(decoder, measured, each)),
            "another scene": estimate(captioner_right(decoder, elsewhere, each)),
        }
        for kind, each in pairs.items()
    }


def work(flickr8k: Path, folder: Path) -> dict[str, Callable[[], Any]]:
    """Return the parts of the record by their names."""

    def measure_photographs(seed: int) -> dict[str, Any]:
        splits = datasets.read(flickr8k)
        dev = datasets.get_split(splits, "dev")[VALIDATION_SIZE:][: search.COUNT]
        train = datasets.get_split(splits, "train")[: TRAINED["photographs"]]
        return compare_poolings(photo_data(train, folder), photo_data(dev, folder), seed)[0]

    parts: dict[str, Callable[[], Any]] = {"captioner that ships": measure_shipped}
    parts |= {f"photographs, seed {seed}": partial(measure_photographs, seed) for seed in SEEDS}
    parts |= {f"scenes, seed {seed}": partial(measure_scenes, seed) for seed in SEEDS}
    return parts | {"scenes, more epochs": measure_longer}


def main(flickr8k: Path, folder: Path) -> None:
    """Measure the parts that contrastive.json lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "made by": "python -m benchmarks.contrastive FLICKR8K GRIDS",
        "trained": TRAINED,
        "measured": {"scenes": VALIDATION, "photographs": search.COUNT},
        "settings": {"batch": BATCH, "epochs": EPOCHS, "lr": LR, "size": SIZE, "longer": LONGER},
    }
    record.complete(RESULTS, record.read(RESULTS, facts), work(flickr8k, folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
