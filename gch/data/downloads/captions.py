"""What the downloads with captions share: large JSON files, captions of a picture, and Karpathy's splits."""

import io
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gch.data.downloads.files import Files
from gch.data.pairs import Split
from gch.data.text_files import object_of, shown
from gch.errors import DataError, reason

CAPTIONS = 5  # of a picture, in all of these downloads
_MAX_JSON_BYTES = 2**31
_PARTS = {  # Karpathy's names of parts, and ours
    "train": "training",
    "restval": "training",  # pictures of COCO's validation part that neither validate nor test
    "val": "validation",
    "dev": "validation",
    "test": "query",
}


def read_json(files: Files, name: str, fields: Sequence[str], again: str) -> dict[str, Any]:
    """The object of a JSON file, of which objects at any depth keep only some fields, to fit into memory.

    Raises:
      DataError: it cannot be read or is no JSON object; says to load it `again` from a file of the download.
    """
    wanted, where = tuple(fields), files.where(name)

    def kept(found: dict[str, Any]) -> dict[str, Any]:
        return {field: found[field] for field in wanted if field in found}

    with files.opened(name, _MAX_JSON_BYTES) as file:
        try:
            found = json.load(io.TextIOWrapper(file, "utf-8-sig"), object_hook=kept)  # type: ignore[arg-type]
        except (ValueError, RecursionError) as error:
            why = f"cannot be read as JSON, {reason(error)}"
            raise DataError(f"{where}: {why}; it may be cut off, load it again from {again}") from error
    return object_of(found, where, {})


def entries(
    content: Mapping[str, Any], where: str, field: str, kinds: Mapping[str, type]
) -> Iterator[tuple[Any, ...]]:
    """The values of each object in the list `field` of an object of JSON; `kinds` are their fields and types.

    Raises:
      DataError: there is no such list, or an object lacks a field; begins with `where`.
    """
    found = content.get(field)
    if not isinstance(found, list) or not found:
        what = "missing" if field not in content else shown(found)
        raise DataError(f"{where}: {field} is {what}, expected a JSON list of objects")
    names, types = tuple(kinds), tuple(kinds.values())
    for number, entry in enumerate(found):
        values = tuple(map(entry.get, names)) if isinstance(entry, dict) else ()
        if tuple(map(type, values)) != types:
            expected = ", ".join(f"{name} ({kind.__name__})" for name, kind in kinds.items())
            raise DataError(f"{where}: {field}[{number}] is {shown(entry)}, expected {expected}")
        yield values


def joined(captions: Sequence[str]) -> str:
    """The text of an item: its captions, a line each, without those that are blank."""
    return "\n".join(filter(None, (" ".join(caption.split()) for caption in captions)))


class Described(NamedTuple):
    """A picture in a file of Karpathy's."""

    name: str  # of its file, with the folder if that is known: 'val2014/COCO_val2014_000000000042.jpg'
    number: int  # COCO's, or -1
    part: str  # of `Split`
    text: str  # its captions, see `joined`


def read_karpathy(files: Files, name: str) -> list[Described]:
    """The pictures of dataset_coco.json and the like; raises DataError where it is damaged."""
    fields = ("images", "filepath", "filename", "split", "sentences", "raw", "cocoid")
    content, where = read_json(files, name, fields, "caption_datasets.zip"), files.where(name)
    found = []
    kinds = {"filename": str, "split": str}
    for number, (picture, part) in enumerate(entries(content, where, "images", kinds)):
        image = content["images"][number]
        if part not in _PARTS:
            known = ", ".join(_PARTS)
            raise DataError(f"{where}: images[{number}].split is {shown(part)}, expected one of {known}")
        if type(image.get("cocoid", -1)) is not int:
            raise DataError(
                f"{where}: images[{number}].cocoid is {shown(image['cocoid'])}, expected a number"
            )
        texts = [text for (text,) in entries(image, f"{where}: images[{number}]", "sentences", {"raw": str})]
        if isinstance(folder := image.get("filepath"), str):
            picture = posixpath.join(folder, picture)
        found.append(Described(picture, image.get("cocoid", -1), _PARTS[part], joined(texts[:CAPTIONS])))
    return found


def split_of(parts: Sequence[str | None], where: str, name: str, listed: int) -> tuple[Split, list[str]]:
    """The split of items by their parts, None for no part, and what a user should know of it, a line each.
    What is no query is retrieved. The file `name`, which is at `where`, names so many `listed` pictures.

    Raises:
      DataError: a part has no item.
    """
    of_part = {
        part: np.array([row for row, one in enumerate(parts) if one == part], np.int64)
        for part in ("query", "training", "validation")
    }
    for part, rows in of_part.items():
        if not len(rows):
            raise DataError(f"{where}: none of the {len(parts):,} items is in the part {part}, expected some")
    query, training, validation = of_part.values()
    split = Split(query, np.union1d(training, validation), training, validation)
    sizes = ", ".join(f"{len(rows):,} {part}" for part, rows in split.parts().items())
    there = sum(part is not None for part in parts)
    lines = [f"the split is that of {name}: {sizes}"]
    if there < listed:
        lines.append(f"{listed - there:,} pictures of {name} are not among the items")
    if there < len(parts):
        lines.append(f"{len(parts) - there:,} items are in no part of the split")
    return split, lines


def located(
    files: Files, described: Sequence[Sequence[str]]
) -> tuple[list[int], list[str], dict[str, list[str]]]:
    """Which of the pictures, each a name and a text, can be items, where these lie, and the names of the
    others by reason. A picture lies in any folder; of equal names, the one in few folders counts.
    """
    path_of: dict[str, str] = {}
    for path in sorted(files.pictures(), key=lambda path: (path.count("/"), path)):
        path_of.setdefault(posixpath.basename(path).lower(), path)
    found = [(name, text, path_of.get(posixpath.basename(name).lower())) for name, text in described]
    rows = [row for row, (_, text, path) in enumerate(found) if path and text]
    left_out = {
        "as their pictures are missing": [name for name, _, path in found if not path],
        "as they have no caption": [name for name, text, path in found if path and not text],
    }
    return rows, [path for _, text, path in found if path and text], left_out
