"""An index: the items of a collection, of which those nearest to a code are found."""

import bisect
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gch.errors import DataError
from gch.search import codes_folder
from gch.search.engine.address import is_engine
from gch.search.equal_codes import read_equal
from gch.search.found import Found, in_order, picture_inside
from gch.search.index_kinds import faiss_search, flat_search, read
from gch.search.index_note import NOTE, PartNote, Source, read_note
from gch.search.items import Items

if TYPE_CHECKING:
    from gch.search.engine.index import EngineIndex

EXPECTED = "expected a folder that `index` or `encode` wrote"


class IndexPart:
    """Items of one modality; several threads may search at once.

    Args:
      modality: 'image' or 'text'.
      kind: one of `gch.search.index_kinds.KINDS`.
      codes: uint8 (N, K / 8).
      items: N items.
      sources: where they are from, in order.
      search: finds the nearest codes, see `gch.search.index_kinds.flat_search`.

    Attributes:
      modality, kind: these.
    """

    def __init__(
        self,
        modality: str,
        kind: str,
        codes: np.ndarray,
        items: Sequence[dict[str, str]],
        sources: Sequence[Source],
        search: Callable[[np.ndarray, int], Found],
    ):
        self.modality, self.kind = modality, kind
        self._codes, self._items, self._search = codes, items, search
        self._roots = [source.root for source in sources]
        self._stops = list(itertools.accumulate(source.items for source in sources))

    def __len__(self) -> int:
        return len(self._codes)

    def search(self, codes: np.ndarray, count: int) -> Found:
        """The nearest items of each query, in the order of distance, then row.

        A flat index finds the first `count` of all items in that order. Other kinds miss some, and which of
        several items of the largest distance are found is not defined.

        Args:
          codes: uint8 (Q, K / 8), packed.
          count: most items for a query, 1 or more.
        """
        width = self._codes.shape[1]
        if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != width or count < 1:
            raise ValueError(f"{codes.dtype} {codes.shape}, {count} results; expected uint8 (Q, {width}), 1")
        rows = np.full((len(codes), count), -1, np.int64)
        distances = np.full((len(codes), count), -1, np.int32)
        places = min(count, len(self))
        if places and len(codes):
            found = in_order(self._search(np.ascontiguousarray(codes), places))
            rows[:, :places], distances[:, :places] = found
        return Found(rows, distances)

    def code(self, row: int) -> np.ndarray:
        """The code of an item, uint8 (K / 8,)."""
        self._require(row)
        return np.array(self._codes[row])

    def item(self, row: int) -> dict[str, str]:
        """An item: id, and text where there is one."""
        self._require(row)
        return self._items[row]

    def picture_path(self, row: int) -> Path:
        """The absolute path of an image.

        Raises:
          DataError: it lies outside the folder of pictures.
        """
        root = self._roots[bisect.bisect_right(self._stops, row)]
        return picture_inside(root, self.item(row)["id"])

    def _require(self, row: int) -> None:
        if not 0 <= row < len(self):
            raise IndexError(row)


class Index:
    """Coded images, texts or both.

    Attributes:
      bits: length of a code K.
      model: digest of the model that made them.
      parts: by modality, 'image' and 'text', those that there are.
    """

    def __init__(self, bits: int, model: str, parts: Mapping[str, IndexPart]):
        self.bits, self.model, self.parts = bits, model, dict(parts)


def open_index(path: str | Path) -> "Index | EngineIndex":
    """Opens an index; a folder of codes counts as a flat one.

    Args:
      path: the folder, or the URI of an engine, see `gch.search.engine.address`.

    Raises:
      DataError: there is none, or it is damaged.
      RunError: FAISS or the engine's client is not installed, or the engine cannot be reached.
      SettingError: the URI is none.
    """
    if is_engine(path):
        from gch.search.engine.index import open_engine  # its client is an extra

        return open_engine(str(path))
    path = Path(path)
    if not (path / NOTE).is_file():
        return _open_codes(path)
    note = read_note(path)
    parts = {
        modality: _open_part(path, modality, part, note.bits) for modality, part in sorted(note.parts.items())
    }
    return Index(note.bits, note.model, parts)


def _open_codes(path: Path) -> Index:
    if not (path / codes_folder.NOTE).is_file() and not any(path.glob("shard-*-of-*")):
        raise DataError(f"{path}: no {NOTE} or {codes_folder.NOTE} in it; {EXPECTED}")
    codes = codes_folder.open_codes(path)
    part = IndexPart(
        codes.modality,
        "flat",
        codes.codes,
        codes.items,
        [Source(codes.root, len(codes.items))],
        flat_search(codes.codes),
    )
    return Index(codes.bits, codes.model, {codes.modality: part})


def _open_part(path: Path, modality: str, note: PartNote, bits: int) -> IndexPart:
    codes = codes_folder.read_codes_file(path / f"{modality}.codes", note.items, bits)
    items = Items([(path / f"{modality}.items", note.items)])
    if note.kind == "flat":
        search = flat_search(codes)
    else:
        file = path / f"{modality}.faiss"
        size = file.stat().st_size if file.is_file() else 0
        if size != note.faiss_bytes:
            raise DataError(f"{file}: {size} bytes, expected {note.faiss_bytes}; build the index again")
        equal = read_equal(path / f"{modality}.equal", note.items, note.distinct)
        search = faiss_search(read(file, note.kind, note.parameters, note.distinct, bits), equal)
    return IndexPart(modality, note.kind, codes, items, note.sources, search)
