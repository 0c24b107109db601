"""NUS-WIDE and the items that the hashing papers make of it, with one of the 21 or 10 most frequent labels.

Lines of one number in all of its files, see docs/downloads.md, are of one picture. The pictures are found by
their paths in the list, or by their names where they lie in one folder.
"""

import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gch.data.downloads.download import Contents, Download, difference
from gch.data.downloads.files import Files
from gch.data.text_files import printable, shown
from gch.errors import DataError
from gch.storage import cached_array, digest
from gch.terminal import Progress

TITLE = "NUS-WIDE"
PICTURES, WORDS, CONCEPTS = 269_648, 1_000, 81
# data set: its labels, and its items in the literature
DATASETS = {"NUS-WIDE-TC21": (21, 195_834), "NUS-WIDE-TC10": (10, 186_577)}
_BLOCK_BYTES = 2**23
_LONGEST_LINE = 2**16
_FILES = {
    "Imagelist.txt": "ImageList.zip",
    "Concepts81.txt": "ConceptsList.zip or NUS-WIDE.zip",
    "AllTags1k.txt": "NUS_WID_Tags.zip",
    "TagList1k.txt": "NUS_WID_Tags.zip",
}
_GROUNDTRUTH = "Groundtruth.zip or NUS-WIDE.zip"
_ARCHIVES = ("imagelist.zip", "conceptslist.zip", "nus-wide.zip", "nus_wid_tags.zip", "groundtruth.zip")


def recognise(files: Files) -> Download | None:
    """The download, where its labels or its table of tags are there."""
    places = {name: files.first(name) for name in _FILES}
    truth = files.fullest(lambda folder, name: _concept(name) != "")
    concepts = {_concept(name) for name in files.folders.get(truth, ())} - {""}
    if not places["AllTags1k.txt"] and len(concepts) <= CONCEPTS // 2:
        return None
    missing = [
        f"{name} not found, expected from {archive}" for name, archive in _FILES.items() if not places[name]
    ]
    if len(concepts) < CONCEPTS:
        found = f"{len(concepts)} of {CONCEPTS} files such as AllLabels/Labels_airport.txt found"
        missing.append(f"{found}, expected all from {_GROUNDTRUTH}")
    if next(files.pictures(), None) is None:
        missing.append(
            "pictures such as Flickr/actor/0001_2124494179.jpg not found, expected from the authors"
        )
    missing += files.faults(*_ARCHIVES)
    return Download(
        title=TITLE,
        datasets=tuple(DATASETS),
        files=files,
        missing=tuple(missing),
        read=lambda dataset, cache: _read(files, places, truth, dataset, cache),
    )


def _read(files: Files, places: dict[str, str], truth: str, dataset: str, cache: Path) -> Contents:
    chosen, expected = DATASETS[dataset]
    names = [text.replace("\\", "/") for text in _texts(files, places["Imagelist.txt"])]
    words = _texts(files, places["TagList1k.txt"])
    concepts = _texts(files, places["Concepts81.txt"])
    truths = _label_files(files, truth, concepts)
    columns_of_all = [[block for _, block in _blocks(files, name, len(names), 1)] for name in truths]
    labels = np.hstack([np.concatenate(blocks) for blocks in columns_of_all])
    frequent = np.argsort(-labels.sum(axis=0, dtype=np.int64), kind="stable")[:chosen]
    columns = np.sort(frequent).tolist()
    labels = labels[:, columns]
    tags = _tag_table(files, places["AllTags1k.txt"], len(names), len(words), cache)
    labelled = np.flatnonzero(labels.any(axis=1))
    if not len(labelled):
        raise DataError(f"{files.where(truth)}: found 0 in all lines, expected 1 where a picture has a label")
    path_of = _located(files, [names[row] for row in labelled.tolist()])
    first: dict[str, int] = {}
    for row in labelled.tolist():
        first.setdefault(names[row], row)
    kept = np.array([row for name, row in first.items() if name in path_of], np.int64)
    if not len(kept):
        found = f"none of the {len(labelled):,} pictures with labels, such as {names[labelled[0]]}"
        raise DataError(f"{files.where('')}: {found}; expected the folder Flickr, or pictures of such names")
    texts = np.unpackbits(tags[kept], axis=1, count=len(words))
    which = f"one of the {chosen} most frequent labels"
    worded = int(np.count_nonzero(tags[labelled].any(axis=1)))
    why = "Imagelist.txt and AllLabels are not those of the download"
    if worded == expected:
        why = "it leaves out those without a word"
    return Contents(
        paths=[path_of[names[row]] for row in kept.tolist()],
        ids=[names[row] for row in kept.tolist()],
        labels=labels[kept],
        label_names=tuple(concepts[column] for column in columns),
        texts=texts,
        tag_names=tuple(words),
        sources=(*places.values(), *truths),
        rules=(
            f"items are the pictures with {which}, with words or not, in the order of Imagelist.txt",
            "labels are in the order of Concepts81.txt, words in that of TagList1k.txt",
        ),
        counts={
            "pictures in Imagelist.txt": len(names),
            f"pictures with {which}": len(labelled),
            f"pictures with {which} and a word": worded,
            "items": len(kept),
            "items with a word": int(np.count_nonzero(texts.any(axis=1))),
        },
        left_out={
            "as their pictures are missing": [name for name in first if name not in path_of],
            "as Imagelist.txt repeats them": [
                names[row] for row in labelled.tolist() if first[names[row]] != row
            ],
        },
        notes=(
            difference("words", len(words), WORDS, "TagList1k.txt is not that of the download"),
            difference("pictures", len(names), PICTURES, "Imagelist.txt is not that of the download"),
            difference(f"pictures with {which}", len(labelled), expected, why),
        ),
    )


