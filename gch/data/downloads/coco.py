"""MS-COCO of 2014 or 2017, with captions and the 80 categories of its objects: see docs/downloads.md.

Both versions are the same pictures, parted differently, so items are in the order of their numbers. Items are
the pictures with a category; with dataset_coco.json, which names its items itself, also those without.
"""

import contextlib
import json
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gch.data.downloads.captions import CAPTIONS, entries, joined, located, read_json, read_karpathy, split_of
from gch.data.downloads.download import Contents, Download, difference, some_of
from gch.data.downloads.files import Files
from gch.data.pairs import multi_hot
from gch.data.text_files import shown
from gch.errors import DataError, writing
from gch.storage import atomic_path, digest
from gch.terminal import Progress

TITLE = "MS-COCO"
PICTURES, ITEMS, LABELS = 123_287, 122_218, 80
KARPATHY = "dataset_coco.json"
_YEARS, _PARTS, _KINDS = ("2014", "2017"), ("train", "val"), ("instances", "captions")
_FIELDS = (
    *("images", "annotations", "categories"),
    *("id", "file_name", "name", "image_id", "category_id", "caption"),
)
_PICTURE = {
    "2014": re.compile(r"COCO_(?:train|val)2014_\d{12}\.jpg", re.IGNORECASE),
    "2017": re.compile(r"\d{12}\.jpg", re.IGNORECASE),
}


class _Annotations(NamedTuple):
    """What the annotations say; of values that JSON has."""

    pictures: dict[str, tuple[str, str, list[str]]]  # 'train2014/NAME.jpg', text and categories, by number
    categories: dict[str, str]  # names by number, ascending
    notes: list[str]


def recognise(files: Files) -> Download | None:
    """The download, where its annotations or Karpathy's are there."""
    karpathy = files.first(KARPATHY)
    places = {
        year: {part: tuple(files.first(f"{kind}_{part}{year}.json") for kind in _KINDS) for part in _PARTS}
        for year in _YEARS
    }
    described = [year for year in _YEARS if any(map(any, places[year].values()))]
    if not described and not karpathy:
        return None
    pictured = _pictured(files)
    year = max(described or _YEARS, key=lambda year: pictured[year])
    chosen = {f"{part}{year}": names for part, names in places[year].items() if any(names)}
    missing = [
        f"{kind}_{part}.json not found, expected from annotations_trainval{year}.zip"
        for part, names in chosen.items()
        for kind, name in zip(_KINDS, names, strict=True)
        if not name
    ]
    if len(described) > 1 and all(pictured.values()):
        missing.append("pictures and annotations of 2014 and of 2017 found, expected those of one year")
    if not pictured[year]:
        others = [other for other in _YEARS if pictured[other]]
        found = f"annotations are of {year}, pictures of {others[0]}; " if others else ""
        expected = f"expected from train{year}.zip and val{year}.zip"
        missing.append(f"{found}pictures of {year} not found, {expected}")
    archives = [f"{stem}{year}.zip" for stem in ("train", "val", "annotations_trainval")]
    missing += files.faults(*archives, "caption_datasets.zip")
    return Download(
        title=f"{TITLE} {year}",
        datasets=("COCO",),
        files=files,
        missing=tuple(missing),
        read=lambda dataset, cache: _read(files, year, chosen, karpathy, cache),
    )


def _pictured(files: Files) -> dict[str, int]:
    """How many pictures of each year are there."""
    counts = dict.fromkeys(_YEARS, 0)
    for names in files.folders.values():
        for year, pattern in _PICTURE.items():
            counts[year] += sum(pattern.fullmatch(name) is not None for name in names)
    return counts


