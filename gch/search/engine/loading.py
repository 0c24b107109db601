"""Loading codes into an engine, so that a process killed at any moment goes on where it was."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gch.errors import RunError
from gch.search.codes_folder import MODALITIES, Codes, item_line, require_one_model
from gch.search.engine import tables
from gch.search.engine.address import Address, read_address
from gch.search.engine.client import Client
from gch.search.index_note import IndexNote

BLOCK = 65_536


class Loaded(NamedTuple):
    """How many items of a modality the engine holds, and how many of these are new."""

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
    groups = {name: [one for one in sources if one.modality == name] for name in MODALITIES}
    with contextlib.closing(Client(address)) as client:
        earlier = tables.read_notes(client, address)
        require_one_model(sources, [(uri, earlier.bits, earlier.model)] if earlier else ())
        parts = {modality: tables.note_of(group) for modality, group in groups.items() if group}
        note = IndexNote(bits=sources[0].bits, model=sources[0].model, parts=parts)
        for statement in tables.creation(address, tables.NOTES):
            client.command(statement)
        loaded = []
        for modality, part in parts.items():
            found = earlier.parts.get(modality) if earlier else None
            if found not in (None, part):
                raise RunError(
                    f"{address}: holds {found.items} {modality}s other than the {part.items} given; expected "
                    "the same codes, or another database"
                )
            for statement in tables.creation(address, modality, note.bits):
                client.command(statement)
            if found is None:
                tables.write_note(client, address, modality, note)
            new = _load(client, address, modality, groups[modality], progress)
            loaded.append(Loaded(modality, part.items, new))
    return loaded


def _load(
    client: Client,
    address: Address,
    modality: str,
    sources: Sequence[Codes],
    progress: Callable[[int], object],
) -> int:
    """Inserts the rows that are missing; returns their number."""
    starts = np.cumsum([0, *(len(one.items) for one in sources)])
    table, items, new = tables.name(address, modality), int(starts[-1]), 0
    within = f"SELECT row FROM {table} WHERE row >= {{start:UInt64}} AND row < {{stop:UInt64}}"
    for start in range(0, items, BLOCK):
        stop = min(start + BLOCK, items)
        there = client.columns(within, start=start, stop=stop)
        rows = np.setdiff1d(np.arange(start, stop), there[0] if there else ())
        if len(rows):
            client.insert(address.database, modality, _columns(sources, starts, rows))
            new += len(rows)
        progress(stop - start)
    (total,), (summed,) = client.columns(f"SELECT count(), sum(row) FROM {table}")
    if total != items or summed != total * (total - 1) // 2 % 2**64:
        raise RunError(
            f"{address}: {total} {modality}s are there after {items} were loaded, as when two "
            "processes load at once; expected another database, or this one dropped"
        )
    return new


def _columns(sources: Sequence[Codes], starts: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    """The columns of a table, at rows of all sources together."""
    numbers = np.searchsorted(starts, rows, side="right") - 1
    places = zip(numbers.tolist(), (rows - starts[numbers]).tolist(), strict=True)
    codes, items = [], []
    for number, place in places:
        item = sources[number].items[place]
        codes.append(sources[number].codes[place].tobytes())
        items.append(item_line(item["id"], item.get("text"))[:-1].decode("utf-8"))
    return {"row": rows.astype(np.uint64), "code": codes, "source": numbers.astype(np.uint32), "item": items}
