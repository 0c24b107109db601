"""Codes of a data set's pairs by the trained encoders."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

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
    size = method.encoding_batch or (PIXEL_BATCH if features is None else VECTOR_BATCH)
    parts = [slice(start, start + size) for start in range(0, len(rows), size)]
    images: Iterable[np.ndarray | tf.Tensor]
    if features is not None:
        images = (features[rows[part]] for part in parts)
    else:
        assert pairs.pictures is not None  # a data set has pixels where it has no features
        images = sequential_images(pairs.pictures, rows, size)
    batches: dict[str, list[np.ndarray]] = {kind: [] for kind in encoders}
    for part, pictures in zip(parts, images, strict=True):
        texts = pairs.texts[rows[part]].astype(np.float32)
        inputs = {"image": [pictures], "text": [texts], "pair": [pictures, texts]}
        for kind, network in encoders.items():
            taken = inputs[kind] if positions is None else [*inputs[kind], positions[part]]
            batches[kind] += infer(network, [taken if len(taken) > 1 else taken[0]], "code")
    codes = {kind: np.concatenate(parts) for kind, parts in batches.items()}
    return EncodedPairs(codes, pairs.labels[rows], rows)
