"""The items of an index as the API shows them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from starlette.exceptions import HTTPException

from gch.data.text_files import whole
from gch.search.collection_index import CollectionIndex
from gch.search.query import FINDS, Hit, default_find
from gch.serve.replies import Find, Item, Modality, Part, Result


class Collection:
    """The items of an index. A missing one raises HTTPException 404."""

    def __init__(self, index: CollectionIndex):
        self._parts = index.parts
        self.bits = index.bits  # length of a code

    def part(self, find: str) -> Part | None:
        """The 'images', the 'texts' or the 'pairs'."""
        part = self._parts.get(FINDS[find])
        return None if part is None else Part(items=len(part), index=part.kind)

    def find(self, wanted: Find | None, given: Modality) -> Find:
        """The kind to find: `wanted`, or by default what fits a query of the modality `given`."""
        if wanted is None:
            return cast(Find, default_find(given, self._parts))
        if FINDS[wanted] not in self._parts:
            has = " and ".join(f"{modality}s" for modality in self._parts)
            raise HTTPException(404, f"find: no {wanted} in this collection; expected {has}")
        return wanted

    def item(self, modality: str, row: int) -> Item:
        """The item at a row."""
        return self.items(modality, [row])[0]

    def items(self, modality: str, rows: Sequence[int]) -> list[Item]:
        """The items at rows."""
        items = zip(rows, self._parts[modality].items(rows), strict=True)
        return [Item(**self._fields(modality, row, item["id"], item.get("text"))) for row, item in items]

    def spread(self, find: str, count: int) -> list[Item]:
        """At most `count` items, spread evenly over those of a modality."""
        total = len(self._parts[FINDS[find]])
        count = min(count, total)
        return self.items(FINDS[find], [number * total // count for number in range(count)])

    def picture_path(self, modality: str, row: int) -> Path:
        """The file of an image or a pair; DataError where it lies outside the folder of the collection."""
        self.require(modality, row)
        part = self._parts[modality]
        return part.picture_path(row, part.items([row])[0]["id"])

    def require(self, modality: str, row: int) -> None:
        """Raises HTTPException unless there is such an item."""
        part = self._parts.get(modality)
        if part is None:
            raise HTTPException(404, f"no {modality}s in this collection")
        if not 0 <= row < len(part):
            raise HTTPException(404, f"no {modality} {row}; expected 0 to {len(part) - 1}")

    def result(self, hit: Hit) -> Result:
        """A hit as the API shows it."""
        fields = self._fields(hit.modality, hit.row, hit.id, hit.text)
        return Result(**fields, rank=hit.rank, distance=hit.distance, score=hit.score)

    def _fields(self, modality: str, row: int, identity: str, text: str | None) -> dict[str, Any]:
        known = self._parts[modality].picture(row, identity) is not None
        picture = f"/pictures/{'pair/' if modality == 'pair' else ''}{row}" if known else None
        texts = {"id": whole(identity), "text": text and whole(text)}  # answers are UTF-8
        return {"modality": modality, "row": row, "picture": picture, **texts}
