"""Loading codes into an engine, so that a process killed at any moment goes on where it was."""

import bisect
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from gch.errors import RunError
from gch.search.codes_folder import MODALITIES, Codes, require_one_model
from gch.search.engine import tables
from gch.search.engine.address import Address, read_address
from gch.search.engine.client import Client
from gch.search.engine.note import note_of, read_notes, write_note
from gch.search.items import item_line

BLOCK = 65_536


class Loaded(NamedTuple):
    """Attributes:
    modality: 'image' or 'text'.
    items: number of them that the engine holds.
    new: how many of these it did not hold before.
    """

    modality: str
    items: int
    new: int


def load_into_engine(
    sources: Sequence[Codes], uri: str, progress: Callable[[int], object] = lambda items: None
) -> list[Loaded]:
    """Loads codes, of images or texts or both; what is there already is not loaded again.

    Args:
      sources: codes of one model; those of a modality are one after the other.
      uri: of the engine and database, see `gch.search.engine.address`; its tables are made.
      progress: called with a number of items more that are loaded.

    Raises:
      SettingError: the URI is none.
      DataError: the codes are of several models.
      RunError: the engine cannot be reached, or the database holds other codes.
    """
    address = read_address(uri)
    require_one_model(sources)
    client = Client(address)
    try:
        return _load(client, address, sources, progress)
    finally:
        client.close()


def _load(client: Client, address: Address, sources: Sequence[Codes], progress) -> list[Loaded]:
    groups = {modality: [one for one in sources if one.modality == modality] for modality in MODALITIES}
    found, loaded = read_notes(client, address), []
    require_one_model(sources, [(str(address), note.bits, note.model) for note in found.values()])
    for statement in tables.notes_creation(address):
        client.command(statement)
    for modality, group in groups.items():
        if group:
            note = note_of(group)
            if found.get(modality, note) != note:
                raise RunError(
                    f"{address}: holds {found[modality].items} {modality}s other than the {note.items} "
                    "given; expected the same codes, or another database"
                )
            for statement in tables.codes_creation(address, modality, note.bits):
                client.command(statement)
            if modality not in found:
                write_note(client, address, modality, note)
            new = _load_blocks(client, address, modality, _Joined(group), progress)
            loaded.append(Loaded(modality, note.items, new))
    return loaded


def _load_blocks(client: Client, address: Address, modality: str, joined: "_Joined", progress) -> int:
    """Inserts the rows that are missing; returns their number."""
    table, new = tables.name(address, modality), 0
    columns = client.columns(f"SELECT intDiv(row, {BLOCK}) AS block, count() FROM {table} GROUP BY block")
    counts = dict(zip(*columns, strict=True)) if columns else {}
    for start in range(0, len(joined), BLOCK):
        stop = min(start + BLOCK, len(joined))
        held = counts.pop(start // BLOCK, 0)
        rows = range(start, stop)
        if 0 < held < len(rows):
            within = {"start": start, "stop": stop}
            there = client.columns(
                f"SELECT row FROM {table} WHERE row >= {{start:UInt64}} AND row < {{stop:UInt64}}", within
            )
            rows = sorted(set(rows).difference(*there))
        if held < stop - start:
            client.insert(address.database, modality, joined.columns(rows))
            new += len(rows)
        progress(stop - start)
    (total,), (summed,) = client.columns(f"SELECT count(), sum(row) FROM {table}")
    if total != len(joined) or summed != total * (total - 1) // 2 % 2**64:
        raise RunError(
            f"{address}: {total} {modality}s are there after {len(joined)} were loaded, as when two "
            "processes load at once; expected another database, or this one dropped"
        )
    return new


class _Joined:
    """Folders of codes, one after the other."""

    def __init__(self, sources: Sequence[Codes]):
        self._sources = sources
        self._starts = list(itertools.accumulate((len(one.items) for one in sources), initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    def columns(self, rows: Iterable[int]) -> dict[str, Sequence]:
        """The columns of a table, at rows of all folders together."""
        numbers = [bisect.bisect_right(self._starts, row) - 1 for row in rows]
        places = [
            (self._sources[number], row - self._starts[number])
            for number, row in zip(numbers, rows, strict=True)
        ]
        items = [source.items[place] for source, place in places]
        return {
            "row": np.fromiter(rows, np.uint64),
            "code": [source.codes[place].tobytes() for source, place in places],
            "source": np.array(numbers, np.uint32),
            "item": [item_line(item["id"], item.get("text"))[:-1].decode("utf-8") for item in items],
        }
