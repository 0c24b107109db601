"""MIRFLICKR-25000 and the items that the hashing papers make of it, FLICKR-25K: see docs/downloads.md."""

import posixpath
import re

import numpy as np

from gch.data.downloads.download import Contents, Download, difference
from gch.data.downloads.files import Files
from gch.errors import DataError

TITLE = "MIRFLICKR-25000"
# The potential labels of version 080. The lists of relevant ones, such as baby_r1.txt, are parts of theirs.
LABELS = (
    *("animals", "baby", "bird", "car", "clouds", "dog", "female", "flower"),
    *("food", "indoor", "lake", "male", "night", "people", "plant_life", "portrait"),
    *("river", "sea", "sky", "structures", "sunset", "transport", "tree", "water"),
)
PICTURES, WORDS, ITEMS = 25_000, 1_386, 20_015
_LISTS = tuple(f"{label}.txt" for label in LABELS)
_PICTURE = re.compile(r"im([1-9]\d*)\.jpe?g", re.IGNORECASE)
_TAGS = re.compile(r"tags([1-9]\d*)\.txt", re.IGNORECASE)
_COLLECTION, _ANNOTATIONS = "mirflickr25k.zip", "mirflickr25k_annotations_v080.zip"


def recognise(files: Files) -> Download | None:
    """The download, where its tags, its list of common tags or its annotations are there."""
    common = files.first("common_tags.txt")
    tags = files.fullest(lambda folder, name: folder.lower().endswith("tags") and bool(_TAGS.fullmatch(name)))
    lists = files.fullest(lambda folder, name: name.lower() in _LISTS)
    held = {name.lower() for name in files.folders.get(lists, ())}
    absent = [name for name in _LISTS if name not in held]
    if not common and not tags and len(absent) > len(_LISTS) // 2:
        return None
    pictures = files.fullest(lambda folder, name: bool(_PICTURE.fullmatch(name)))
    missing = []
    for found, what in (
        (_numbered(files, pictures, _PICTURE), "pictures such as im1.jpg"),
        (tags, "meta/tags/tags1.txt and the other tags"),
        (common, "doc/common_tags.txt"),
    ):
        if not found:
            missing.append(f"{what} not found, expected from {_COLLECTION}")
    if absent:
        others = f" and {len(absent) - 1} other lists" if len(absent) > 1 else ""
        missing.append(f"{absent[0]}{others} not found, expected from {_ANNOTATIONS}")
    missing += files.faults(_COLLECTION, _ANNOTATIONS)
    return Download(
        title=TITLE,
        datasets=("MIRFLICKR",),
        files=files,
        missing=tuple(missing),
        read=lambda dataset, cache: _read(files, pictures, tags, common, lists),
    )


def _read(files: Files, pictures: str, tags: str, common: str, lists: str) -> Contents:
    notes: list[str] = []
    words = _common_tags(files, common, notes)
    labels = _labels(files, lists, notes)
    picture_of = _numbered(files, pictures, _PICTURE)
    file_of = _numbered(files, tags, _TAGS)
    labelled = np.flatnonzero(labels.any(axis=1)) + 1
    column = {word: number for number, word in enumerate(words)}
    texts = np.zeros((len(labelled), len(words)), np.uint8)
    read = [number for number in labelled.tolist() if number in file_of]
    untagged = sorted({*labelled.tolist()} - {*read})
    for row, number in zip(np.searchsorted(labelled, read), read, strict=True):
        texts[row, [column[tag] for _, tag in files.lines(file_of[number]) if tag in column]] = 1
    tagged = texts.any(axis=1)
    there = np.array([number in picture_of for number in labelled.tolist()], bool)
    kept = np.flatnonzero(tagged & there)
    numbers = labelled[kept].tolist()
    gone = labelled[tagged & ~there].tolist()
    left_out = {
        "as their pictures are missing": [f"im{number}.jpg" for number in gone],
        "as their files of tags are missing": [f"tags{number}.txt" for number in untagged],
    }
    why = "the annotations are not whole, or not of version 080"
    if len(words) != WORDS:
        why = f"common_tags.txt has {len(words):,} words, expected {WORDS:,}"
    elif gone or untagged:
        why = "; ".join(f"{len(names):,} left out {reason}" for reason, names in left_out.items() if names)
    return Contents(
        paths=[picture_of[number] for number in numbers],
        ids=[f"im{number}.jpg" for number in numbers],
        labels=labels[labelled[kept] - 1],
        label_names=LABELS,
        texts=texts[kept],
        tag_names=tuple(word.decode("utf-8", "backslashreplace") for word in words),
        sources=(
            common,
            *_label_lists(files, lists).values(),
            *(file_of[number] for number in sorted(file_of)),
        ),
        rules=(
            "items are the pictures with one of the labels and one of the common tags, in the order of their "
            "numbers",
            "labels are the 24 lists without _r1, by name; words are those of common_tags.txt, in its order",
        ),
        counts={
            "pictures": len(picture_of),
            "pictures with a label": len(labelled),
            "pictures with a label and a common tag": int(tagged.sum()),
            "items": len(kept),
        },
        left_out=left_out,
        notes=(
            *notes,
            difference("words", len(words), WORDS, "common_tags.txt is not that of the download"),
            difference("items", len(kept), ITEMS, why),
        ),
    )


