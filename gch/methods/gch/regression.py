"""Ridge regression (Hoerl and Kennard, 1970) from vectors to labels, in closed form.

With S the covariance of N vectors x (F,), m its mean variance, and C the covariance with the labels,

    W = (S + m I)^-1 C

and with h(z, x) = 1/N + (z - mean)^T (S + m I)^-1 (x - mean) / N, an item's own leverage is h(x, x). Where
this regression predicts y(z), one on all items but x, whose labels are l, would predict (Allen, 1974)

    y(z) - h(z, x) (l - y(x)) / (1 - h(x, x)).
"""

from typing import NamedTuple

import numpy as np

from gch.methods.gch.canonical import ROWS, Moments

WIDEST = 2**12  # of more columns, those that vary most are read


class Regression(NamedTuple):
    """A regression, and what it predicts of each training item without having seen it, by its views."""

    kernel: np.ndarray  # float64 (F, C)
    bias: np.ndarray  # float64 (C,)
    left_out: list[np.ndarray]  # float32 (N, C) each, not clipped


def ridge_regression(vectors: np.ndarray, labels: np.ndarray, *views: np.ndarray) -> Regression:
    """The regression of labels (N, C), multi-hot, on vectors (N, F), float32 both; N is 2 or more.

    `views` are other vectors (N, F) of the same items, for which it predicts too.
    """
    whole = np.zeros((vectors.shape[1], labels.shape[1]))
    columns = np.arange(len(whole))
    if len(columns) > WIDEST:
        columns = np.argsort(-vectors.var(axis=0), kind="stable")[:WIDEST]
        vectors, views = vectors[:, columns], tuple(view[:, columns] for view in views)
    count, size = vectors.shape
    moments = Moments.of(vectors, labels)
    covariance, mean = moments.covariance, moments.sums / count
    square = covariance[:size, :size]
    weight = max(np.trace(square) / size, 1e-12)
    inverse = np.linalg.inv(square + weight * np.eye(size))
    kernel = inverse @ covariance[:size, size:]
    bias = mean[size:] - mean[:size] @ kernel
    left_out = [np.empty(labels.shape, np.float32) for _ in (vectors, *views)]
    for start in range(0, count, ROWS):
        part = slice(start, start + ROWS)
        around = vectors[part] - mean[:size]
        weighed = around @ inverse / count
        own = 1 / count + np.einsum("nf,nf->n", weighed, around)[:, None]
        missed = (labels[part] - mean[size:] - around @ kernel) / (1 - own)
        for found, view in zip(left_out, (vectors, *views), strict=True):
            seen = view[part] - mean[:size]
            leverage = 1 / count + np.einsum("nf,nf->n", weighed, seen)[:, None]
            found[part] = seen @ kernel + mean[size:] - leverage * missed
    whole[columns] = kernel
    return Regression(whole, bias, left_out)
