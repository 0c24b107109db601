"""Flickr8k and Flickr30k: pictures with five captions each, and no labels; see docs/downloads.md."""

import csv
import io
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from gch.data.downloads.captions import CAPTIONS, joined, located, read_karpathy, split_of
from gch.data.downloads.download import Contents, Download, difference, some_of
from gch.data.downloads.files import Files
from gch.errors import DataError

_TOKEN = re.compile(r"([^\t]+?)#(\d{1,9})\s+(.*)")
_TABLES = ("captions.txt", "results.csv")  # of Kaggle
_HEADERS = (b"image,caption", b"image_name,comment_number,comment", b"image_name|comment_number|comment")
_MOST_DAMAGED = 100  # one in so many lines
_Row = tuple[str, int, str]  # a picture, the number of a caption or -1, the caption


class Kind(NamedTuple):
    """One of the two."""

    dataset: str
    items: int
    picture: re.Pattern[str]  # names of its files
    tokens: str  # the file of captions of the original download
    archives: tuple[str, str]  # of captions, of pictures
    lists: dict[str, str]  # files that list the pictures of a part of the split
    karpathy: str


KINDS = (
    Kind(
        dataset="Flickr8k",
        items=8_091,
        picture=re.compile(r"\d+_[0-9a-f]+\.jpg", re.IGNORECASE),
        tokens="Flickr8k.token.txt",
        archives=("Flickr8k_text.zip", "Flickr8k_Dataset.zip"),
        lists={
            "query": "Flickr_8k.testImages.txt",
            "training": "Flickr_8k.trainImages.txt",
            "validation": "Flickr_8k.devImages.txt",
        },
        karpathy="dataset_flickr8k.json",
    ),
    Kind(
        dataset="Flickr30k",
        items=31_783,
        picture=re.compile(r"\d+\.jpg", re.IGNORECASE),
        tokens="results_20130124.token",
        archives=("flickr30k.tar.gz", "flickr30k-images.tar"),
        lists={"query": "test.txt", "training": "train.txt", "validation": "val.txt"},
        karpathy="dataset_flickr30k.json",
    ),
)


def recognise(files: Files, kind: Kind) -> Download | None:
    """The download, where its captions are there."""
    captions = files.first(kind.tokens) or _table(files, kind)
    karpathy = files.first(kind.karpathy)
    if not captions and not karpathy:
        return None
    missing = []
    if not any(kind.picture.fullmatch(posixpath.basename(path)) for path in files.pictures()):
        missing.append(f"pictures not found, expected from {kind.archives[1]}")
    missing += files.faults(*map(str.lower, kind.archives), "archive.zip", "caption_datasets.zip")
    lists = {part: files.first(name) for part, name in kind.lists.items()}
    return Download(
        title=kind.dataset,
        datasets=(kind.dataset,),
        files=files,
        missing=tuple(missing),
        read=lambda dataset, cache: _read(files, kind, captions, karpathy, lists),
    )


def _table(files: Files, kind: Kind) -> str:
    """Kaggle's captions.txt or results.csv, whose first picture has a name of this kind and no label."""
    for name in (name for table in _TABLES for name in files.find(table)):
        with files.opened(name) as file:
            lines = file.read(4096).removeprefix(b"\xef\xbb\xbf").splitlines()[:2]
        header, line = [*lines, b"", b""][:2]
        picture = re.split(rb"[,|]", line)[0].strip().decode("utf-8", "replace")
        if header.replace(b" ", b"").lower() in _HEADERS and kind.picture.fullmatch(picture):
            return name
    return ""


def _read(files: Files, kind: Kind, captions: str, karpathy: str, lists: dict[str, str]) -> Contents:
    notes: list[str] = []
    absent = [kind.lists[part] for part, name in lists.items() if not name]
    if any(lists.values()) and absent and not karpathy:
        notes.append(f"the split is not that of the lists: {', '.join(absent)} not found")
    lists = {} if absent else lists
    listed = {one.name: one for one in read_karpathy(files, karpathy)} if karpathy else {}
    texts = (
        _captions(files, captions, notes) if captions else {name: one.text for name, one in listed.items()}
    )
    described = sorted(texts.items())
    rows, paths, left_out = located(files, described)
    kept = [described[row][0] for row in rows]
    part_of = {name: one.part for name, one in listed.items()} or _listed(files, kind, lists)
    split = None
    if part_of:
        parts = [part_of.get(name) for name in kept]
        source = karpathy or posixpath.dirname(lists["query"])
        of_file = kind.karpathy if karpathy else "the lists"
        split, said = split_of(parts, files.where(source), of_file, len(part_of))
        notes += said
    if few := [name for name in kept if texts[name].count("\n") + 1 < CAPTIONS]:
        notes.append(f"items with fewer than {CAPTIONS} captions: {some_of(few)}")
    expected = len(listed) if listed and not captions else kind.items
    why = "; ".join(f"{len(names):,} left out {reason}" for reason, names in left_out.items() if names)
    return Contents(
        paths=paths,
        ids=kept,
        labels=np.zeros((len(kept), 0), np.uint8),
        label_names=(),
        texts=np.zeros((len(kept), 0), np.uint8),
        captions=tuple(texts[name] for name in kept),
        own_split=split,
        sources=tuple(filter(None, (captions, karpathy, *lists.values()))),
        rules=(
            f"items are the pictures of {posixpath.basename(captions or karpathy)}, by name",
            f"the text of an item is its {CAPTIONS} captions; there are no labels",
        ),
        counts={"pictures with captions": len(texts), "items": len(kept)},
        left_out=left_out,
        notes=(
            *notes,
            difference("items", len(kept), expected, why or "the captions are not those of the download"),
        ),
    )


