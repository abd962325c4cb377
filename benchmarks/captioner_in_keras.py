"""The article's captioner as it should have been, in Keras 3: data, model, training, generation.

    pip install keras==3.15.1
    python -m benchmarks.captioner_in_keras

It learns from drawn scenes in some minutes on one core, and writes what it reaches into captioner_in_keras.json. The
chapter on repairing the article's captioner shows this file. Nothing of the companion's models is used: only its scenes
and its truth check.
"""

import json
import os
import time
from pathlib import Path

import numpy as np

os.environ["KERAS_BACKEND"] = "torch"

import keras
from keras import layers, ops

from companion import scenes
from companion.files import atomic_write

RESULTS = Path(__file__).with_name("captioner_in_keras.json")
END = 2  # the id of <end>
COUNT, EPOCHS, WORDS, WIDTH = 8_000, 6, 20, 192


# 1. Data: a picture, a caption between <start> and <end>, and the same caption shifted by one word.
def prepare(count: int, split: str, words: list[str] | None = None):
    """Return the scenes, their pictures, token ids in and out, and the vocabulary."""
    world = scenes.make_dataset(split, count)
    captions = [scene.captions[0].words for scene in world]
    words = words or [
        "<pad>",
        "<start>",
        "<end>",
        *sorted({word for scene in world for word in scene.captions[0].words}),
    ]
    ids = np.zeros((count, WORDS + 2), dtype="int64")
    for row, caption in zip(ids, captions, strict=True):
        row[: len(caption) + 2] = [1, *(words.index(word) for word in caption), END]
    pictures = np.stack([scene.image for scene in world])
    return world, pictures, ids[:, :-1], ids[:, 1:], words


# 2. Model: a grid of places that is never flattened, an LSTM over embedded words, additive attention between them.
def build(vocab: int) -> keras.Model:
    """Return a captioner: pictures and the words so far to logits of the next word, and the attention weights."""
    picture = keras.Input((64, 64, 3))
    caption = keras.Input((None,), dtype="int64")
    x = layers.Rescaling(1 / 127.5, offset=-1)(picture)
    for channels in (48, 96, WIDTH):
        x = layers.Conv2D(channels, 4, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    places = layers.Reshape((64, WIDTH))(x)
    number = ops.cumsum(ops.ones_like(places[..., 0]), axis=1) - 1
    places = places + layers.Embedding(64, WIDTH)(number)
    mean = layers.GlobalAveragePooling1D()(places)
    first = layers.Dense(WIDTH, activation="tanh")(mean)
    words = layers.Embedding(vocab, WIDTH, mask_zero=True)(caption)
    hidden = layers.LSTM(WIDTH, return_sequences=True)(words, initial_state=[first, first])
    context, weights = layers.AdditiveAttention()([hidden, places], return_attention_scores=True)
    both = layers.Concatenate()([hidden, context])
    output = layers.Dense(WIDTH, activation="tanh")(both)
    logits = layers.Dense(vocab, name="next_word")(output)
    return keras.Model([picture, caption], [logits, weights])


# 3. Training: cross-entropy of the next word; padding does not count.
def train(model: keras.Model, pictures: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> None:
    """Fit the model, with a learning rate that falls to zero."""
    steps = EPOCHS * len(pictures) // 32
    learner = keras.Model(model.inputs, model.outputs[0])
    learner.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
    )
    learner.fit([pictures, inputs], targets, batch_size=32, epochs=EPOCHS, verbose=2)


# 4. Generation: the most probable word is read again, until <end>.
def generate(model: keras.Model, pictures: np.ndarray, words: list[str]) -> tuple[list[str], np.ndarray]:
    """Return a caption for every picture, and the attention weights: picture word place."""
    ids = np.ones((len(pictures), 1), dtype="int64")  # <start>
    for _ in range(WORDS):
        logits, weights = model.predict([pictures, ids], verbose=0)
        chosen = logits[:, -1:].argmax(-1)
        ids = np.concatenate([ids, chosen], axis=1)
        if (ids == END).any(1).all():
            break
    lines = []
    for row in ids[:, 1:].tolist():
        end = row.index(END) if END in row else len(row)
        lines.append(" ".join(words[i] for i in row[:end]))
    return lines, weights


def main() -> None:
    """Train, caption scenes that were not trained on, and write what was reached."""
    keras.utils.set_random_seed(0)
    began = time.perf_counter()
    _, pictures, inputs, targets, words = prepare(COUNT, "train")
    model = build(len(words))
    train(model, pictures, inputs, targets)
    minutes = (time.perf_counter() - began) / 60
    world, pictures, *_ = prepare(300, "validation", words)
    lines, _ = generate(model, pictures, words)
    true = [scenes.is_true(line, scene) for line, scene in zip(lines, world, strict=True)]
    record = {
        "keras": keras.__version__,
        "scenes": COUNT,
        "epochs": EPOCHS,
        "weights": model.count_params(),
        "minutes": round(minutes, 1),
        "validation": len(world),
        "truth": round(float(np.mean(true)), 3),
        "captions": [
            {"seed": scene.seed, "caption": line, "true": bool(ok)}
            for scene, line, ok in zip(world[:6], lines, true, strict=False)
        ],
    }
    atomic_write(RESULTS, json.dumps(record, indent=1).encode() + b"\n")
    print(record)


if __name__ == "__main__":
    main()
