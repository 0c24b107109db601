"""Small methods on generated pairs: 60 that they train on, 20 new ones."""

import dataclasses
import itertools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from sources import labels_through_noise

from gch.data.generated import generate
from gch.data.pairs import Pairs, TextParts
from gch.methods.items import training_items
from gch.methods.method import Batch, Losses, Method, Stage, build_method
from gch.networks.backbone import Backbone
from gch.settings import load_settings
from gch.training.loop import StageLoop, set_rates

PAIRS = generate(items=80, image_size=8)
TRAINED, NEW = np.arange(60), np.arange(60, 80)
FEATURES = labels_through_noise(PAIRS, 12)
TEXTS = PAIRS.texts.astype(np.float32)
OF_GCH = {"MAX_ITER": 10, "k_gph": 1, "graph_neighbours": 5}
OF_AGAH = {"method": "agah", "k_agah": 2, "lr": 3e-4, "txt_widths": "48,40"}
OF_DCMH = {"method": "dcmh", "k_dcmh": 2, "img_widths": "", "txt_widths": "48"}


def build(
    of: dict, pixels: bool = False, pairs: Pairs = PAIRS, features: np.ndarray = FEATURES, **changes
) -> Method:
    """A method on ready features, or on pixels with a backbone that is trained; always of the same start. The
    new ones of `PAIRS` are its validation queries.
    """
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    flat = keras.layers.Rescaling(1 / 255)(keras.layers.Flatten()(inputs))
    backbone = Backbone("small", keras.Model(inputs, keras.layers.Dense(12)(flat)), "")
    small = {"bit": 16, "batch_size": 20, "SEMANTIC_EMBED": 32}
    settings = load_settings(None, small | of | changes)
    rows = TRAINED[: len(pairs.labels)]
    held_out = NEW[len(pairs.labels) > NEW]
    items = training_items(pairs, rows, None if pixels else features, held_out=held_out)
    return build_method(settings, items, backbone)


def with_parts(positive: bool = False) -> tuple[Pairs, list[np.ndarray]]:
    """Pairs whose texts are means of up to three of 30 vectors; those of items 7 and 70 of none; and
    which vectors each text has.
    """
    random = np.random.default_rng(4)
    vectors = random.normal(size=(30, 10)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = abs(vectors) if positive else vectors
    counts = random.integers(1, 4, size=80)
    counts[[7, 70]] = 0
    starts = np.r_[0, np.cumsum(counts)]
    columns = np.concatenate([random.choice(30, count, replace=False) for count in counts]).astype(np.int32)
    own = [columns[start:end] for start, end in itertools.pairwise(starts)]
    texts = np.stack([vectors[one].mean(axis=0) if len(one) else np.zeros(10) for one in own])
    parts = TextParts(vectors, [str(row) for row in range(30)], starts, columns)
    return dataclasses.replace(PAIRS, texts=texts.astype(np.float32), parts=parts), own


def stage(method: Method, name: str) -> Stage:
    return next(one for one in method.stages if one.name == name)


def opened(method: Method, name: str, jit_compile: bool = False, first: int = 0) -> Callable:
    """A stage of the first outer epoch: a function that runs so many steps of it and returns the losses."""
    of = stage(method, name)
    set_rates(of, method.settings, 0)
    return StageLoop(of, method.items, method.settings.batch_size, jit_compile).open((0, 0, name), first)


def step(method: Method, name: str, positions: tf.Tensor, images: tf.Tensor | None = None) -> Losses:
    """One step of a stage on a batch of these positions."""
    loop = StageLoop(stage(method, name), method.items, len(positions))
    return loop.step(Batch(positions, images))


def precision_at_10(encoders: dict, rows: np.ndarray = NEW) -> float:
    """Of texts of training items, found by images of `rows`; 0 is chance and 1 is perfect."""
    codes = np.where(encoders["image"](FEATURES[rows])["code"] >= 0, 1, -1)
    others = np.where(encoders["text"](TEXTS[TRAINED])["code"] >= 0, 1, -1)
    similar = PAIRS.labels[rows].astype(int) @ PAIRS.labels[TRAINED].T > 0
    nearest = np.argsort(-codes @ others.T, axis=1, kind="stable")[:, :10]
    found, chance = np.take_along_axis(similar, nearest, axis=1).mean(), similar.mean()
    return float((found - chance) / (1 - chance))
