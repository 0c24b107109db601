"""What an engine notes of the codes that it holds."""

import dataclasses
import json
from collections.abc import Sequence

from gch.errors import DataError
from gch.search.codes_folder import MODALITIES, Codes
from gch.search.engine import tables
from gch.search.engine.address import Address
from gch.search.engine.client import Client
from gch.storage import digest

FORMAT = 1
LOADED = "expected codes that `index CODES --out=URI` loaded"
_SAMPLED = 1024


@dataclasses.dataclass(frozen=True)
class Source:
    """A folder of codes.

    Attributes:
      root: folder that ids of pictures are relative to; '' for texts.
      items: number of them.
      digest: of its codes, and of items here and there.
    """

    root: str
    items: int
    digest: str


@dataclasses.dataclass(frozen=True)
class PartNote:
    """What the codes of a modality are.

    Attributes:
      bits: length of a code K.
      model: digest of the model that made them.
      sources: the folders of codes, one after the other.
    """

    bits: int
    model: str
    sources: tuple[Source, ...]

    @property
    def items(self) -> int:
        """Number of items N."""
        return sum(source.items for source in self.sources)


def note_of(codes: Sequence[Codes]) -> PartNote:
    """The note of folders of codes, of one modality and model."""
    sources = tuple(Source(one.root, len(one.items), _digest(one)) for one in codes)
    return PartNote(codes[0].bits, codes[0].model, sources)


def read_notes(client: Client, address: Address) -> dict[str, PartNote]:
    """The notes by modality; none where nothing was ever loaded.

    Raises:
      DataError: the tables are another program's.
      RunError: the engine does not answer.
    """
    there = client.columns(
        "SELECT name FROM system.tables WHERE database = {database:String} AND name = {table:String}",
        {"database": address.database, "table": tables.NOTES},
    )
    if not there:
        return {}
    columns = client.columns(f"SELECT modality, note FROM {tables.name(address, tables.NOTES)}")
    try:
        found = {modality: _read(note) for modality, note in zip(*columns, strict=True)} if columns else {}
        if not set(found) <= set(MODALITIES):
            raise ValueError(f"of {', '.join(found)}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{address}: its notes are not of this program, {error}; {LOADED}") from error
    return found


def write_note(client: Client, address: Address, modality: str, note: PartNote) -> None:
    """Notes what the codes of a modality are."""
    text = json.dumps({"format": FORMAT, **dataclasses.asdict(note)})
    client.insert(address.database, tables.NOTES, {"modality": [modality], "note": [text]})


def _read(text: str) -> PartNote:
    value = json.loads(text)
    if value.pop("format") != FORMAT:
        raise ValueError(f"another format than {FORMAT}")
    return PartNote(**value | {"sources": tuple(Source(**source) for source in value["sources"])})


def _digest(codes: Codes) -> str:
    step = max(1, len(codes.items) // _SAMPLED)
    items = [codes.items[row] for row in range(0, len(codes.items), step)]
    return digest(codes.codes, json.dumps(items))
