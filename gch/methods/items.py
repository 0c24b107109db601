"""What a method trains on: the training items, in memory but for pixels."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from gch.data.pairs import Pairs, Pictures
from gch.networks.inference import VECTOR_BATCH, sequential_images, slices


@dataclasses.dataclass(frozen=True)
class TrainingItems:
    """N training items, on the device; an item is addressed by its position 0..N-1.

    Attributes:
      texts: (N, D) in the data set's dtype; cast after gathering, as they are many.
      labels: float32 (N, C), multi-hot.
      features: float32 (N, F), of a frozen backbone or of the data set, or None where a backbone is trained.
      pictures: where the pixels are read from, when there are no features.
      rows: int64 (N,), the items' rows in the data set.
    """

    texts: tf.Tensor
    labels: tf.Tensor
    features: tf.Tensor | None
    pictures: Pictures | None
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def inputs(self, modality: str) -> Iterator[tf.Tensor]:
        """What the 'image' or the 'text' network reads, of all items in order, in batches."""
        if modality == "text":
            return slices(self.texts, VECTOR_BATCH, tf.float32)
        if self.features is not None:
            return slices(self.features, VECTOR_BATCH)
        return sequential_images(self.pictures, self.rows)


def training_items(pairs: Pairs, rows: np.ndarray, features: np.ndarray | None) -> TrainingItems:
    """Gathers the training items of a data set.

    Args:
      pairs: the data set.
      rows: int64 (N,), rows of the training items.
      features: float32 (all rows, F) of a frozen backbone or of the data set, or None.
    """
    return TrainingItems(
        texts=tf.constant(pairs.texts[rows]),
        labels=tf.constant(pairs.labels[rows], tf.float32),
        features=None if features is None else tf.constant(features[rows]),
        pictures=pairs.pictures,
        rows=rows,
    )
