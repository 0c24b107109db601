"""Searches codes in an engine, as `gch.search.index` does in files."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from gch.errors import DataError
from gch.search.codes_folder import item_of
from gch.search.collection_index import CollectionIndex, IndexPart
from gch.search.engine.client import Address, Client, read_address
from gch.search.engine.loading import LOADED, TableNote, read_notes
from gch.search.hamming import Found, bounded

_ROWS_AT_ONCE = 1_000  # they travel in a URL


def open_engine(uri: str) -> CollectionIndex:
    """Opens codes that `load_into_engine` loaded; the search is exact.

    Raises:
      SettingError: the URI is not valid.
      DataError: it holds no codes, or not all are loaded.
      RunError: the engine cannot be reached.
    """
    address = read_address(uri)
    folder = address.options.get("path")
    if folder is not None and not os.path.isdir(folder):
        raise DataError(f"{address}: no such folder; {LOADED}")
    client = Client(address)
    try:
        notes = read_notes(client, address)
        if not notes:
            raise DataError(f"{address}: no codes there; {LOADED}")
        parts = {modality: _open_part(client, address, modality, note) for modality, note in notes.items()}
        first = next(iter(notes.values()))
        return CollectionIndex(first.bits, first.model, parts, client.close)
    except BaseException:
        client.close()
        raise


def _open_part(client: Client, address: Address, modality: str, note: TableNote) -> IndexPart:
    table = address.table(modality)
    ((items,),) = client.columns(f"SELECT count() FROM {table}")
    if items != note.items:
        raise DataError(
            f"{address}: {items} of {note.items} {modality}s are loaded; expected all; load again"
        )

    def search(codes: np.ndarray, count: int) -> Found:
        query = (
            f"SELECT row, bitHammingDistance(code, toFixedString(unhex({{code:String}}), {note.bits // 8})) "
            f"AS d FROM {table} ORDER BY d, row LIMIT {{count:UInt64}}"
        )
        found = [client.columns(query, code=code.tobytes().hex(), count=count) for code in codes]
        rows, distances = zip(*found, strict=True)
        return Found(np.array(rows, np.int64), np.array(distances, np.int32))

    def cells(column: str, rows: Sequence[int]) -> list[Any]:
        query = f"SELECT row, {column} FROM {table} WHERE row IN {{rows:Array(UInt64)}}"
        found: dict[int, Any] = {}
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            columns = client.columns(query, rows=list(rows[start : start + _ROWS_AT_ONCE]))
            found |= zip(*columns, strict=True)
        return [found[row] for row in rows]

    def read_codes(rows: Sequence[int]) -> np.ndarray:
        codes = bytes.fromhex("".join(cells("hex(code)", [int(row) for row in rows])))
        return np.frombuffer(codes, np.uint8).reshape(-1, note.bits // 8)

    def read_items(rows: Sequence[int]) -> list[dict[str, str]]:
        return [item_of(text, f"{address}: an item of the {modality}s") for text in cells("item", rows)]

    return IndexPart(modality, "clickhouse", note.sources, bounded(search, items), read_codes, read_items)
