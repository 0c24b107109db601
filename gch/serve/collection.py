"""The items of an index as the API tells them."""

from pathlib import Path
from typing import TYPE_CHECKING

from gch.errors import DataError
from gch.search.query import FINDS, default_find
from gch.serve.replies import Item, Part, Result

if TYPE_CHECKING:  # What is served need not be of FAISS: anything of this interface will do.
    from gch.search.index_part import CollectionIndex
    from gch.search.query import Hit


class Missing(DataError):
    """There is no such item, or nothing of its modality."""


class Collection:
    """The items of an index.

    Args:
      index: over them.

    Attributes:
      bits: length of a code.
    """

    def __init__(self, index: "CollectionIndex"):
        self._parts = index.parts
        self.bits: int = index.bits

    def part(self, find: str) -> Part | None:
        """What there is of 'images' or of 'texts'."""
        part = self._parts.get(FINDS[find])
        return part and Part(items=len(part), index=part.kind)

    def find(self, wanted: str | None, given: str) -> str:
        """What to find, 'images' or 'texts'.

        Args:
          wanted: what was asked for, or None.
          given: modality of the query: the other is the default, where there are items of it.

        Raises:
          Missing: there are none of what was asked for.
        """
        if wanted is None:
            return default_find(given, self._parts)
        if FINDS[wanted] not in self._parts:
            has = " and ".join(f"{modality}s" for modality in self._parts)
            raise Missing(f"find: no {wanted} in this collection; expected {has}")
        return wanted

    def item(self, modality: str, row: int) -> Item:
        """An item.

        Raises:
          Missing: there is none.
        """
        self._require(modality, row)
        told = self._parts[modality].item(row)
        return Item(
            modality=modality, row=row, id=told["id"], text=told.get("text"), picture=_picture(modality, row)
        )

    def spread(self, find: str, count: int) -> list[Item]:
        """Items that are spread evenly over those of one modality, `count` at most."""
        items = len(self._parts[FINDS[find]])
        count = min(count, items)
        return [self.item(FINDS[find], number * items // count) for number in range(count)]

    def picture_path(self, row: int) -> Path:
        """The file of an image, which lies in the collection's folder.

        Raises:
          Missing: there is no such image.
          DataError: its file lies elsewhere.
        """
        self._require("image", row)
        return self._parts["image"].picture_path(row)

    def _require(self, modality: str, row: int) -> None:
        part = self._parts.get(modality)
        if part is None:
            raise Missing(f"no {modality}s in this collection")
        if not 0 <= row < len(part):
            raise Missing(f"no {modality} {row}; expected 0 to {len(part) - 1}")


def result(hit: "Hit") -> Result:
    """What was found, as the API tells it."""
    return Result(
        rank=hit.rank,
        distance=hit.distance,
        modality=hit.modality,
        row=hit.row,
        id=hit.id,
        text=hit.text,
        picture=_picture(hit.modality, hit.row),
    )


def _picture(modality: str, row: int) -> str | None:
    return f"/pictures/{row}" if modality == "image" else None
