"""Items as evaluation needs them: packed codes and labels."""

import dataclasses

import numpy as np

from gch.codes import pack


@dataclasses.dataclass(frozen=True)
class CodedItems:
    """N items.

    Attributes:
      codes: uint8 (N, ceil(K / 8)), packed as by numpy.packbits: the first bit is the highest of the first
        byte; bits beyond K are 0.
      bits: length of a code K.
      labels: uint8 (N, C), multi-hot.
    """

    codes: np.ndarray
    bits: int
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    def signs(self) -> np.ndarray:
        """The codes as -1 and +1, float32 (N, K)."""
        return 2 * np.unpackbits(self.codes, axis=1, count=self.bits).astype(np.float32) - 1

    def only(self, chosen: np.ndarray) -> "CodedItems":
        """The items that `chosen`, positions or bool (N,), names."""
        return CodedItems(self.codes[chosen], self.bits, self.labels[chosen])


def coded_items(codes: np.ndarray, labels: np.ndarray) -> CodedItems:
    """From codes of -1 and +1, or relaxed ones, of which the signs count.

    Args:
      codes: (N, K) of any real dtype; 0 counts as +1.
      labels: (N, C), multi-hot.
    """
    return CodedItems(pack(codes), codes.shape[1], np.asarray(labels).astype(np.uint8))