def _read(
    files: Files, year: str, chosen: Mapping[str, Sequence[str]], karpathy: str, cache: Path
) -> Contents:
    found = _annotations_once(files, chosen, cache)
    listed = {str(one.number): one for one in read_karpathy(files, karpathy)} if karpathy else {}
    pictures = found.pictures
    if not chosen:
        names = {
            number: one.name if year == "2014" else f"{number:>012}.jpg" for number, one in listed.items()
        }
        pictures = {number: (names[number], one.text, []) for number, one in listed.items()}
    numbers = sorted(pictures, key=int)
    # Karpathy's split is one of all pictures, with a category or not.
    wanted = [number for number in numbers if number in listed or pictures[number][2]]
    rows, paths, left_out = located(files, [pictures[number][:2] for number in wanted])
    kept = [wanted[row] for row in rows]
    labels = multi_hot([pictures[number][2] for number in kept], tuple(found.categories))
    unlabelled = [pictures[number][0] for number in numbers if not (number in listed or pictures[number][2])]
    notes, split = [*found.notes], None
    unused = np.flatnonzero(~labels.any(axis=0)).tolist()
    if unused:
        some = some_of([list(found.categories.values())[column] for column in unused])
        notes.append(f"labels that no item has: {some}")
    if listed:
        parts = [listed[number].part if number in listed else None for number in kept]
        split, said = split_of(parts, files.where(karpathy), KARPATHY, len(listed))
        notes += said
        if chosen and (bare := len(kept) - int(np.count_nonzero(labels.any(axis=1)))):
            notes.append(f"{bare:,} items have no category; they stay, as {KARPATHY} has them")
    why = "the annotations are not those of the download"
    if chosen and len(chosen) < len(_PARTS):
        why = f"annotations of {', '.join(chosen)} only"
    elif len(kept) < len(wanted):
        why = "pictures or captions are missing"
    which = f"of {KARPATHY}" if listed else "with a category"
    return Contents(
        paths=paths,
        ids=[pictures[number][0] for number in kept],
        labels=labels,
        label_names=tuple(found.categories.values()),
        texts=np.zeros((len(kept), 0), np.uint8),
        captions=tuple(pictures[number][1] for number in kept),
        own_split=split,
        sources=tuple(filter(None, (*(name for names in chosen.values() for name in names), karpathy))),
        rules=(
            f"items are the pictures {which}, in the order of their numbers",
            "labels are the categories, in the order of their numbers",
            f"the text of an item is its first {CAPTIONS} captions, in the order of their numbers",
        ),
        counts={
            "pictures in the annotations": len(numbers),
            "pictures with a category": sum(bool(own) for *_, own in pictures.values()),
            "items": len(kept),
        },
        left_out={"as they have no category": unlabelled, **left_out},
        notes=(*notes, difference("items", len(kept), PICTURES if listed else ITEMS, why)),
    )


def _annotations_once(files: Files, chosen: Mapping[str, Sequence[str]], cache: Path) -> _Annotations:
    """What the annotations say, from the cache if they were read before: JSON, below a line of its digest."""
    names = [name for both in chosen.values() for name in both]
    if not names:
        return _Annotations({}, {}, [])
    state = digest("coco annotations 2", *(value for name in names for value in (name, *files.state(name))))
    path = cache / f"coco-annotations-{state[:16]}.json"
    if path.is_file():
        with contextlib.suppress(OSError):
            written, _, content = path.read_bytes().partition(b"\n")
            if digest(content).encode() == written:
                return _Annotations(**json.loads(content))
    found = _annotations(
        files, chosen, Progress("files", f"Reading the annotations in {files.where('')} (once)")
    )
    content = json.dumps(found._asdict()).encode()
    with writing(path, DataError), atomic_path(path) as temporary:
        temporary.write_bytes(digest(content).encode() + b"\n" + content)
    return found


def _annotations(
    files: Files, chosen: Mapping[str, Sequence[str]], progress: Callable[[int, int], None]
) -> _Annotations:
    names: dict[int, str] = {}
    categories: dict[int, str] = {}
    of_picture: dict[int, set[int]] = {}
    texts: dict[int, dict[int, str]] = {}
    strays: set[int] = set()
    progress(0, 2 * len(chosen))
    for done, (folder, (instances, captions)) in enumerate(chosen.items()):
        where, content = files.where(instances), _json(files, instances)
        for number, last in entries(content, where, "images", {"id": int, "file_name": str}):
            name = posixpath.join(folder, last)
            if names.setdefault(number, name) != name:
                both = f"picture {number} is {shown(names[number])} and {shown(name)}"
                raise DataError(f"{where}: {both}, expected annotations of one year")
        own = dict(sorted(entries(content, where, "categories", {"id": int, "name": str})))
        if categories not in ({}, own):
            raise DataError(f"{where}: categories differ from those of the other part, expected the same")
        categories = own
        kinds: dict[str, type] = {"image_id": int, "category_id": int}
        for number, category in entries(content, where, "annotations", kinds):
            if category not in categories:
                raise DataError(f"{where}: found category_id {category}, expected one of its categories")
            if number in names:
                of_picture.setdefault(number, set()).add(category)
            else:
                strays.add(number)
        progress(2 * done + 1, 2 * len(chosen))
        content = _json(files, captions)
        kinds = {"image_id": int, "id": int, "caption": str}
        for number, key, text in entries(content, files.where(captions), "annotations", kinds):
            if number in names:
                texts.setdefault(number, {}).setdefault(key, text)
            else:
                strays.add(number)
        progress(2 * done + 2, 2 * len(chosen))
    notes = []
    if strays:
        some = some_of(list(map(str, sorted(strays))))
        notes.append(f"annotations of pictures that are not listed are left out: {some}")
    if more := sorted(number for number, own in texts.items() if len(own) > CAPTIONS):
        some = some_of([names[number] for number in more])
        notes.append(f"pictures with more than {CAPTIONS} captions, of which the first count: {some}")
    pictures = {}
    for number, name in names.items():
        first = [text for _, text in sorted(texts.get(number, {}).items())][:CAPTIONS]
        pictures[str(number)] = name, joined(first), list(map(str, sorted(of_picture.get(number, ()))))
    return _Annotations(pictures, {str(number): name for number, name in categories.items()}, notes)


def _json(files: Files, name: str) -> dict[str, Any]:
    return read_json(files, name, _FIELDS, "the zip file of annotations")
