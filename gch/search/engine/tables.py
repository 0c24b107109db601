"""The tables of codes in ClickHouse.

notes          what the codes of each modality are: modality, note (JSON: format, bits, model, and of each
               folder of codes the root of its pictures, number of items, and a digest)
image, text    an item a row: row (from 0 on), code (K / 8 bytes), source (number of a folder of codes), item
               (JSON: id, and text where there is one)

On a cluster these are views of all machines' tables notes_shard, image_shard and text_shard, and a row lies
on the machine that its number chooses.
"""

import dataclasses
import json
from collections.abc import Sequence

from gch.errors import DataError
from gch.search.codes_folder import Codes
from gch.search.engine.address import Address
from gch.search.engine.client import Client
from gch.search.index_note import IndexNote, PartNote, Source
from gch.search.note_file import FORMAT
from gch.storage import digest

KIND = "clickhouse"
NOTES = "notes"
LOADED = "expected codes that `index CODES --out=URI` loaded"
_SAMPLED = 1024  # items of a folder that its digest covers


def name(address: Address, table: str) -> str:
    """A table with its database, as statements have it."""
    return f"`{address.database}`.`{table}`"


def creation(address: Address, table: str, bits: int = 0) -> tuple[str, ...]:
    """The statements that make the database and a table where they are not.

    Args:
      address: whose database, on which cluster.
      table: 'notes', or a modality.
      bits: length of a code of that modality.
    """
    if table == NOTES:
        columns, order, machine = "modality String, note String", "modality", "cityHash64(modality)"
    else:
        columns = f"row UInt64, code FixedString({bits // 8}), source UInt32, item String CODEC(ZSTD)"
        order = machine = "row"
    rows = f"({columns}) ENGINE = MergeTree ORDER BY {order}"
    if not address.cluster:
        return (
            f"CREATE DATABASE IF NOT EXISTS `{address.database}`",
            f"CREATE TABLE IF NOT EXISTS {name(address, table)} {rows}",
        )
    everywhere, shard = f"ON CLUSTER `{address.cluster}`", f"{table}_shard"
    return (
        f"CREATE DATABASE IF NOT EXISTS `{address.database}` {everywhere}",
        f"CREATE TABLE IF NOT EXISTS {name(address, shard)} {everywhere} {rows}",
        f"CREATE TABLE IF NOT EXISTS {name(address, table)} {everywhere} ({columns}) "
        f"ENGINE = Distributed(`{address.cluster}`, `{address.database}`, `{shard}`, {machine})",
    )


def note_of(codes: Sequence[Codes]) -> PartNote:
    """The note of folders of codes, of one modality and model."""
    sources = tuple(Source(one.root, len(one.items)) for one in codes)
    return PartNote(kind=KIND, parameters={}, digest=" ".join(map(_digest, codes)), sources=sources)


def write_note(client: Client, address: Address, modality: str, index: IndexNote) -> None:
    """Notes what the codes of a modality are."""
    part = index.parts[modality]
    sources = [
        dataclasses.asdict(source) | {"digest": its}
        for source, its in zip(part.sources, part.digest.split(), strict=True)
    ]
    note = {"format": FORMAT, "bits": index.bits, "model": index.model, "sources": sources}
    client.insert(address.database, NOTES, {"modality": [modality], "note": [json.dumps(note)]})


def read_notes(client: Client, address: Address) -> IndexNote | None:
    """What the database holds; None where nothing was ever loaded.

    Raises:
      DataError: the tables are another program's.
      RunError: the engine does not answer.
    """
    query = "SELECT name FROM system.tables WHERE database = {database:String} AND name = {table:String}"
    if not client.columns(query, database=address.database, table=NOTES):
        return None
    columns = client.columns(f"SELECT modality, note FROM {name(address, NOTES)} ORDER BY modality")
    if not columns:
        return None
    try:
        notes = {modality: json.loads(note) for modality, note in zip(*columns, strict=True)}
        if any(note["format"] != FORMAT for note in notes.values()):
            raise ValueError(f"another format than {FORMAT}")
        parts = {
            modality: PartNote(
                kind=KIND,
                parameters={},
                digest=" ".join(source["digest"] for source in note["sources"]),
                sources=tuple(Source(source["root"], source["items"]) for source in note["sources"]),
            )
            for modality, note in notes.items()
        }
        first = next(iter(notes.values()))
        return IndexNote(bits=first["bits"], model=first["model"], parts=parts)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{address}: its notes are not of this program, {error}; {LOADED}") from error


def _digest(codes: Codes) -> str:
    step = max(1, len(codes.items) // _SAMPLED)
    items = [codes.items[row] for row in range(0, len(codes.items), step)]
    return digest(codes.codes, json.dumps(items))