def _numbered(files: Files, folder: str, pattern: re.Pattern[str]) -> dict[int, str]:
    """The files of a folder by their numbers."""
    matches = ((pattern.fullmatch(name), name) for name in files.folders.get(folder, ()))
    return {int(match[1]): posixpath.join(folder, name) for match, name in matches if match}


def _common_tags(files: Files, name: str, notes: list[str]) -> list[bytes]:
    """The words: the first field of each line; the second one says how many pictures have it."""
    words: dict[bytes, None] = {}
    lines = 0
    for number, line in files.lines(name):
        fields = line.split()
        if len(fields) > 2 or (len(fields) == 2 and not fields[1].isdigit()):
            raise files.unexpected(name, number, line, "a tag and its number")
        words[fields[0]] = None
        lines += 1
    if not words:
        raise DataError(f"{files.where(name)}: empty, expected {WORDS:,} tags")
    if lines > len(words):
        notes.append(f"common_tags.txt: {lines - len(words)} repeated lines count once")
    return list(words)


def _label_lists(files: Files, folder: str) -> dict[str, str]:
    """The lists of a folder by label, such as 'baby', or 'baby_r1'."""
    stems = ((name.lower().removesuffix(".txt"), name) for name in files.folders[folder])
    return {stem: posixpath.join(folder, name) for stem, name in stems if stem.removesuffix("_r1") in LABELS}


def _labels(files: Files, folder: str, notes: list[str]) -> np.ndarray:
    """Which labels each of the 25,000 pictures has, uint8 (25000, 24)."""
    names = _label_lists(files, folder)
    _require_one_version(files, folder)
    labels = np.zeros((PICTURES, len(LABELS)), np.uint8)
    beyond = repeated = strays = 0
    for column, label in enumerate(LABELS):
        numbers = _numbers(files, names[label], notes)
        known = numbers[(numbers >= 1) & (numbers <= PICTURES)]
        labels[known - 1, column] = 1
        beyond += len(numbers) - len(known)
        repeated += len(known) - len(np.unique(known))
        if f"{label}_r1" in names:
            relevant = _numbers(files, names[f"{label}_r1"], notes)
            strays += len(np.setdiff1d(relevant, numbers))
    if beyond:
        notes.append(f"{beyond} numbers in the annotations are not from 1 to {PICTURES:,} and are left out")
    if repeated:
        notes.append(f"{repeated} repeated numbers in the annotations count once")
    if strays:
        notes.append(
            f"{strays} numbers of the lists _r1 are not in the lists of the same labels without it: the "
            "annotations may be of different versions, or not whole"
        )
    return labels


def _numbers(files: Files, name: str, notes: list[str]) -> np.ndarray:
    """The picture numbers of a list, int64, as they come."""
    found = []
    for line, text in files.lines(name):
        if not text.isdigit() or len(text) > 9:
            raise files.unexpected(name, line, text, "the number of a picture")
        found.append(int(text))
    if not found:
        raise DataError(f"{files.where(name)}: empty, expected the numbers of pictures")
    numbers = np.array(found, np.int64)
    steps = np.diff(numbers)
    if len(steps) > 1 and steps[-1] < 0 and (steps[:-1] >= 0).all():
        notes.append(f"{name} ends with {found[-1]} after {found[-2]}: it may be cut off")
    return numbers


def _require_one_version(files: Files, folder: str) -> None:
    """Raises DataError where another folder has other lists: which are meant?"""
    own = _label_lists(files, folder)
    for other in files.folders:
        lists = _label_lists(files, other)
        if other != folder and len(lists) > len(LABELS) // 2:
            differing = [
                posixpath.basename(own[label])
                for label in own
                if label in lists and files.state(own[label])[0] != files.state(lists[label])[0]
            ]
            if differing:
                found = f"{differing[0]} differs from that in {files.where(other)}"
                raise DataError(
                    f"{files.where(folder)}: {found}; expected annotations of one version, keep one"
                )
