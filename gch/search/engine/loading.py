"""Loads codes into ClickHouse, so that a process killed at any moment can resume.

The tables:

notes          what the codes of each modality are: modality, note (JSON: format, bits, model, and of each
               folder of codes the root of its pictures, number of items, and a digest)
image, text,   an item a row: row (from 0 on), code (K / 8 bytes), source (number of a folder of codes), item
pair           (JSON: id, and text where there is one)

On a cluster these are views of all machines' tables notes_shard, image_shard and text_shard, and a row lies
on the machine that its number chooses.
"""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gch.data.text_files import json_of
from gch.errors import DataError, RunError
from gch.search.codes_folder import Codes, by_modality, item_line, require_one_model
from gch.search.collection_index import Source
from gch.search.engine.client import Address, Client, read_address
from gch.search.note_file import note_from, note_value
from gch.storage import digest

NOTES = "notes"
LOADED = "expected codes that `index CODES --out=URI` loaded"
BLOCK = 65_536  # rows inserted at once
_SAMPLED = 1024  # items of a folder that its digest covers


@dataclasses.dataclass(frozen=True)
class LoadedSource(Source):
    """A folder of codes and a digest of it."""

    digest: str


@dataclasses.dataclass(frozen=True)
class TableNote:
    """What the codes of a modality are."""

    bits: int  # length of a code K
    model: str  # digest of the model that made the codes
    sources: tuple[LoadedSource, ...]  # in the order of rows

    @property
    def items(self) -> int:
        """Number of items N."""
        return sum(source.items for source in self.sources)


def creation(address: Address, table: str, bits: int) -> tuple[str, ...]:
    """The statements that make the database and a table, 'notes' or a modality, where they are not."""
    if table == NOTES:
        columns, order, machine = "modality String, note String", "modality", "cityHash64(modality)"
    else:
        columns = f"row UInt64, code FixedString({bits // 8}), source UInt32, item String CODEC(ZSTD)"
        order = machine = "row"
    rows = f"({columns}) ENGINE = MergeTree ORDER BY {order}"
    database, new = f"CREATE DATABASE IF NOT EXISTS `{address.database}`", "CREATE TABLE IF NOT EXISTS"
    if not address.cluster:
        return database, f"{new} {address.table(table)} {rows}"
    everywhere, shard = f"ON CLUSTER `{address.cluster}`", f"{table}_shard"
    return (
        f"{database} {everywhere}",
        f"{new} {address.table(shard)} {everywhere} {rows}",
        f"{new} {address.table(table)} {everywhere} ({columns}) "
        f"ENGINE = Distributed(`{address.cluster}`, `{address.database}`, `{shard}`, {machine})",
    )


def read_notes(client: Client, address: Address) -> dict[str, TableNote]:
    """What the database holds by modality; raises DataError where the tables are another program's."""
    query = "SELECT name FROM system.tables WHERE database = {database:String} AND name = {table:String}"
    if not client.columns(query, database=address.database, table=NOTES):
        return {}
    columns = client.columns(f"SELECT modality, note FROM {address.table(NOTES)} ORDER BY modality")
    try:
        rows = zip(*columns, strict=True)
        return {modality: note_from(json_of(text, modality), TableNote) for modality, text in rows}
    except (DataError, ValueError) as error:
        raise DataError(f"{address}: its notes are not from this program, {error}; {LOADED}") from error


class Loaded(NamedTuple):
    """How many items of a modality the engine holds, and how many of these are new."""

    modality: str
    items: int
    new: int


def load_into_engine(
    sources: Sequence[Codes], uri: str, progress: Callable[[int], object] = lambda items: None
) -> list[Loaded]:
    """Loads codes of images, texts or both; codes that are there already are not loaded again.

    Args:
      sources: codes of one model; those of a modality are one after the other.
      uri: of the engine and database, see `gch.search.engine.client`; its tables are made.
      progress: called with the number of items just loaded.

    Raises:
      SettingError: the URI is not valid.
      DataError: the codes are from several models.
      RunError: the engine cannot be reached, or the database holds other codes.
    """
    address = read_address(uri)
    require_one_model(sources)
    groups = by_modality(sources)
    notes = {modality: _note_of(group) for modality, group in groups.items()}
    with contextlib.closing(Client(address)) as client:
        earlier = read_notes(client, address)
        require_one_model(sources, [(uri, one.bits, one.model) for one in earlier.values()])
        for modality, found in earlier.items():
            if (note := notes.get(modality, found)) != found:
                raise RunError(
                    f"{address}: holds {found.items} {modality}s other than the {note.items} given; expected "
                    "the same codes, or another database"
                )
        for table in (NOTES, *notes):
            for statement in creation(address, table, sources[0].bits):
                client.command(statement)
        # All at once: what is loaded of images and texts cannot be searched before it is complete.
        if new := {one: json.dumps(note_value(note)) for one, note in notes.items() if one not in earlier}:
            client.insert(address.database, NOTES, {"modality": [*new], "note": [*new.values()]})
        return [
            Loaded(modality, notes[modality].items, _load(client, address, modality, group, progress))
            for modality, group in groups.items()
        ]


def _note_of(codes: Sequence[Codes]) -> TableNote:
    sources = []
    for one in codes:
        sample = [one.items[row] for row in range(0, len(one.items), max(1, len(one.items) // _SAMPLED))]
        sources.append(LoadedSource(one.root, len(one.items), digest(one.codes, json.dumps(sample))))
    return TableNote(codes[0].bits, codes[0].model, tuple(sources))


def _load(
    client: Client, address: Address, modality: str, sources: Sequence[Codes], progress: Callable
) -> int:
    """Inserts the rows that are missing; returns their number."""
    starts = np.cumsum([0, *(len(one.items) for one in sources)])
    table, items, new = address.table(modality), int(starts[-1]), 0
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
    codes, items = [], []
    for number, place in zip(numbers.tolist(), (rows - starts[numbers]).tolist(), strict=True):
        item = sources[number].items[place]
        codes.append(sources[number].codes[place].tobytes())
        items.append(item_line(item["id"], item.get("text"))[:-1].decode("utf-8"))
    return {"row": rows.astype(np.uint64), "code": codes, "source": numbers.astype(np.uint32), "item": items}
