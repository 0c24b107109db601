"""What is searched: the items of a collection by modality, in files or in an engine."""

import bisect
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gch.errors import DataError
from gch.search.hamming import Search
from gch.search.index_note import Source


class IndexPart:
    """Items of one modality; several threads may search at once.

    Args:
      modality: 'image' or 'text'.
      kind: one of `gch.search.index_kinds.KINDS`, or 'clickhouse'.
      sources: where the items are from, in the order of rows.
      search: finds the nearest items, in the order of distance, then row. Of hash and hnsw it misses some,
        and which of several items of the largest distance it finds is not defined.
      read_code: the code at a row, uint8 (K / 8,).
      read_items: items at rows, dictionaries with id, and text where there is one.

    Attributes:
      modality, kind, search: these.
    """

    def __init__(
        self,
        modality: str,
        kind: str,
        sources: Sequence[Source],
        search: Search,
        read_code: Callable[[int], np.ndarray],
        read_items: Callable[[Sequence[int]], list[dict[str, str]]],
    ):
        self.modality, self.kind, self.search = modality, kind, search
        self._read_code, self._read_items = read_code, read_items
        self._roots = [source.root for source in sources]
        self._stops = list(itertools.accumulate(source.items for source in sources))

    def __len__(self) -> int:
        return self._stops[-1]

    def code(self, row: int) -> np.ndarray:
        """The code of an item, uint8 (K / 8,); raises DataError where there is none."""
        self._require([row])
        return self._read_code(row)

    def item(self, row: int) -> dict[str, str]:
        """One of `items`."""
        return self.items([row])[0]

    def items(self, rows: Sequence[int]) -> list[dict[str, str]]:
        """Items: id, and text where there is one; raises DataError where there is none."""
        self._require(rows)
        return self._read_items(rows)

    def picture_path(self, row: int) -> Path:
        """The absolute path of an image.

        Raises:
          DataError: it lies outside the folder of pictures, as '../x', an absolute path or a link would.
        """
        identity = self.item(row)["id"]
        root = Path(self._roots[bisect.bisect_right(self._stops, row)])
        try:
            folder, path = root.resolve(), (root / identity).resolve()
        except (OSError, ValueError) as error:  # a loop of links, a zero byte
            raise DataError(f"{identity}: no path, {error}; expected a picture inside {root}") from error
        if not path.is_relative_to(folder):
            raise DataError(f"{identity}: lies outside {root}; expected a picture inside it")
        return path

    def _require(self, rows: Sequence[int]) -> None:
        for row in rows:
            if not 0 <= row < len(self):
                raise DataError(f"no {self.modality} {row}; expected 0 to {len(self) - 1}")


class CollectionIndex(NamedTuple):
    """Coded images, texts or both."""

    bits: int  # length of a code K
    model: str  # digest of the model that made the codes
    parts: Mapping[str, IndexPart]  # by modality
    close: Callable[[], None] = lambda: None
