"""Pictures that are one array, in memory or memory-mapped."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayPictures:
    """Implements `gch.data.pairs.Pictures` on an array, uint8 (N, H, W, 3), RGB."""

    array: np.ndarray
    block: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.array.shape[1:3]

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Copies the pictures of `rows`, int64 (n,), out of the array: uint8 (n, H, W, 3)."""
        return np.asarray(self.array[rows])
