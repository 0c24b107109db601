"""Searching codes in an engine, as `gch.search.index` does in files."""

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from gch.errors import DataError
from gch.search.engine import tables
from gch.search.engine.address import read_address
from gch.search.engine.client import Client
from gch.search.hamming import Found, bounded
from gch.search.index_part import CollectionIndex, IndexPart

_ROWS_AT_ONCE = 1_000  # they travel in a URL


def open_engine(uri: str) -> CollectionIndex:
    """Opens codes that `load_into_engine` loaded; the search is exact.

    Raises:
      SettingError: the URI is none.
      DataError: there are no codes there, or not all are loaded.
      RunError: the engine cannot be reached.
    """
    address = read_address(uri)
    folder = address.options.get("path")
    if folder is not None and not os.path.isdir(folder):
        raise DataError(f"{address}: no such folder; {tables.LOADED}")
    client = Client(address)
    try:
        note = tables.read_notes(client, address)
        if note is None:
            raise DataError(f"{address}: no codes there; {tables.LOADED}")
        parts = {}
        for modality, part in note.parts.items():
            table = _Table(client, tables.name(address, modality), note.bits)
            ((items,),) = client.columns(f"SELECT count() FROM {tables.name(address, modality)}")
            if items != part.items:
                raise DataError(
                    f"{address}: {items} of {part.items} {modality}s are loaded; expected all, load again"
                )
            parts[modality] = IndexPart(
                modality, part.kind, part.sources, bounded(table.search, items), table.code, table.items
            )
        return CollectionIndex(note.bits, note.model, parts, client.close)
    except BaseException:
        client.close()
        raise


class _Table:
    def __init__(self, client: Client, name: str, bits: int):
        self._client, self._name, self._width = client, name, bits // 8

    def search(self, codes: np.ndarray, count: int) -> Found:
        query = (
            f"SELECT row, bitHammingDistance(code, toFixedString(unhex({{code:String}}), {self._width})) "
            f"AS d FROM {self._name} ORDER BY d, row LIMIT {{count:UInt64}}"
        )
        found = [self._client.columns(query, code=code.tobytes().hex(), count=count) for code in codes]
        rows, distances = zip(*found, strict=True)
        return Found(np.array(rows, np.int64), np.array(distances, np.int32))

    def code(self, row: int) -> np.ndarray:
        return np.frombuffer(bytes.fromhex(self._cells("hex(code)", [row])[0]), np.uint8)

    def items(self, rows: Sequence[int]) -> list[dict[str, str]]:
        return [json.loads(text) for text in self._cells("item", rows)]

    def _cells(self, column: str, rows: Sequence[int]) -> list[Any]:
        query = f"SELECT row, {column} FROM {self._name} WHERE row IN {{rows:Array(UInt64)}}"
        found: dict[int, Any] = {}
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            columns = self._client.columns(query, rows=list(rows[start : start + _ROWS_AT_ONCE]))
            found |= zip(*columns, strict=True)
        return [found[row] for row in rows]
