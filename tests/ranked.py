"""Items with random codes and labels, and what comparing all of their bits finds."""

import dataclasses

import numpy as np

from gch.evaluation.codes import CodedItems, coded_items


def random_items(seed: int, count: int, bits: int = 16, labels: int = 5, steps: int = 0) -> CodedItems:
    """Items with relaxed codes, of `steps` in multiples of 1 / steps, so that their scores tie."""
    random = np.random.default_rng(seed)
    relaxed = np.tanh(random.normal(size=(count, bits))).astype(np.float32)
    relaxed = (steps * relaxed).round() / steps if steps else relaxed
    return dataclasses.replace(
        coded_items(relaxed, random.random((count, labels)) < 0.35), relaxed=relaxed.astype(np.float32)
    )


def signs(items: CodedItems) -> np.ndarray:
    """The binary codes (N, K), of -1.0 and 1.0."""
    return np.where(np.unpackbits(items.codes, axis=1, count=items.bits), 1.0, -1.0)


def distances(queries: CodedItems, items: CodedItems) -> np.ndarray:
    """Hamming distances (Q, N)."""
    return (signs(queries)[:, None] != signs(items)).sum(axis=2)