def _concept(name: str) -> str:
    """The concept of a file of labels, in lower case; '' where it is of another kind."""
    stem = name.lower().removesuffix(".txt")
    if stem == name.lower() or not stem.startswith("labels_") or stem.endswith(("_train", "_test")):
        return ""
    return stem.removeprefix("labels_")


def _label_files(files: Files, truth: str, concepts: Sequence[str]) -> list[str]:
    """The files of labels in the order of the concepts."""
    found = {_concept(name): posixpath.join(truth, name) for name in files.folders[truth]}
    for concept in concepts:
        if concept.lower() not in found:
            expected = f"expected it, as Concepts81.txt names {shown(concept)}"
            raise DataError(f"{files.where(truth)}: Labels_{printable(concept)}.txt not found, {expected}")
    return [found[concept.lower()] for concept in concepts]


def _texts(files: Files, name: str) -> list[str]:
    """The lines of a list."""
    texts = [line.decode("utf-8", "backslashreplace") for _, line in files.lines(name)]
    if not texts:
        raise DataError(f"{files.where(name)}: empty, expected a name on each line")
    return texts


def _tag_table(files: Files, name: str, rows: int, words: int, cache: Path) -> np.ndarray:
    """AllTags1k.txt as bits, uint8 (rows, words / 8), from the cache if it was read before."""
    state = digest("nus-wide tags", *files.state(name), rows, words)

    def fill(table: np.memmap) -> None:
        progress = Progress("lines", f"Reading {files.where(name)} (once)")
        progress(0, rows)
        for start, block in _blocks(files, name, rows, words):
            table[start : start + len(block)] = np.packbits(block, axis=1)
            progress(start + len(block), rows)

    return cached_array(cache / f"nus-wide-tags-{state[:16]}.npy", np.uint8, (rows, -(-words // 8)), fill)


def _blocks(files: Files, name: str, rows: int, columns: int) -> Iterator[tuple[int, np.ndarray]]:
    """A text of zeros and ones between blanks or tabs, part by part: the first row, and uint8 (n, columns).

    Raises:
      DataError: a line holds something else, or lines are not as many as `rows`.
    """
    row, line, rest, read = 0, 1, b"", b"..."
    with files.opened(name) as file:
        while read:
            read = file.read(_BLOCK_BYTES)
            text = rest + read
            end = text.rfind(b"\n") + 1 if read else len(text)
            text, rest = text[:end], text[end:]
            if len(rest) > _LONGEST_LINE + 4 * columns:
                raise files.unexpected(name, line, rest[:60], f"{columns:,} of 0 and 1")
            if text:
                block = _digits(files, name, text, line, columns)
                row, line = row + len(block), line + text.count(b"\n")
                if row > rows:
                    break
                yield row - len(block), block
    if row != rows:
        found = f"more than {rows:,} lines" if row > rows else f"{row:,} lines"
        raise DataError(f"{files.where(name)}: {found}, expected {rows:,}, as many as Imagelist.txt has")


def _digits(files: Files, name: str, text: bytes, line: int, columns: int) -> np.ndarray:
    """The digits of whole lines, the first of which is `line`: uint8 (n, columns); none of blank lines."""
    codes = np.frombuffer(text, np.uint8)
    digit = (codes == ord("0")) | (codes == ord("1"))
    right = digit | (codes == ord(" ")) | (codes == ord("\t")) | (codes == ord("\r")) | (codes == ord("\n"))
    right[1:] &= ~(digit[1:] & digit[:-1])
    if not right.all():
        before = text[: int(np.argmin(right))]
        start = max(before.rfind(b"\n"), before.rfind(b" "), before.rfind(b"\t")) + 1
        found = text[start : start + 60].split()[0]
        raise files.unexpected(name, line + before.count(b"\n"), found, "0 or 1")
    ends = np.flatnonzero(codes == ord("\n")) + 1
    starts = np.concatenate([[0], ends[ends < len(codes)]])
    counts = np.add.reduceat(digit, starts, dtype=np.int32)
    odd = np.flatnonzero((counts != columns) & (counts != 0))
    if len(odd):
        where = f"{files.where(name)}: line {line + odd[0]}"
        raise DataError(f"{where}: {counts[odd[0]]:,} numbers, expected {columns:,} of 0 and 1")
    return (codes[digit] - ord("0")).reshape(-1, columns)


def _located(files: Files, names: Sequence[str]) -> dict[str, str]:
    """Where pictures lie, by the paths in Imagelist.txt; those that are not there are left out.

    A path may begin in any folder. Where it is not found, a picture of its name, or of its name without the
    number before the '_', counts, if it is the only one.
    """
    wanted = {name.lower(): name for name in names}
    found: dict[str, str] = {}
    others: dict[str, str] = {}
    for path in files.pictures():
        tail = "/".join(path.lower().split("/")[-2:])
        if tail in wanted:
            found.setdefault(wanted[tail], path)
        else:
            last = posixpath.basename(tail)
            others[last] = "" if last in others else path
    for name in names:
        last = posixpath.basename(name).lower()
        for key in (last, last.partition("_")[2]):
            if name not in found and others.get(key):
                found[name] = others[key]
    return found
