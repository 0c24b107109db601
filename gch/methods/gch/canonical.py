"""Canonical correlations (Hotelling, 1936): a common space of pictures' and texts' vectors, in closed form.

Both are projected so that a picture and its own text lie near each other. With covariances S_xx, S_tt and
S_xt, regularised by a ridge (Vinod, 1976), and the singular value decomposition

    S_xx^-1/2 S_xt S_tt^-1/2 = U diag(r) V^T

the projections are S_xx^-1/2 U diag(r) and S_tt^-1/2 V diag(r): directions count by their correlations r.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

ROWS = 2**14  # whose products are computed at once


class Projection(NamedTuple):
    """Vectors x (..., F) to (x - mean) matrix (..., W)."""

    mean: np.ndarray  # float64 (F,)
    matrix: np.ndarray  # float64 (F, W)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Projects vectors (..., F) to float32 (..., W)."""
        matrix = self.matrix.astype(np.float32)
        return vectors.astype(np.float32) @ matrix - (self.mean @ self.matrix).astype(np.float32)


class Moments(NamedTuple):
    """Sums over n pairs of vectors x (F,) and t (D,), joined to (F + D,)."""

    pairs: int  # n
    sums: np.ndarray  # float64 (F + D,)
    products: np.ndarray  # float64 (F + D, F + D)

    @classmethod
    def of(cls, images: np.ndarray, texts: np.ndarray) -> "Moments":
        """The moments of pairs, (n, F) and (n, D)."""
        size = images.shape[1] + texts.shape[1]
        sums, products = np.zeros(size), np.zeros((size, size))
        for start in range(0, len(images), ROWS):
            part = slice(start, start + ROWS)
            joined = np.hstack([images[part], texts[part]]).astype(np.float32)
            total, middle = joined.sum(axis=0, dtype=np.float64), joined.mean(axis=0)
            # Large means would drown the variances in products of float32.
            joined -= middle
            around = np.outer(total - len(joined) / 2 * middle.astype(np.float64), middle)
            sums += total
            products += joined.T @ joined + around + around.T
        return cls(len(images), sums, products)

    def __sub__(self, other: "Moments") -> "Moments":
        """The moments of the pairs that are not among those of `other`."""
        pairs, sums = self.pairs - other.pairs, self.sums - other.sums
        return Moments(pairs, sums, self.products - other.products)

    def with_all(self, others: Iterable["Moments"]) -> "Moments":
        """The moments of these pairs and of all others."""
        every = [self, *others]
        sums, products = sum(one.sums for one in every), sum(one.products for one in every)
        return Moments(sum(one.pairs for one in every), np.asarray(sums), np.asarray(products))

    @property
    def covariance(self) -> np.ndarray:
        """Float64 (F + D, F + D)."""
        mean = self.sums / self.pairs
        return self.products / self.pairs - np.outer(mean, mean)


def projections(moments: Moments, features: int, width: int, ridge: float) -> tuple[Projection, Projection]:
    """The projections of pictures and texts to their common space of min(width, F, D) dimensions.

    `features` is F, by which the moments of the training pairs are cut; `ridge`, more than 0, is added to the
    variances of each side in units of their mean.
    """
    covariance, mean = moments.covariance, moments.sums / moments.pairs
    sides = slice(0, features), slice(features, None)
    roots = [_inverse_root(covariance[side, side], ridge) for side in sides]
    left, correlations, right = np.linalg.svd(roots[0] @ covariance[sides[0], sides[1]] @ roots[1])
    width = min(width, len(correlations))
    directions = left[:, :width], right[:width].T
    image, text = (
        Projection(mean[side], root @ direction * correlations[:width])
        for side, root, direction in zip(sides, roots, directions, strict=True)
    )
    # Pictures of the training set have a mean square of 1 in the common space.
    square = np.vdot(image.matrix, covariance[sides[0], sides[0]] @ image.matrix) / width
    scale = 1 / np.sqrt(max(square, 1e-12))
    return image._replace(matrix=image.matrix * scale), text._replace(matrix=text.matrix * scale)


def turned(own: Sequence[Projection], others: Sequence[Projection], moments: Moments) -> list[Projection]:
    """Projections rotated so that what they make of the pairs of `moments` is nearest to what others do.

    Projections of two sets of pairs span nearly the same space, by other directions (Schönemann, 1966).
    """
    covariance, start, cross = moments.covariance, 0, np.zeros(())
    for one, other in zip(own, others, strict=True):
        side = slice(start, start + len(one.mean))
        cross = cross + one.matrix.T @ covariance[side, side] @ other.matrix
        start = side.stop
    left, _, right = np.linalg.svd(cross)
    return [one._replace(matrix=one.matrix @ (left @ right)) for one in own]


def _inverse_root(covariance: np.ndarray, ridge: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    weight = ridge * max(values.mean(), 1e-12)
    return (vectors / np.sqrt(values.clip(min=0) + weight)) @ vectors.T
