"""The training items, on the device if they fit."""

import dataclasses
import functools
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from gch.data.pairs import Pairs, Pictures, TextParts
from gch.networks.inference import PIXEL_BATCH, VECTOR_BATCH, sequential_images, slices

PIXEL_BYTES = 4 * 2**30  # of pixels that a GPU holds: 28,000 items at 224 x 224


def state(value, dtype=None, name: str | None = None) -> tf.Variable:
    """A variable that no optimizer trains. Every replica has a copy, and all assign the same values."""
    return tf.Variable(value, trainable=False, dtype=dtype, name=name)


@dataclasses.dataclass(frozen=True)
class TrainingItems:
    """N training items; an item is addressed by its position 0..N-1.

    Attributes:
      texts: variable (N, D) in the data set's dtype; cast after gathering, as they are many.
      labels: variable float32 (N, C), multi-hot.
      images: what the image network reads, on the device: features float32 (N, F), or pixels uint8
        (N, H, W, 3) for a trained backbone. None: pixels are streamed from `pictures`.
      trains_backbone: whether the image network reads pixels.
      pictures: where pixels are read from.
      rows: int64 (N,), the items' rows in the data set.
      text_parts: vectors float32 (W, D) of the words or captions whose means `texts` are, and which of them
        each text has, int32 (N, m), filled up with -1; None where texts have no such parts.
      held_out: gathers items that are not trained on, the validation queries; None where there are none.
    """

    texts: tf.Variable
    labels: tf.Variable
    images: tf.Variable | None
    trains_backbone: bool
    pictures: Pictures | None
    rows: np.ndarray
    text_parts: tuple[np.ndarray, np.ndarray] | None = None
    held_out: "Callable[[], TrainingItems] | None" = None

    def __len__(self) -> int:
        return len(self.rows)

    def inputs(self, modality: str) -> Iterator[tf.Tensor]:
        """The inputs of the 'image' or 'text' network for all items, in order, in batches."""
        if modality == "text":
            return slices(self.texts, VECTOR_BATCH, tf.float32)
        if self.images is not None:
            return slices(self.images, PIXEL_BATCH if self.trains_backbone else VECTOR_BATCH)
        assert self.pictures is not None
        return sequential_images(self.pictures, self.rows)

    @property
    def has_text_parts(self) -> bool:
        """Whether the words or captions of texts are known."""
        return self.text_parts is not None or self.texts.dtype == tf.uint8

    def partial_texts(self, seed: int) -> Iterator[tf.Tensor]:
        """The inputs of the text network for all items, in order, in batches, with some of the words or
        captions of each text: each is left out by a chance that is drawn for its text from 0 to 1, but for
        one.
        """
        random = np.random.default_rng(seed)

        def kept(there: np.ndarray) -> np.ndarray:
            drawn = np.where(there, random.random(there.shape, np.float32), -1)
            chance = random.random((len(there), 1), np.float32)
            return there & ((drawn >= chance) | (drawn == drawn.max(axis=1, keepdims=True)))

        for start in range(0, len(self), VECTOR_BATCH):
            part = slice(start, start + VECTOR_BATCH)
            texts = tf.cast(self.texts[part], tf.float32).numpy()
            if self.text_parts is None or not len(self.text_parts[0]):
                yield tf.constant(texts * kept(texts > 0))
                continue
            vectors, members = self.text_parts
            own = members[part]
            weights = kept(own >= 0).astype(np.float32)
            total = weights.sum(axis=1, keepdims=True)
            means = np.einsum("nm,nmd->nd", weights, vectors[own]) / np.maximum(total, 1)
            yield tf.constant(np.where(total > 0, means, texts))


def training_items(
    pairs: Pairs,
    rows: np.ndarray,
    features: np.ndarray | None,
    keep_pixels: bool = False,
    held_out: np.ndarray | None = None,
) -> TrainingItems:
    """Gathers the training items of a data set.

    Args:
      pairs: the data set.
      rows: int64 (N,), of the training items.
      features: float32 (all rows, F) of a frozen backbone or of the data set; None trains the backbone.
      keep_pixels: whether the device keeps the pixels of a trained one, PIXEL_BYTES at most.
      held_out: int64 (M,), rows of items that are not trained on.

    Raises DataError where the pixels cannot be read.
    """
    images, pictures = None, pairs.pictures
    if features is not None:
        images = state(features[rows])
    elif keep_pixels and pictures and len(rows) * 3 * np.prod(pictures.size) <= PIXEL_BYTES:
        images = state(pictures.read(rows))
    return TrainingItems(
        texts=state(pairs.texts[rows]),
        labels=state(pairs.labels[rows], tf.float32),
        images=images,
        trains_backbone=features is None,
        pictures=pictures,
        rows=rows,
        text_parts=None if pairs.parts is None else _of_rows(pairs.parts, rows),
        held_out=functools.partial(training_items, pairs, held_out, features)
        if held_out is not None and len(held_out)
        else None,
    )


def _of_rows(parts: TextParts, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The parts of the texts of `rows`: vectors (W, D), and int32 (n, m), filled up with -1."""
    starts, ends = parts.starts[rows], parts.starts[rows + 1]
    places = starts[:, None] + np.arange((ends - starts).max(initial=1))
    there = places < ends[:, None]
    members = np.append(parts.columns, -1)[np.where(there, places, -1)].astype(np.int32)
    used, renamed = np.unique(members[there], return_inverse=True)
    members[there] = renamed
    return np.asarray(parts.vectors[used]), members
