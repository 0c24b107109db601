"""Ridge regression (Hoerl and Kennard, 1970) from vectors to labels, in closed form.

With S the covariance of N vectors x (F,), m its mean variance, and C the covariance with the labels,

    W = (S + m I)^-1 C

and an item's own leverage is h = 1/N + (x - mean)^T (S + m I)^-1 (x - mean) / N. A regression on all other
items would predict (y - h l) / (1 - h) for it, where this one predicts y and its labels are l (Allen, 1974).
"""

from typing import NamedTuple

import numpy as np

from gch.methods.gch.canonical import ROWS, Moments

WIDEST = 2**12  # of more columns, those that vary most are read


class Regression(NamedTuple):
    """A regression, and what it predicts of training items without having seen them."""

    kernel: np.ndarray  # float64 (F, C)
    bias: np.ndarray  # float64 (C,)
    left_out: np.ndarray  # float32 (N, C), not clipped


def ridge_regression(vectors: np.ndarray, labels: np.ndarray) -> Regression:
    """The regression of labels (N, C), multi-hot, on vectors (N, F), float32 both; N is 2 or more."""
    whole = np.zeros((vectors.shape[1], labels.shape[1]))
    columns = np.arange(len(whole))
    if len(columns) > WIDEST:
        columns = np.argsort(-vectors.var(axis=0), kind="stable")[:WIDEST]
        vectors = vectors[:, columns]
    count, size = vectors.shape
    moments = Moments.of(vectors, labels)
    covariance, mean = moments.covariance, moments.sums / count
    square = covariance[:size, :size]
    weight = max(np.trace(square) / size, 1e-12)
    inverse = np.linalg.inv(square + weight * np.eye(size))
    kernel = inverse @ covariance[:size, size:]
    bias = mean[size:] - mean[:size] @ kernel
    left_out = np.empty(labels.shape, np.float32)
    for start in range(0, count, ROWS):
        part = slice(start, start + ROWS)
        around = vectors[part] - mean[:size]
        leverage = 1 / count + np.einsum("nf,nf->n", around @ inverse, around)[:, None] / count
        predicted = around @ kernel + mean[size:]
        left_out[part] = (predicted - leverage * labels[part]) / (1 - leverage)
    whole[columns] = kernel
    return Regression(whole, bias, left_out)
