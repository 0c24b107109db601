"""Codes of a data set's items by the trained image and text network."""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from gch.data.pairs import Pairs
from gch.evaluation.coded import CodedItems, coded_items
from gch.methods.method import Method
from gch.networks.inference import PIXEL_BATCH, VECTOR_BATCH, infer, sequential_images


@dataclasses.dataclass(frozen=True)
class Encoded:
    """Relaxed codes of n items, in (-1, 1).

    Attributes:
      image: float32 (n, K), by the image network.
      text: float32 (n, K), by the text network.
      labels: uint8 (n, C), multi-hot.
      rows: int64 (n,), the items' rows in the data set.
    """

    image: np.ndarray
    text: np.ndarray
    labels: np.ndarray
    rows: np.ndarray

    def coded(self) -> dict[str, CodedItems]:
        """Binary codes of 'image' and 'text', with the labels."""
        return {modality: coded_items(getattr(self, modality), self.labels) for modality in ("image", "text")}

    def only(self, chosen: np.ndarray) -> "Encoded":
        """The items where `chosen`, bool (n,), is true."""
        return Encoded(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))


def joined(first: Encoded, second: Encoded) -> Encoded:
    """The items of both, in order."""
    names = [field.name for field in dataclasses.fields(Encoded)]
    return Encoded(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in names))


def encode(
    method: Method,
    pairs: Pairs,
    features: np.ndarray | None,
    rows: np.ndarray,
    left_out: np.ndarray | None = None,
) -> Encoded:
    """Encodes items.

    Args:
      method: the trained networks.
      pairs: the data set.
      features: float32 (all rows, F) of a frozen backbone or of the data set; None, and pixels are read.
      rows: int64 (n,), which items.
      left_out: int64 (N,), ascending rows of the training items, to encode each of them without its own entry
        in the method's table of neighbours, if it has one; None to encode all as new items are.
    """
    encoders, beside = method.encoders, None
    if left_out is not None and method.encoders_without_own:
        encoders = method.encoders_without_own
        places = np.searchsorted(left_out, rows).clip(max=len(left_out) - 1)
        beside = np.where(left_out[places] == rows, places, -1).astype(np.int32)
    size = method.encoding_batch or VECTOR_BATCH
    if features is None:
        images = sequential_images(pairs.pictures, rows, method.encoding_batch or PIXEL_BATCH)
    else:
        images = (features[part] for part in _parts(rows, size))
    texts = (pairs.texts[part].astype(np.float32) for part in _parts(rows, size))
    return Encoded(
        image=infer(encoders["image"], _beside(images, beside), "code")[0],
        text=infer(encoders["text"], _beside(texts, beside), "code")[0],
        labels=pairs.labels[rows],
        rows=rows,
    )


def _parts(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _beside(batches: Iterable, others: np.ndarray | None) -> Iterator:
    """Batches, each with its part of `others` if there are any."""
    start = 0
    for batch in batches:
        yield batch if others is None else [batch, others[start : start + len(batch)]]
        start += len(batch)
