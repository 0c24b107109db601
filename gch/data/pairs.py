"""What every reader of a data set hands to the rest of the project."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

import numpy as np

_ITEMS_AT_ONCE = 16384


class SplitSizes(NamedTuple):
    """How many items each part of a split takes.

    The query set and the retrieval set share no item. Training and validation items belong to the
    retrieval set and share no item with each other.
    """

    query: int
    retrieval: int
    training: int
    validation: int


class OwnSplit(NamedTuple):
    """The split that a data set's own files make: int64 row numbers, ascending.

    No query is in another part. Training items need not be in the retrieval set.
    """

    query: np.ndarray
    retrieval: np.ndarray
    training: np.ndarray


class Pictures(Protocol):
    """Where the pixels of N pictures are read from; any thread may read.

    Attributes:
      size: height and width, in pixels.
      block: number of consecutive rows that are cheapest to read together (the chunk of the file); 1 where
        any row costs the same.
    """

    size: tuple[int, int]
    block: int

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Reads pictures.

        Args:
          rows: int64 (n,), row numbers in 0..N-1, in any order.

        Returns:
          uint8 (n, H, W, 3), RGB, in the order of `rows`.

        Raises:
          DataError: they cannot be read.
        """
        ...


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Pairs:
    """N image-text pairs with labels. Texts and labels are in memory or memory-mapped; pixels are read when
    asked for.

    Attributes:
      name: the name of the data set, as it appears in file names, such as 'openmoji'.
      texts: uint8 (N, D), bag of words: 0 and 1, or counts. D is 0 while raw `captions` await a vocabulary.
      labels: uint8 (N, C), multi-hot.
      default_sizes: the split that the data set's literature uses, or that its size suggests.
      digest: names the content, whatever the files are called: changes with any text or label, and with the
        pictures.
      tag_names: D words, or an empty tuple where the data set does not tell them.
      label_names: C names, or an empty tuple.
      pictures: the pixels, or None where the data set has `features` instead.
      features: float32 (N, F), features of the images by the network of whoever made the data set.
      captions: raw texts, a str (free text) or a tuple of str (tags) for each item, or None.
      ids: what each item is called (its file), or None.
      own_split: the split that the files make, or None.
      found: what was read, one line for each array or file.
    """

    name: str
    texts: np.ndarray
    labels: np.ndarray
    default_sizes: SplitSizes
    digest: str
    tag_names: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()
    pictures: Pictures | None = None
    features: np.ndarray | None = None
    captions: Sequence[str | tuple[str, ...]] | None = None
    ids: Sequence[str] | None = None
    own_split: OwnSplit | None = None
    found: tuple[str, ...] = ()


def multi_hot(sets: Sequence[Collection[str]], names: Sequence[str]) -> np.ndarray:
    """Which of `names` each of n sets holds, uint8 (n, names); other members of a set are passed over."""
    column = {name: number for number, name in enumerate(names)}
    array = np.zeros((len(sets), len(names)), np.uint8)
    for row, chosen in enumerate(sets):
        array[row, [column[name] for name in chosen if name in column]] = 1
    return array


def empty_items(pairs: Pairs) -> list[str]:
    """One line for what items lack without being wrong: words, labels."""
    lines, total = [], len(pairs.labels)
    if pairs.texts.shape[1] and (wordless := _empty_rows(pairs.texts)):
        lines.append(f"{wordless} of {total} items have no word of the vocabulary")
    if unlabelled := _empty_rows(pairs.labels):
        lines.append(f"{unlabelled} of {total} items have no label, so nothing is relevant to them")
    return lines


def _empty_rows(matrix: np.ndarray) -> int:
    """How many rows have zeros only, counted in parts: the matrix may be memory-mapped."""
    return sum(
        int((~matrix[start : start + _ITEMS_AT_ONCE].any(axis=1)).sum())
        for start in range(0, len(matrix), _ITEMS_AT_ONCE)
    )
