"""Searching codes in an engine, as `gch.search.index` does in files."""

import collections
import json
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gch.errors import DataError
from gch.search.engine import tables
from gch.search.engine.address import Address, read_address
from gch.search.engine.client import Client
from gch.search.engine.note import LOADED, PartNote, read_notes
from gch.search.found import Found, picture_inside

KIND = "clickhouse"
_KEPT_ITEMS = 10_000
_ASKED_ROWS = 1_000  # they travel in a URL


class EngineIndex:
    """Codes in an engine.

    Args:
      client: of the engine.
      address: of the database.
      notes: what it holds, by modality.

    Attributes:
      bits: length of a code K.
      model: digest of the model that made them.
      parts: those of images and of texts that there are, by modality.
    """

    def __init__(self, client: Client, address: Address, notes: Mapping[str, PartNote]):
        first = next(iter(notes.values()))
        self._client = client
        self.bits, self.model = first.bits, first.model
        self.parts = {
            modality: EnginePart(client, address, modality, note) for modality, note in sorted(notes.items())
        }

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()


class EnginePart:
    """The codes of one modality; several threads may ask at once.

    Attributes:
      modality: 'image' or 'text'.
      kind: `KIND`.
    """

    kind = KIND

    def __init__(self, client: Client, address: Address, modality: str, note: PartNote):
        self.modality = modality
        self._client, self._note = client, note
        self._address, self._table = address, tables.name(address, modality)
        self._items = _Kept()

    def __len__(self) -> int:
        return self._note.items

    def search(self, codes: np.ndarray, count: int) -> Found:
        """The nearest items of each query; exact, in the order of distance, then row.

        Args:
          codes: uint8 (Q, K / 8), packed.
          count: most items for a query, at least 1.

        Raises:
          RunError: the engine does not answer.
        """
        rows = np.full((len(codes), count), -1, np.int64)
        distances = np.full((len(codes), count), -1, np.int32)
        width = self._note.bits // 8
        query = (
            f"SELECT row, bitHammingDistance(code, toFixedString(unhex({{code:String}}), {width})) AS d "
            f"FROM {self._table} ORDER BY d, row LIMIT {{count:UInt64}}"
        )
        for number, code in enumerate(codes):
            found = self._client.columns(query, {"code": code.tobytes().hex(), "count": count})
            if found:
                rows[number, : len(found[0])], distances[number, : len(found[0])] = found
        self._keep(rows)
        return Found(rows, distances)

    def code(self, row: int) -> np.ndarray:
        """The code of an item, uint8 (K / 8,)."""
        return np.frombuffer(bytes.fromhex(self._cell(row, "hex(code)")), np.uint8)

    def item(self, row: int) -> dict[str, str]:
        """An item: id, and text where there is one. Those found last cost no further question."""
        text = self._items.get(row)
        if text is None:
            text = self._cell(row, "item")
            self._items.put([row], [text])
        return json.loads(text)

    def picture_path(self, row: int) -> Path:
        """The absolute path of an image.

        Raises:
          DataError: it lies outside the folder of pictures.
        """
        root = self._note.sources[self._cell(row, "source")].root
        return picture_inside(root, self.item(row)["id"])

    def _keep(self, rows: np.ndarray) -> None:
        """Asks for the items of these rows at once: who searches shows them."""
        wanted = np.unique(rows[rows >= 0])[:_KEPT_ITEMS].tolist()
        missing = [row for row in wanted if self._items.get(row) is None]
        query = f"SELECT row, item FROM {self._table} WHERE row IN {{rows:Array(UInt64)}}"
        for start in range(0, len(missing), _ASKED_ROWS):
            found = self._client.columns(query, {"rows": missing[start : start + _ASKED_ROWS]})
            self._items.put(*found or ((), ()))

    def _cell(self, row: int, column: str):
        query = f"SELECT {column} FROM {self._table} WHERE row = {{row:UInt64}}"
        found = self._client.columns(query, {"row": int(row)})
        if not found:
            raise DataError(f"{self._address}: no {self.modality} {row}; expected 0 to {len(self) - 1}")
        return found[0][0]


def open_engine(uri: str) -> EngineIndex:
    """Opens codes that `load_into_engine` loaded.

    Raises:
      SettingError: the URI is none.
      DataError: there are no codes there, or not all are loaded.
      RunError: the engine cannot be reached.
    """
    address = read_address(uri)
    if address.folder is not None and not address.folder.is_dir():
        raise DataError(f"{address}: no such folder; {LOADED}")
    client = Client(address)
    try:
        notes = read_notes(client, address)
        if not notes:
            raise DataError(f"{address}: no codes there; {LOADED}")
        for modality, note in notes.items():
            ((items,),) = client.columns(f"SELECT count() FROM {tables.name(address, modality)}")
            if items != note.items:
                raise DataError(
                    f"{address}: {items} of {note.items} {modality}s are loaded; expected all, load again"
                )
        return EngineIndex(client, address, notes)
    except BaseException:
        client.close()
        raise


class _Kept:
    """The items that were asked for last, by row; several threads may use it."""

    def __init__(self):
        self._texts: collections.OrderedDict[int, str] = collections.OrderedDict()
        self._lock = threading.Lock()

    def get(self, row: int) -> str | None:
        with self._lock:
            text = self._texts.get(row)
            if text is not None:
                self._texts.move_to_end(row)
            return text

    def put(self, rows, texts) -> None:
        with self._lock:
            self._texts.update(zip(rows, texts, strict=True))
            while len(self._texts) > _KEPT_ITEMS:
                self._texts.popitem(last=False)
