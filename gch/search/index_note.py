"""What an index on disk says of itself.

index.json     bits, model, and of each modality kind, parameters, number of items and where they are from
image.codes    packed codes, K / 8 bytes an item; with image.items they are as `encode` writes them
image.items    an item a line
image.faiss    FAISS's index of the distinct codes, and
image.equal    the rows of each, see `gch.search.equal_codes`; a flat index has neither
text.codes ... the same of texts
"""

import dataclasses
from pathlib import Path

from gch.errors import DataError
from gch.search.codes_folder import MODALITIES
from gch.search.index_kinds import KINDS, complete
from gch.search.note_file import read_note_file

NOTE = "index.json"
EXPECTED = "expected a folder that `index` wrote"


@dataclasses.dataclass(frozen=True)
class Source:
    """Attributes:
    root: folder that ids of pictures are relative to; '' for texts.
    items: number of items that are from there.
    """

    root: str
    items: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartNote:
    """Attributes:
    kind: one of `gch.search.index_kinds.KINDS`.
    parameters: all of the kind.
    digest: of codes and items.
    faiss_bytes: length of FAISS's file; 0 where there is none.
    distinct: number of distinct codes in it.
    sources: in the order of rows.
    """

    kind: str
    parameters: dict[str, int]
    digest: str
    faiss_bytes: int
    distinct: int
    sources: tuple[Source, ...]

    @property
    def items(self) -> int:
        """Number of items N."""
        return sum(source.items for source in self.sources)


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndexNote:
    """Attributes:
    bits: length of a code K.
    model: digest of the model that made the codes.
    parts: by modality.
    """

    bits: int
    model: str
    parts: dict[str, PartNote]


def read_note(folder: Path) -> IndexNote:
    """What index.json in a folder says.

    Raises:
      DataError: it is missing, damaged, or of another format.
    """
    path = folder / NOTE
    if not path.is_file():
        raise DataError(f"{folder}: no {NOTE} in it; {EXPECTED}")
    return read_note_file(path, "an index", _note, EXPECTED)


def _note(value: dict) -> IndexNote:
    parts = {modality: _part(part, value["bits"]) for modality, part in value.pop("parts").items()}
    note = IndexNote(**value, parts=parts)
    if not isinstance(note.model, str) or not note.parts or not set(note.parts) <= set(MODALITIES):
        raise ValueError(f"model {note.model!r}, parts {', '.join(note.parts) or 'none'}")
    if not isinstance(note.bits, int) or note.bits < 8 or note.bits % 8:
        raise ValueError(f"{note.bits!r} bits")
    return note


def _part(value: dict, bits: int) -> PartNote:
    sources = tuple(Source(**source) for source in value.pop("sources"))
    part = PartNote(**value, sources=sources)
    numbers = (
        part.faiss_bytes,
        part.distinct,
        *(source.items for source in sources),
        *part.parameters.values(),
    )
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError("a number is none")
    if not all(isinstance(source.root, str) for source in sources):
        raise ValueError("a root is no path")
    if part.kind not in KINDS or set(part.parameters) != set(KINDS[part.kind].defaults):
        raise ValueError(f"kind {part.kind!r} with {', '.join(part.parameters) or 'nothing'}")
    complete(part.kind, part.parameters, bits)
    return part
