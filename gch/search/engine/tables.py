"""The tables of codes in ClickHouse.

notes          what the codes of each modality are: modality, note (JSON, see `gch.search.engine.note`)
image, text    an item a row: row (from 0 on), code (K / 8 bytes), source (number of a folder of codes), item
               (JSON: id, and text where there is one)

On a cluster these are views of all machines' tables notes_shard, image_shard and text_shard, and a row lies
on the machine that its number chooses.
"""

from gch.search.engine.address import Address

NOTES = "notes"


def name(address: Address, table: str) -> str:
    """A table with its database, as statements have it."""
    return f"`{address.database}`.`{table}`"


def creation(address: Address, table: str, columns: str, order: str) -> tuple[str, ...]:
    """The statements that make the database and a table where they are not.

    Args:
      address: whose database, on which cluster.
      table: its name.
      columns: names and types.
      order: what its rows are sorted by; on a cluster, it chooses the machine.
    """
    if not address.cluster:
        return (
            f"CREATE DATABASE IF NOT EXISTS `{address.database}`",
            f"CREATE TABLE IF NOT EXISTS {name(address, table)} ({columns}) "
            f"ENGINE = MergeTree ORDER BY {order}",
        )
    everywhere, shard = f"ON CLUSTER `{address.cluster}`", f"{table}_shard"
    return (
        f"CREATE DATABASE IF NOT EXISTS `{address.database}` {everywhere}",
        f"CREATE TABLE IF NOT EXISTS {name(address, shard)} {everywhere} ({columns}) "
        f"ENGINE = MergeTree ORDER BY {order}",
        f"CREATE TABLE IF NOT EXISTS {name(address, table)} {everywhere} ({columns}) "
        f"ENGINE = Distributed(`{address.cluster}`, `{address.database}`, `{shard}`, "
        f"{order if order == 'row' else f'cityHash64({order})'})",
    )


def notes_creation(address: Address) -> tuple[str, ...]:
    """The statements that make the table of notes."""
    return creation(address, NOTES, "modality String, note String", "modality")


def codes_creation(address: Address, modality: str, bits: int) -> tuple[str, ...]:
    """The statements that make the table of a modality's codes."""
    columns = f"row UInt64, code FixedString({bits // 8}), source UInt32, item String CODEC(ZSTD)"
    return creation(address, modality, columns, "row")
