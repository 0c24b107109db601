"""Pairs whose images are one array, in memory or memory-mapped."""

from dataclasses import dataclass

import numpy as np

from gch.data.pairs import SplitSizes


@dataclass(frozen=True, eq=False)
class ArrayPairs:
    """Implements `gch.data.pairs.Pairs` on an array of pictures, uint8 (N, H, W, 3), RGB."""

    name: str
    texts: np.ndarray
    labels: np.ndarray
    tag_names: tuple[str, ...]
    label_names: tuple[str, ...]
    default_sizes: SplitSizes
    digest: str
    pictures: np.ndarray
    block: int = 1

    def images(self, rows: np.ndarray) -> np.ndarray:
        """Copies the images of `rows`, int64 (n,), out of the array: uint8 (n, H, W, 3)."""
        return np.asarray(self.pictures[rows])
