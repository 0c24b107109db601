"""Pairs whose images, texts and labels are in files of arrays.

Split files hold a database, a query and a training part. Usually the training part repeats items of the
database: they are matched by their content, so that every item exists once. Training items that the
database lacks are kept outside of it.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gch.data.array_files import StoredArray
from gch.data.layouts import Layout
from gch.data.names import file_name
from gch.data.pairs import Origin, Pairs, Pictures, Split, SplitSizes, TextParts
from gch.data.pictures import PictureFiles, tail_in_folder
from gch.data.pixels import PixelLayout, open_pixels, pixel_layout
from gch.data.split import default_sizes
from gch.data.text_files import shown, text_lines
from gch.data.vector_files import is_vectors, open_several, open_vectors
from gch.data.vocabulary import tokens
from gch.errors import DataError
from gch.storage import digest

_DIGESTED_IMAGES = 64
_VALIDATION_SHARE = 20  # one in 20 training items validates, because split files have no validation part
_MAX_CAPTION_BYTES = 2**31
_SHOWN = 5  # arrays that are not read


def open_arrays(
    layout: Layout, dataset: str, axes: str, size: int, fit: str, cache: Path, num_label: int
) -> Pairs:
    """Opens files of arrays; of pixels it reads no more than tells items apart.

    Those of split files come in the order database, query, further training items, with `own_split`. See the
    settings dataset_dir, image_axes, image_size, fit and num_label. What must be copied goes into the folder
    `cache`.

    Raises:
      DataError: lengths differ, pictures are not there, or an array is damaged or not what it should be.
    """
    name = file_name(dataset)
    folder = layout.path if layout.path.is_dir() else layout.path.parent
    captions = _captions(layout)
    counted = None if captions is None else len(captions)
    parts = [_measured(layout.kind, arrays, counted, axes, num_label) for arrays in layout.parts]
    for part in parts[1:]:
        for role, array in part.arrays.items():
            held, expected = part.holds(role), parts[0].holds(role)
            fault = f"holds {held}, expected {expected} as in {parts[0].arrays[role].name}"
            array.require(held == expected, fault)
    total = sum(part.items for part in parts)
    found = [line for part in parts for line in part.found()]
    labels = _matrix(parts, "labels") if "labels" in parts[0].arrays else np.zeros((total, 0), np.uint8)
    missing = [] if labels.shape[1] else ["no array of labels"]
    if layout.unread:
        missing.append(f"not read: {', '.join(map(shown, layout.unread[:_SHOWN]))}")
    found += ["; ".join(missing)] if missing else []
    tag_names: tuple[str, ...] = ()
    if captions is not None:
        source = layout.captions or layout.parts[0]["texts"].path
        if layout.captions and not any(map(str.strip, captions[total:])):
            del captions[total:]  # blank lines at the end
        texts = np.zeros((total, 0), np.uint8)
        found.append(f"{source.name}: {len(captions)} captions, free text")
        if len(captions) != total:
            raise DataError(
                f"{source}: {len(captions)} captions, expected {total}, as many as there are images"
            )
    elif parts[0].text_vectors:
        texts = _vectors(parts, "texts", cache)
    else:
        texts = _matrix(parts, "texts")
        tag_names = _names(layout.names.get("tag_names"), texts.shape[1], _as_in_queries)
    label_names = _names(layout.names.get("label_names"), labels.shape[1], str.strip)
    images = _images(parts, folder, size, fit, cache)
    if isinstance(images, np.ndarray) and _repeats(images[:_DIGESTED_IMAGES]):
        found.append(
            "most images repeat the one before; expected one row an image, its texts as (items, m, ...)"
        )
    sizes, own_split = default_sizes(dataset, total), None
    if layout.kind == "split files":
        retrieval, query, training = (part.items for part in parts)
        kept, own_split, trained = _without_repeats(texts, labels, images, [retrieval, query, training])
        again = total - len(kept)
        found.append(f"{again} of {training} training items repeat items of the database")
        if layout.parts[0]["images"] is layout.parts[2]["images"]:
            found[-1] = "no database part: the training items are the retrieval set"
        if trained:
            found.append(f"{trained} of {query} queries repeat training items; measures count them as unseen")
        if again:
            texts, labels, images = _kept(texts, kept), labels[kept], _kept(images, kept)
        validation = training // _VALIDATION_SHARE
        sizes = SplitSizes(query, retrieval, training - validation, validation)
    pictures = None if isinstance(images, np.ndarray) else images
    if isinstance(images, PictureFiles):
        split = own_split.parts().values() if own_split else ()
        words = () if own_split else (repr(captions),)
        named = digest(name, labels, texts, *words, images.digest, *split)
    else:
        rows = np.unique(np.linspace(0, len(labels) - 1, _DIGESTED_IMAGES).round().astype(np.int64))
        some = _read(images, rows)
        shape = (len(labels), *(pictures.size if pictures else some.shape[1:]))
        words = () if captions is None else (repr(captions),)
        named = digest(name, labels, texts, repr(shape), some, *words)
    files = [array.path for part in layout.parts for array in part.values()]
    files += [] if layout.captions is None else [layout.captions]
    return Pairs(
        name=name,
        texts=texts,
        labels=labels,
        default_sizes=sizes,
        digest=named,
        tag_names=tag_names,
        label_names=label_names,
        pictures=pictures,
        features=images if isinstance(images, np.ndarray) else None,
        captions=captions,
        parts=_several(parts[0], cache) if len(parts) == 1 else None,
        single_vectors=all(part.text_vectors and len(part.arrays["texts"].shape) == 2 for part in parts),
        ids=images.paths if isinstance(images, PictureFiles) else None,
        own_split=own_split,
        found=tuple(found),
        origin=Origin(folder=folder, sources=tuple(sorted({file.name for file in files}))),
    )


@dataclasses.dataclass(frozen=True)
class _Part:
    """One part's arrays by role, and how its images are stored: as paths, pixels, or else features."""

    arrays: Mapping[str, StoredArray]
    items: int
    paths: Sequence[str] | None
    pixels: PixelLayout | None
    text_vectors: bool  # whether texts are vectors, not words

    def holds(self, role: str) -> str:
        """What an array holds, in words; all parts of a data set hold the same."""
        if role == "images" and self.pixels:
            return f"pictures of {self.pixels.height} x {self.pixels.width}"
        if role == "images" and self.paths is not None:
            return "paths"
        columns = self.arrays[role].columns(self.items)
        if role == "images" or (role == "texts" and self.text_vectors):
            return f"vectors of {columns} dimensions"
        return f"{columns} {'words' if role == 'texts' else 'labels'}"

    def found(self) -> list[str]:
        """What was found, a line for each array of numbers or paths."""
        what = f"pixels, axes {self.pixels.axes}" if self.pixels else "features"
        if self.paths is not None:
            what = f"{len(self.paths)} paths, such as {self.paths[0]}" if self.paths else "no path"
        texts = "vectors" if self.text_vectors else "words"
        shown = {"images": what, "texts": texts, "labels": "labels"}
        lines = []
        for role, array in self.arrays.items():
            several = f", the mean of {array.shape[1]} an item" if len(array.shape) == 3 else ""
            lines += [f"{array}: {shown[role]}{several}"] if role == "images" or array.dtype else []
        return lines


