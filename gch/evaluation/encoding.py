"""Codes of a data set's pairs by the trained image and text network."""

from collections.abc import Iterable, Iterator

import numpy as np

from gch.data.pairs import Pairs
from gch.evaluation.codes import EncodedPairs
from gch.methods.method import Method
from gch.networks.inference import PIXEL_BATCH, VECTOR_BATCH, infer, sequential_images


def encode(
    method: Method,
    pairs: Pairs,
    features: np.ndarray | None,
    rows: np.ndarray,
    left_out: np.ndarray | None = None,
) -> EncodedPairs:
    """Encodes the pairs at `rows`, int64 (n,).

    Images are read as `features`, float32 (all rows, F) of a frozen backbone or of the data set, or else as
    pixels. `left_out`, int64 (N,), are the ascending rows of the training items: each of them is encoded
    without its own entry in the method's table of neighbours, if it has one. None encodes all as new items.
    """
    encoders, positions = method.encoders, None
    if left_out is not None and method.encoders_without_own:
        encoders = method.encoders_without_own
        found = np.searchsorted(left_out, rows).clip(max=len(left_out) - 1)
        positions = np.where(left_out[found] == rows, found, -1).astype(np.int32)
    size = method.encoding_batch or VECTOR_BATCH
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    if features is not None:
        images: Iterable[np.ndarray] = (features[part] for part in parts)
    else:
        assert pairs.pictures is not None  # a data set has pixels where it has no features
        images = sequential_images(pairs.pictures, rows, method.encoding_batch or PIXEL_BATCH)
    texts = (pairs.texts[part].astype(np.float32) for part in parts)

    def codes(kind: str, batches: Iterable[np.ndarray]) -> np.ndarray:
        return infer(encoders[kind], _with_positions(batches, positions), "code")[0]

    return EncodedPairs(codes("image", images), codes("text", texts), pairs.labels[rows], rows)


def _with_positions(batches: Iterable[np.ndarray], positions: np.ndarray | None) -> Iterator:
    start = 0
    for batch in batches:
        yield batch if positions is None else [batch, positions[start : start + len(batch)]]
        start += len(batch)
