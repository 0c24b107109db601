"""Queries by text, picture, both or an item, and their results, for `search` and `serve`."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np

from gch.data.text_parts import Text
from gch.errors import DataError, SettingError
from gch.search.asymmetric import ASYMMETRIC, HAMMING, asymmetric_search, require_ranking
from gch.search.collection_index import CollectionIndex, IndexPart
from gch.search.exported import PICTURES_AT_ONCE, TEXTS_AT_ONCE, VECTORS_AT_ONCE, ExportedModel
from gch.search.functions import ModelOutputs, Tell
from gch.search.model_note import ModelNote

FINDS = {"images": "image", "texts": "text", "pairs": "pair"}
_BY_DEFAULT = {  # what a query finds, the first that the index has
    "image": ("pair", "text", "image"),
    "text": ("pair", "image", "text"),
    "pair": ("pair", "image", "text"),
}
MAX_COUNT = 1000


class Hit(NamedTuple):
    """An item that a query found."""

    rank: int  # from 1 on
    distance: int  # number of bits in which its code differs from that of the query, 0..K
    row: int  # among the items of its modality
    modality: str  # 'image', 'text' or 'pair'
    id: str  # its id in the collection; for an image or a pair the path of its picture
    text: str | None
    score: float | None = None  # its asymmetric distance, 0..K, where it was ranked by it


class Searcher:
    """Puts queries to a model, and their codes to an index; several threads may call it.

    All methods take `find`, 'images', 'texts' or 'pairs', and `count`, the most results of a query,
    1..`MAX_COUNT`. They raise SettingError if one is out of range, and DataError if the index has no items of
    the kind to find. Results come nearest first, ties in the order of rows.

    By words and pictures `ranking` is 'asymmetric', see `gch.search.asymmetric`, or 'hamming'. By an item
    both are the same, since its stored code is hard.

    The constructor raises DataError where the codes of the index were made by another model.
    """

    def __init__(self, model: ExportedModel, index: CollectionIndex):
        require_same_model(model.note, index)
        self.model, self.index = model, index

    def search(
        self,
        texts: Sequence[Text],
        pictures: Sequence[np.ndarray],
        find: str,
        count: int,
        ranking: str = ASYMMETRIC,
        **told: Tell,
    ) -> list[list[Hit]]:
        """The results of each free text or set of tags, of each picture, uint8 (S, S, 3) with S =
        `ModelNote.image_size`, or, where both are given, of each picture together with its text as one query.

        `told` are `tell` and `refuse` of `ExportedModel.query_outputs`; results of a refused text mean
        nothing.
        """

        def encode(some: slice) -> ModelOutputs:
            seen = np.stack(pictures[some]) if len(pictures) else None
            if seen is not None and not texts:
                return self.model.picture_outputs(seen)
            return self.model.query_outputs(texts[some], seen, **told)

        most = PICTURES_AT_ONCE if len(pictures) else TEXTS_AT_ONCE
        return self._answers(encode, max(len(texts), len(pictures)), most, find, count, ranking)

    def by_vectors(
        self, modality: str, vectors: np.ndarray, find: str, count: int, ranking: str = ASYMMETRIC
    ) -> list[list[Hit]]:
        """The results of each vector of an 'image' or 'text', (N, F) as the model takes them."""

        def encode(some: slice) -> ModelOutputs:
            return self.model.vector_outputs(modality, vectors[some])

        return self._answers(encode, len(vectors), VECTORS_AT_ONCE, find, count, ranking)

    def by_row(self, modality: str, row: int, find: str, count: int) -> list[Hit]:
        """The results of an item of the collection, by its stored code; also itself if `find` is its kind."""
        part = part_to_search(self.index, find, count)
        if modality not in self.index.parts:
            raise DataError(f"no {modality} {row}; the index holds {_plural(self.index.parts)}")
        return _hits(part, *part.search(self.index.parts[modality].code(row)[None], count))[0]

    def _answers(
        self,
        encode: Callable[[slice], ModelOutputs],
        queries: int,
        most: int,
        find: str,
        count: int,
        ranking: str,
    ) -> list[list[Hit]]:
        """The results of a number of queries, `most` coded at once."""
        part = part_to_search(self.index, find, count)
        require_ranking(ranking)
        size = self.model.note.batch_size(most)
        hits: list[list[Hit]] = []
        for start in range(0, queries, size):
            outputs = encode(slice(start, start + size))
            if ranking == HAMMING:
                found: tuple = part.search(outputs.codes, count)
            else:
                found = asymmetric_search(part.search, part.read_codes, outputs.codes, outputs.relaxed, count)
            hits += _hits(part, *found)
        return hits


def part_to_search(index: CollectionIndex, find: str, count: int) -> IndexPart:
    """The part of an index that a query finds items of; raises as `Searcher` does."""
    if find not in FINDS:
        raise SettingError(f"find is {find!r}; expected one of {', '.join(FINDS)}")
    if not 1 <= count <= MAX_COUNT:
        raise SettingError(f"count is {count}; expected 1 to {MAX_COUNT}")
    if FINDS[find] not in index.parts:
        raise DataError(f"the index holds no {find}; expected {_plural(index.parts)}")
    return index.parts[FINDS[find]]


def default_find(given: str, modalities: Collection[str]) -> str:
    """What a query of a modality finds by default: pairs, the other modality, or its own."""
    return f"{next(name for name in _BY_DEFAULT[given] if name in modalities)}s"


def require_same_model(note: ModelNote, index: CollectionIndex) -> None:
    """Raises DataError unless this model made the codes of an index."""
    if (index.model, index.bits) != (note.digest, note.bits):
        raise DataError(
            f"the index holds codes of {index.bits} bits by the model {index.model[:12]}, the given model is "
            f"{note.digest[:12]} of {note.bits} bits; expected the one that encoded the collection"
        )


def _plural(modalities: Collection[str]) -> str:
    return " and ".join(f"{name}s" for name in modalities)


def _hits(
    part: IndexPart, rows: np.ndarray, distances: np.ndarray, scores: np.ndarray | None = None
) -> list[list[Hit]]:
    wanted = np.unique(rows[rows >= 0]).tolist()
    items = dict(zip(wanted, part.items(wanted), strict=True))
    columns = [rows, distances, np.full(rows.shape, None) if scores is None else scores]
    return [
        [
            Hit(rank, distance, row, part.modality, items[row]["id"], items[row].get("text"), score)
            for rank, (row, distance, score) in enumerate(zip(*found, strict=True), 1)
            if row >= 0
        ]
        for found in zip(*(column.tolist() for column in columns), strict=True)
    ]