class _JoinedPictures:
    """Implements `gch.data.pairs.Pictures` on `rows` of parts that lie one after the other."""

    def __init__(self, parts: Sequence[Pictures], lengths: Sequence[int]):
        self.size = parts[0].size
        self.block = min(part.block for part in parts)
        self.parts, self.starts = parts, np.cumsum([0, *lengths])
        self.rows = np.arange(self.starts[-1])

    def read(self, rows: np.ndarray) -> np.ndarray:
        joined = self.rows[np.asarray(rows, np.int64)]
        part_of = np.searchsorted(self.starts, joined, side="right") - 1
        pictures = np.empty((len(joined), *self.size, 3), np.uint8)
        for number in np.unique(part_of):
            places = np.flatnonzero(part_of == number)
            pictures[places] = self.parts[number].read(joined[places] - self.starts[number])
        return pictures


def _images(parts: Sequence[_Part], folder: Path, size: int, fit: str, cache: Path) -> Pictures | np.ndarray:
    """The images of all parts, one after the other: pictures, or features float32 (N, F)."""
    pixels = [open_pixels(part.arrays["images"], part.pixels) for part in parts if part.pixels]
    if pixels:
        return pixels[0] if len(parts) == 1 else _JoinedPictures(pixels, [part.items for part in parts])
    if parts[0].paths is None:
        return _vectors(parts, "images", cache)
    paths = tail_in_folder(folder, [path for part in parts for path in part.paths or ()])
    return PictureFiles(folder, paths, size, fit)


