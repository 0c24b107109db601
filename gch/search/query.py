"""Queries by text, picture or item, and their results, for `search` and `serve`."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from gch.errors import DataError, SettingError
from gch.search.collection_index import CollectionIndex, IndexPart
from gch.search.exported import ExportedModel, ModelNote, Text

FINDS = {"images": "image", "texts": "text"}
MAX_COUNT = 1000


class Hit(NamedTuple):
    """An item that a query found."""

    rank: int  # from 1 on
    distance: int  # number of bits in which its code differs from that of the query, 0..K
    row: int  # among the items of its modality
    modality: str  # 'image' or 'text'
    id: str  # its id in the collection; for an image its path
    text: str | None


class Searcher:
    """Puts queries to a model, and their codes to an index; several threads may call it.

    All methods take `find`, 'images' or 'texts', and `count`, the most results of a query, 1..`MAX_COUNT`.
    They raise SettingError if one is out of range, and DataError if the index has no items of the kind to
    find. Results come nearest first, ties in the order of rows.

    The constructor raises DataError where the codes of the index were made by another model.
    """

    def __init__(self, model: ExportedModel, index: CollectionIndex):
        require_same_model(model.note, index)
        self.model, self.index = model, index

    def by_texts(self, texts: Sequence[Text], find: str, count: int) -> list[list[Hit]]:
        """The results of each free text or set of tags; see `ExportedModel.encode_texts`."""
        part = self._part(find, count)
        return _hits(part, self.model.encode_texts(texts), count)

    def by_decoded(self, pictures: Sequence[np.ndarray], find: str, count: int) -> list[list[Hit]]:
        """The results of each picture; see `ExportedModel.encode_images`."""
        part = self._part(find, count)
        return _hits(part, self.model.encode_images(pictures), count)

    def by_row(self, modality: str, row: int, find: str, count: int) -> list[Hit]:
        """The results of an item of the collection, by its stored code; also itself if `find` is its kind."""
        part = self._part(find, count)
        if modality not in self.index.parts:
            raise DataError(f"no {modality} {row}; the index holds {_plural(self.index.parts)}")
        return _hits(part, self.index.parts[modality].code(row)[None], count)[0]

    def _part(self, find: str, count: int) -> IndexPart:
        return found_part(self.index, find, count)


def found_part(index: CollectionIndex, find: str, count: int) -> IndexPart:
    """The part of an index that a query finds items of; raises as `Searcher` does."""
    if find not in FINDS:
        raise SettingError(f"find is {find!r}; expected one of {', '.join(FINDS)}")
    if not 1 <= count <= MAX_COUNT:
        raise SettingError(f"count is {count}; expected 1 to {MAX_COUNT}")
    if FINDS[find] not in index.parts:
        raise DataError(f"the index holds no {find}; expected {_plural(index.parts)}")
    return index.parts[FINDS[find]]


def default_find(given: str, modalities: Collection[str]) -> str:
    """What a query of a modality finds by default: the other modality if it is in the index, else its own."""
    other = {"image": "text", "text": "image"}[given]
    return f"{other if other in modalities else given}s"


def require_same_model(note: ModelNote, index: CollectionIndex) -> None:
    """Raises DataError unless this model made the codes of an index."""
    if (index.model, index.bits) != (note.digest, note.bits):
        raise DataError(
            f"the index holds codes of {index.bits} bits by the model {index.model[:12]}, the given model is "
            f"{note.digest[:12]} of {note.bits} bits; expected the one that encoded the collection"
        )


def _plural(modalities: Collection[str]) -> str:
    return " and ".join(f"{name}s" for name in modalities)


def _hits(part: IndexPart, codes: np.ndarray, count: int) -> list[list[Hit]]:
    rows, distances = part.search(codes, count)
    wanted = np.unique(rows[rows >= 0]).tolist()
    items = dict(zip(wanted, part.items(wanted), strict=True))
    return [
        [
            Hit(rank, distance, row, part.modality, items[row]["id"], items[row].get("text"))
            for rank, (row, distance) in enumerate(zip(*found, strict=True), 1)
            if row >= 0
        ]
        for found in zip(rows.tolist(), distances.tolist(), strict=True)
    ]
