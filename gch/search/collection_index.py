"""The items of a collection to search, by modality, in files or in an engine."""

import bisect
import contextlib
import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gch.errors import DataError
from gch.search.asymmetric import ReadCodes
from gch.search.hamming import Search


@dataclasses.dataclass(frozen=True)
class Source:
    """A folder of codes."""

    root: str  # folder that ids of pictures are relative to; '' for texts
    items: int


@dataclasses.dataclass(frozen=True, eq=False)
class IndexPart:
    """Items of one modality; several threads may search at once.

    With hash and hnsw `search` may miss near items, but it finds as many as flat; which of several items at
    the largest distance it finds is not defined. Methods raise DataError where there is no such row.
    """

    modality: str  # one of `gch.search.codes_folder.MODALITIES`
    kind: str  # one of `gch.search.index_kinds.KINDS`, or 'clickhouse'
    sources: Sequence[Source]  # the folders that the items are from, in the order of rows
    search: Search  # finds the nearest items, in the order of distance, then row
    read_codes: ReadCodes  # at rows
    read_items: Callable[[Sequence[int]], list[dict[str, str]]]  # at rows

    @functools.cached_property
    def _stops(self) -> list[int]:
        return list(itertools.accumulate(source.items for source in self.sources))

    def __len__(self) -> int:
        return self._stops[-1]

    def code(self, row: int) -> np.ndarray:
        """The code of an item, uint8 (K / 8,)."""
        self._require([row])
        return self.read_codes([row])[0]

    def items(self, rows: Sequence[int]) -> list[dict[str, str]]:
        """Items: id, and text where there is one."""
        self._require(rows)
        return self.read_items(rows)

    def picture(self, row: int, identity: str) -> Path | None:
        """The absolute path of an item's picture, whose id is given; None where it has none, or, of a pair,
        where the file is gone.
        """
        if self.modality == "text":
            return None
        with contextlib.suppress(DataError):
            path = self.picture_path(row, identity)
            return path if self.modality == "image" or os.path.isfile(path) else None
        return None

    def picture_path(self, row: int, identity: str) -> Path:
        """The absolute path of the picture of an image or a pair, whose id is given.

        Raises:
          DataError: it lies outside the folder of pictures, as '../x', an absolute path or a link would; or
            vectors were encoded without names, and no picture is known.
        """
        folder = self.sources[bisect.bisect_right(self._stops, row)].root
        if not folder:
            raise DataError(f"{identity}: has no picture; expected vectors encoded with --names")
        root = Path(folder)
        try:
            path = (root / identity).resolve()
            if path.is_relative_to(root.resolve()):
                return path
        except (OSError, ValueError) as error:  # a loop of links, a zero byte
            raise DataError(f"{identity}: not a path, {error}; expected a picture inside {root}") from error
        raise DataError(f"{identity}: lies outside {root}; expected a picture inside it")

    def _require(self, rows: Sequence[int]) -> None:
        for row in rows:
            if not 0 <= row < len(self):
                raise DataError(f"no {self.modality} {row}; expected 0 to {len(self) - 1}")


class CollectionIndex(NamedTuple):
    """Coded images, texts, pairs, or several of these."""

    bits: int  # length of a code K
    model: str  # digest of the model that made the codes
    parts: Mapping[str, IndexPart]  # by modality
    close: Callable[[], None] = lambda: None
