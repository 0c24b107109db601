"""What every reader of a data set offers to the rest of the project."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np


class SplitSizes(NamedTuple):
    """How many items each part of a split takes.

    The query set and the retrieval set share no item. Training and validation items belong to the
    retrieval set and share no item with each other.
    """

    query: int
    retrieval: int
    training: int
    validation: int


@runtime_checkable
class Pairs(Protocol):
    """N image-text pairs with labels. Texts and labels are in memory; images are read when asked for.

    Attributes:
      name: the name of the data set, as it appears in file names, such as 'openmoji'.
      texts: uint8 or float32 (N, D), bag of words.
      labels: uint8 (N, C), multi-hot.
      tag_names: D words, or an empty tuple where the data set does not tell them.
      label_names: C names, or an empty tuple.
      default_sizes: the split that the data set's literature uses, or that its size suggests.
      block: number of consecutive rows that are cheapest to read together (the chunk of the file);
        1 where any row costs the same.
      digest: names the content, whatever the file is called: changes with any text, label or image.
    """

    name: str
    texts: np.ndarray
    labels: np.ndarray
    tag_names: tuple[str, ...]
    label_names: tuple[str, ...]
    default_sizes: SplitSizes
    block: int
    digest: str

    def images(self, rows: np.ndarray) -> np.ndarray:
        """Reads images.

        Args:
          rows: int64 (n,), row numbers in 0..N-1, in any order.

        Returns:
          uint8 (n, H, W, 3), RGB, in the order of `rows`.
        """
        ...