def _captions(files: Files, name: str, notes: list[str]) -> dict[str, str]:
    """The texts of pictures."""
    found: dict[str, list[tuple[int, str]]] = {}
    damaged: list[str] = []
    total = repeated = 0
    for line, row in (_rows if name.lower().endswith(_TABLES) else _tokens)(files, name):
        total += 1
        if row is None:
            damaged.append(f"line {line}")
        else:
            found.setdefault(row[0], []).append(row[1:])
    if len(damaged) * _MOST_DAMAGED > total or not found:
        lines = f"{len(damaged):,} of {total:,} lines cannot be read ({damaged[0]})" if total else "empty"
        raise DataError(f"{files.where(name)}: {lines}; expected pictures and captions, load it again")
    texts = {}
    for picture, own in found.items():
        numbered = dict(reversed(own)) if own[0][0] >= 0 else dict(enumerate(text for _, text in own))
        captions = [numbered[number] for number in sorted(numbered)]
        if len(captions) > CAPTIONS:  # two captions of a picture may be the same
            captions = list(dict.fromkeys(captions))[:CAPTIONS]
        repeated += len(own) - len(captions)
        texts[picture] = joined(captions)
    if damaged:
        notes.append(f"lines of {name} that cannot be read are left out: {some_of(damaged)}")
    if foreign := [picture for picture, text in texts.items() if "\ufffd" in text]:
        notes.append(f"captions of {name} that are not UTF-8 lack characters: those of {some_of(foreign)}")
    if repeated:
        notes.append(
            f"{repeated:,} lines of {name} repeat others or are beyond {CAPTIONS} of a picture: left out"
        )
    return texts


def _tokens(files: Files, name: str) -> Iterator[tuple[int, _Row | None]]:
    """The lines of an original file: 'name.jpg#0', a tab and the caption; None where a line is not so."""
    for number, line in files.lines(name):
        match = _TOKEN.fullmatch(line.decode("utf-8", "replace"))
        yield number, (match[1], int(match[2]), match[3]) if match else None


def _rows(files: Files, name: str) -> Iterator[tuple[int, _Row | None]]:
    """The rows of a table of Kaggle's, whose captions have numbers or not; None where a row is not one."""
    text = files.read(name).decode("utf-8-sig", "replace")
    delimiter = "|" if "|" in text.partition("\n")[0] else ","
    quoting: Any = csv.QUOTE_NONE if delimiter == "|" else csv.QUOTE_MINIMAL
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    try:
        columns = len(next(rows))
        for row in rows:
            if not any(row):
                continue
            cells = [cell.strip() for cell in row]
            number = cells[1] if columns > 2 and len(cells) > 1 else "-1"
            whole = len(cells) >= columns and re.fullmatch(r"-1|\d{1,9}", number)
            caption = delimiter.join(cells[columns - 1 :])
            yield rows.line_num, (cells[0], int(number), caption) if whole else None
    except csv.Error as error:
        raise DataError(
            f"{files.where(name)}: line {rows.line_num}: {error}, expected a row of CSV"
        ) from error


def _listed(files: Files, kind: Kind, lists: Mapping[str, str]) -> dict[str, str]:
    """The part of each picture that a list names, with '.jpg' or without; DataError where two name it."""
    found: dict[str, str] = {}
    for part, name in lists.items():
        for number, line in files.lines(name):
            picture = f"{line.decode('utf-8', 'replace').removesuffix('.jpg')}.jpg"
            if not kind.picture.fullmatch(picture):
                raise files.unexpected(name, number, line, f"the name of a picture of {kind.dataset}")
            if found.setdefault(picture, part) != part:
                other = posixpath.basename(lists[found[picture]])
                raise files.unexpected(name, number, line, f"a picture that is not in {other} too")
    return found