def _read(images: Pictures | np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Pixels or features of these rows."""
    return np.asarray(images[rows]) if isinstance(images, np.ndarray) else images.read(rows)


def _repeats(rows: np.ndarray) -> bool:
    """Whether most rows repeat the one before: one for each of five captions, say."""
    return int((rows[1:] == rows[:-1]).all(axis=1).sum()) > len(rows) // 2


def _keys(images: Pictures | np.ndarray, rows: np.ndarray) -> dict[int, bytes]:
    """Keys that identify the images of `rows`: the path, or a digest of pixels or features."""
    if isinstance(images, PictureFiles):
        return {int(row): images.paths[row].encode() for row in rows}
    found: dict[int, bytes] = {}
    for start in range(0, len(rows), 64):
        some = rows[start : start + 64]
        found |= {int(row): _short_digest(one) for row, one in zip(some, _read(images, some), strict=True)}
    return found


def _kept(images: Any, kept: np.ndarray) -> Any:
    """The rows of a matrix, or the pictures, that are kept; first rows are a slice, which stays on disk."""
    if isinstance(images, np.ndarray):
        return images[: len(kept)] if kept[-1] == len(kept) - 1 else images[kept]
    if isinstance(images, PictureFiles):
        return PictureFiles(images.folder, [images.paths[row] for row in kept], images.size[0], images.fit)
    images.rows = kept
    return images


def _captions(layout: Layout) -> list[str] | None:
    """The captions of items; None where the texts are a matrix."""
    if layout.captions is not None:
        lines = text_lines(layout.captions, "expected one caption a line", _MAX_CAPTION_BYTES)
        return [line.rstrip("\r\n") for _, line in lines]
    texts = layout.parts[0]["texts"]
    named = layout.kind == "index files" or texts.name.endswith("captions")
    return texts.strings() if named and texts.dtype is None else None


def _names(array: StoredArray | None, columns: int, written: Callable[[str], str]) -> tuple[str, ...]:
    """What the columns of a matrix are called, as far as an array says so."""
    if array is None:
        return ()
    names = tuple(map(written, array.strings()))
    array.require(len(names) == columns, f"holds {len(names)} names, expected {columns}, one for each column")
    for name, count in Counter(names).most_common(1):
        array.require(count == 1, f"holds {shown(name)} {count} times, expected different names")
    array.require("" not in names, "holds a blank name, expected a name for each column")
    return names


def _as_in_queries(word: str) -> str:
    return " ".join(tokens((word,), 1, frozenset()))


def _measured(
    kind: str, arrays: Mapping[str, StoredArray], captions: int | None, axes: str, num_label: int
) -> _Part:
    """A part with its number of items: a length that is an axis of every matrix, that of the `captions` if
    there are any, else the largest.
    """
    images, of_words = arrays["images"], captions is None
    roles = ("texts", "labels") if of_words else ("labels",)
    matrices = [arrays[role] for role in roles if role in arrays]
    paths = pixels = known = None
    if kind == "index files" or images.dtype is None:
        paths = images.strings()
        known = len(paths)
    elif not _holds_vectors(images):
        pixels = pixel_layout(images, axes)
        known = pixels.items
    stored = [images, *matrices] if known is None else matrices
    for array in stored:
        of_labels = array is arrays.get("labels")
        columns = "(items, labels), 0 or 1 each" if of_labels else "(items, columns)"
        free = "numbers; free texts belong in an array named captions"
        array.require_numbers(f"expected {columns if of_labels else free}")
        array.require(_holds_vectors(array), f"has shape {array.shape}, expected {columns}")
    lengths = [{array.shape[0], array.shape[-1]} for array in stored] + ([] if known is None else [{known}])
    if not (shared := set.intersection(*lengths)):
        found = "; ".join([*map(str, stored), *([] if known is None else [f"{known} images"])])
        expected = "expected (items, columns) each"
        raise DataError(f"{stored[0].path}: {found}: no number of items in common, {expected}")
    items = max(shared)
    starts = {array.shape[0] for array in stored}
    if starts <= shared and len(starts) == 1 and not any(array.kind or array.reversed for array in stored):
        items = starts.pop()  # Python's order; in MATLAB's files either is usual
    if captions in shared:
        items = captions
    text_vectors = of_words and is_vectors(arrays["texts"])
    if of_words and not text_vectors and "labels" in arrays:
        texts, labels = matrices
        words, classes = texts.columns(items), labels.columns(items)
        expected = f"expected more words than labels: are the two swapped? If not, set num_label = {classes}"
        fits = classes <= words or classes == num_label
        labels.require(fits, f"has {classes} columns, {texts.name} {words}; {expected}")
    return _Part(arrays, items, paths, pixels, text_vectors)


def _holds_vectors(array: StoredArray) -> bool:
    """Whether an array has a vector, or several, for each item: (items, columns) or (items, m, columns)."""
    several = len(array.shape) == 3 and array.dtype is not None and array.dtype.kind == "f"
    return (len(array.shape) == 2 or several) and 0 not in array.shape


def _vectors(parts: Sequence[_Part], role: str, cache: Path) -> np.ndarray:
    """Features of images or texts of all parts, float32 (N, columns)."""
    return open_vectors([(part.arrays[role], part.items) for part in parts], role.removesuffix("s"), cache)


def _several(part: _Part, cache: Path) -> TextParts | None:
    """The vectors of each text, where it has several."""
    if not part.text_vectors or len((array := part.arrays["texts"]).shape) != 3:
        return None
    vectors = open_several(array, part.items, cache)
    there = vectors.any(axis=-1)
    starts = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    columns = np.flatnonzero(there).astype(np.int32)
    return TextParts(vectors.reshape(-1, vectors.shape[-1]), (), starts, columns)


def _matrix(parts: Sequence[_Part], role: str) -> np.ndarray:
    """Words or labels of all parts, uint8 (N, columns)."""
    matrices = [_read_matrix(part.arrays[role], part.items, 255 if role == "texts" else 1) for part in parts]
    return matrices[0] if len(parts) == 1 else np.concatenate(matrices)


def _read_matrix(array: StoredArray, items: int, largest: int) -> np.ndarray:
    """Whole numbers up to `largest`, stored in any type as (items, columns) or (columns, items)."""
    array.require(len(array.shape) == 2, f"has shape {array.shape}, expected (items, columns)")
    columns = array.columns(items)
    array.require_room(items * columns)
    matrix = np.empty((items, columns), np.uint8)
    for place, part in array.of_items(items):
        right = (part >= 0) & (part <= largest) & (part == np.floor(part))
        if not right.all():
            row, column = np.argwhere(~right)[0]
            found = f"{part[row, column]} (item {place[0].start + row}, column {place[1].start + column})"
            expected = "expected 0 or 1" + (f", or a count up to {largest}" if largest > 1 else "")
            raise DataError(f"{array.where} holds {found}, {expected}")
        matrix[place] = part
    array.require(bool(matrix.any()), "holds zeros only, expected ones where an item has it")
    return matrix


def _without_repeats(
    texts: np.ndarray, labels: np.ndarray, images: Pictures | np.ndarray, lengths: Sequence[int]
) -> tuple[np.ndarray, Split, int]:
    """The rows that do not repeat others, the split in numbers of those rows, and how many queries repeat
    training items.

    A training item repeats the item of the database that has the same words, labels and picture; of several,
    each is repeated once.
    """
    retrieval, query, training = np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])
    described = [_short_digest(*both) for both in zip(texts, labels, strict=True)]
    wanted = {described[row] for row in training.tolist()}
    alike = [row for row, found in enumerate(described) if found in wanted]
    content = {row: (described[row], seen) for row, seen in _keys(images, np.array(alike, np.int64)).items()}
    of_database: dict[tuple[bytes, bytes], list[int]] = {}
    for row in reversed(retrieval.tolist()):
        if row in content:
            of_database.setdefault(content[row], []).append(row)
    repeated = np.full(len(training), -1, np.int64)
    for place, row in enumerate(training.tolist()):
        if same := of_database.get(content[row]):
            repeated[place] = same.pop()
    trained_on = {content[row] for row in training.tolist()}
    kept = np.concatenate([retrieval, query, training[repeated < 0]])
    trained = np.where(repeated >= 0, repeated, training[0] - 1 + np.cumsum(repeated < 0))
    split = Split(query, retrieval, np.unique(trained))
    return kept, split, sum(content.get(row) in trained_on for row in query.tolist())


def _short_digest(*arrays: np.ndarray) -> bytes:
    return hashlib.blake2b(b"".join(array.tobytes() for array in arrays), digest_size=16).digest()
