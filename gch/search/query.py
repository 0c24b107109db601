"""Queries by text, picture or item, and what they find: what `search` and `serve` have in common."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gch.data.pictures import decode_picture
from gch.errors import DataError, SettingError
from gch.search.exported import Encoded, ExportedModel, ModelNote

if TYPE_CHECKING:  # An engine may stand in its place.
    from gch.search.index import Index, IndexPart

FINDS = {"images": "image", "texts": "text"}
MAX_COUNT = 1000
_TEXTS_AT_ONCE, _PICTURES_AT_ONCE = 1024, 32


class Hit(NamedTuple):
    """An item that a query found.

    Attributes:
      rank: its place, from 1 on.
      distance: number of bits in which its code differs from that of the query, 0..K.
      row: of the item among those of its modality.
      modality: 'image' or 'text'.
      id: what the collection calls it; of an image its path.
      text: of a text, else None.
    """

    rank: int
    distance: int
    row: int
    modality: str
    id: str
    text: str | None


class Searcher:
    """Puts queries to a model, and their codes to an index; several threads may ask.

    All methods raise SettingError where `find` or `count` is out of range, and DataError where the index has
    none of what is to be found. Results come nearest first, those of equal distance in the order of rows.

    Args:
      model: encodes what is searched by.
      index: is searched.

    Attributes:
      model, index: these.

    Raises:
      DataError: the codes of the index were made by another model.
    """

    def __init__(self, model: ExportedModel, index: "Index"):
        require_same_model(model.note, index)
        self.model, self.index = model, index

    def by_texts(self, texts: Sequence[str | tuple[str, ...]], find: str, count: int) -> list[list[Hit]]:
        """What each text finds.

        Args:
          texts: free texts, or tuples of tags.
          find: 'images' or 'texts'.
          count: number of results at most, 1..`MAX_COUNT`.

        Raises:
          DataError: a text has no word that the model knows, or the model knows no words at all.
        """
        self._part(find, count)
        return self._by_codes(self._encoded(self._coded_texts, texts, _TEXTS_AT_ONCE), find, count)

    def by_pictures(self, pictures: Sequence[tuple[bytes, str]], find: str, count: int) -> list[list[Hit]]:
        """What each picture finds.

        Args:
          pictures: the content of picture files, each with a name for messages.
          find: 'images' or 'texts'.
          count: number of results at most, 1..`MAX_COUNT`.

        Raises:
          DataError: one is no whole picture, or the model takes no pictures.
        """
        self._part(find, count)
        note = self.model.note
        require_pictures(note)
        decoded = [decode_picture(data, name, note.image_size, note.fit) for data, name in pictures]
        return self.by_decoded(decoded, find, count)

    def by_decoded(self, pictures: Sequence[np.ndarray], find: str, count: int) -> list[list[Hit]]:
        """What each picture finds.

        Args:
          pictures: uint8 (S, S, 3) each, as `decode_picture` makes them with `image_size` and `fit` of the
            model's note.
          find: 'images' or 'texts'.
          count: number of results at most, 1..`MAX_COUNT`.

        Raises:
          DataError: the model takes no pictures.
        """
        self._part(find, count)
        return self._by_codes(self._encoded(self._coded_pictures, pictures, _PICTURES_AT_ONCE), find, count)

    def by_row(self, modality: str, row: int, find: str, count: int) -> list[Hit]:
        """What an item of the collection finds by its stored code; itself too, where `find` is its kind.

        Args:
          modality: 'image' or 'text'.
          row: of the item, 0..N-1.
          find: 'images' or 'texts'.
          count: number of results at most, 1..`MAX_COUNT`.

        Raises:
          DataError: the index has no such item.
        """
        self._part(find, count)
        part = self.index.parts.get(modality)
        if part is None or not 0 <= row < len(part):
            held = ", ".join(f"{len(part):,} {name}s" for name, part in self.index.parts.items())
            raise DataError(f"no {modality} {row}; the index holds {held}")
        return self._by_codes(part.code(row)[None], find, count)[0]

    def _part(self, find: str, count: int) -> "IndexPart":
        """What is searched."""
        if find not in FINDS:
            raise SettingError(f"find is {find!r}; expected one of {', '.join(FINDS)}")
        if not 1 <= count <= MAX_COUNT:
            raise SettingError(f"count is {count}; expected 1 to {MAX_COUNT}")
        if FINDS[find] not in self.index.parts:
            held = " and ".join(f"{name}s" for name in self.index.parts)
            raise DataError(f"the index holds no {find}; expected to find {held}")
        return self.index.parts[FINDS[find]]

    def _encoded(self, encode: Callable[[Sequence], Encoded], queries: Sequence, most: int) -> np.ndarray:
        """Codes of queries, uint8 (Q, K / 8); each by itself where a code would depend on its company."""
        size = most if self.model.note.encoding_batch is None else 1
        parts = [encode(queries[start : start + size]).codes for start in range(0, len(queries), size)]
        return np.concatenate([np.empty((0, self.index.bits // 8), np.uint8), *parts])

    def _coded_texts(self, texts: Sequence[str | tuple[str, ...]]) -> Encoded:
        encoded = self.model.encode_texts(texts)
        unknown = np.flatnonzero(encoded.words == 0) if encoded.words is not None else ()
        if len(unknown):
            text = texts[unknown[0]]
            shown = text if isinstance(text, str) else ", ".join(text)
            raise DataError(f"text {shown!r:.100}: no word that the model knows")
        return encoded

    def _coded_pictures(self, pictures: Sequence[np.ndarray]) -> Encoded:
        return self.model.encode_pictures(np.stack(pictures))

    def _by_codes(self, codes: np.ndarray, find: str, count: int) -> list[list[Hit]]:
        part = self._part(find, count)
        found = part.search(codes, count)
        return [list(_hits(part, *of_query)) for of_query in zip(found.rows, found.distances, strict=True)]


def default_find(given: str, held: Collection[str]) -> str:
    """What a query finds where it does not say: the other modality where there are items of it, else its own.

    Args:
      given: modality of the query, 'image' or 'text'.
      held: modalities of the index.

    Returns:
      'images' or 'texts'.
    """
    other = {"image": "text", "text": "image"}[given]
    return f"{other if other in held else given}s"


def require_same_model(note: ModelNote, index: "Index") -> None:
    """Raises DataError unless this model made the codes of an index."""
    if (index.model, index.bits) != (note.digest, note.bits):
        raise DataError(
            f"the index holds codes of {index.bits} bits by the model {index.model[:12]}, the model given is "
            f"{note.digest[:12]} of {note.bits} bits; expected the one that encoded the collection"
        )


def require_pictures(note: ModelNote) -> None:
    """Raises DataError unless a model takes pictures."""
    if not note.image_size:
        raise DataError(
            f"the model takes features of pictures, as {note.dataset} has them; expected one of pictures"
        )


def _hits(part: "IndexPart", rows: np.ndarray, distances: np.ndarray) -> Iterator[Hit]:
    for rank, (row, distance) in enumerate(zip(rows.tolist(), distances.tolist(), strict=True), 1):
        if row >= 0:
            item = part.item(row)
            yield Hit(rank, distance, row, part.modality, item["id"], item.get("text"))
