"""What an index says of itself, and the files of one on disk.

index.json     bits, model, and of each modality kind, parameters, number of items and where they are from
image.codes    packed codes, K / 8 bytes an item; with image.items they are as `encode` writes them
image.items    an item a line
image.faiss    FAISS's index of the distinct codes, and
image.equal    the rows of each, see `gch.search.equal_codes`; a flat index has neither
text.codes ... the same of texts
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from gch.search.codes_folder import MODALITIES
from gch.search.note_file import read_note_file

NOTE = "index.json"
EXPECTED = "expected a folder that `index` wrote"


@dataclasses.dataclass(frozen=True)
class Source:
    """A folder of codes."""

    root: str  # folder that ids of pictures are relative to; '' for texts
    items: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartNote:
    """The items of a modality."""

    kind: str  # one of `gch.search.index_kinds.KINDS`, or 'clickhouse'
    parameters: Mapping[str, int]  # all of the kind
    digest: str  # of codes and items
    faiss_bytes: int = 0  # length of FAISS's file
    distinct: int = 0  # number of distinct codes in it
    sources: tuple[Source, ...]  # in the order of rows

    @property
    def items(self) -> int:
        """Number of items N."""
        return sum(source.items for source in self.sources)


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndexNote:
    """An index: length of a code K, digest of the model that made the codes, and the parts by modality."""

    bits: int
    model: str
    parts: Mapping[str, PartNote]

    def __post_init__(self) -> None:
        if self.bits < 8 or self.bits % 8:
            raise ValueError(f"bits is {self.bits}, not a multiple of 8")
        if not self.parts or not set(self.parts) <= set(MODALITIES):
            raise ValueError(f"parts are {', '.join(self.parts) or 'none'}, not image or text")


def read_note(folder: Path) -> IndexNote:
    """What index.json in a folder says; raises DataError where it is missing or damaged."""
    return read_note_file(folder / NOTE, IndexNote, EXPECTED)
