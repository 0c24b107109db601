"""A prepared data set: pictures of one size in one file, each with its place and a checksum.

    index.json                what it is, ids, captions, split; written last, so a folder that has it is whole
    pictures.bin              the pictures one after another: JPEG, PNG or raw bytes (H, W, 3)
    places.npy                int64 (R, 3) for the R pictures of the source: offset, bytes, CRC-32;
                              bytes are 0 until the picture is written, and where it is left out
    texts.npy, labels.npy     uint8 (N, D), (N, C), of the N pictures that are there; text vectors are
                              float32, and C may be 0

Any order costs the same, so shuffling is exact and needs no buffer.
"""

import concurrent.futures
import functools
import io
import os
import re
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gch.data.layouts import INDEX_NAME
from gch.data.pairs import Origin, Pairs, Split, SplitSizes
from gch.data.text_files import is_count, list_of, opened, read_object
from gch.data.vector_files import require_finite
from gch.errors import DataError, damage
from gch.storage import digest

FORMAT, VERSION = "gch-prepared", 2
ENCODINGS = ("jpeg", "png", "raw")
SIDES = range(8, 4097)  # of pictures
PICTURES, PLACES = "pictures.bin", "places.npy"
MAX_PICTURE_BYTES = 2**28
_RUNS_PER_THREAD = 4


def open_prepared(folder: Path, name: str = "") -> Pairs:
    """Opens a prepared data set; texts are memory-mapped, pictures are read on demand.

    Args:
      folder: what `gch.data.prepare.prepare` wrote.
      name: of the data set, in file names; '' for the one in the index.

    Raises:
      DataError: a file is missing, damaged or cut short; names the file and the field.
    """
    index = read_index(folder)
    items, left_out = index["items"], len(index["left_out"])
    path = folder / PICTURES
    size = path.stat().st_size if path.is_file() else None
    if size != index["bytes"]:
        found = "not found" if size is None else f"{size} bytes"
        raise DataError(f"{path}: {found}, expected {index['bytes']} bytes; prepare repairs it")
    places = _array(folder, PLACES, (np.int64,), (items + left_out, 3))
    rows = np.flatnonzero(places[:, 1])
    places = np.array(places[rows])  # in memory: a mapped file that is cut ends the process
    if len(places) != items:
        raise DataError(f"{folder / PLACES}: {len(places)} pictures, expected {items}; prepare repairs it")
    texts = _array(folder, "texts.npy", (np.uint8, np.float32), (items, len(index["tag_names"]) or None))
    require_finite(texts, str(folder / "texts.npy"))
    labels = np.array(_array(folder, "labels.npy", (np.uint8,), (items, len(index["label_names"]) or None)))
    if labels.max(initial=0) > 1:
        raise DataError(f"{folder / 'labels.npy'}: holds {labels.max()}, expected 0 and 1")
    captions = index["captions"] and tuple(
        caption if isinstance(caption, str) else tuple(caption) for caption in index["captions"]
    )
    pictures = PreparedPictures(folder, index, places, rows)
    height, width = pictures.size
    return Pairs(
        name=name or index["name"],
        texts=texts,
        labels=labels,
        default_sizes=SplitSizes(*index["default_sizes"]),
        digest=digest(labels, texts, repr(captions), np.ascontiguousarray(places[:, 1:])),
        tag_names=tuple(index["tag_names"]),
        label_names=tuple(index["label_names"]),
        pictures=pictures,
        captions=captions,
        single_vectors=index.get("single_vectors", False),  # missing in folders of before
        ids=index["ids"] and tuple(index["ids"]),
        origin=Origin(folder=folder, sources=(INDEX_NAME, "texts.npy", "labels.npy", PLACES, PICTURES)),
        own_split=_own_split(folder, index["split"], items) if index["split"] else None,
        found=(
            f"{folder}: {items} pictures {height} x {width} as {index['encoding']}, of {index['name']}",
            *([f"left out as broken: {left_out} pictures"] if left_out else []),
        ),
    )


class PreparedPictures:
    """Implements `gch.data.pairs.Pictures` on the file of a prepared data set.

    `rows` are those of its pictures in the source, int64 (N,), ascending.
    """

    block = 1

    def __init__(self, folder: Path, index: dict[str, Any], places: np.ndarray, rows: np.ndarray):
        self.size: tuple[int, int] = (index["size"][0], index["size"][1])
        self._path = folder / PICTURES
        self._format = None if index["encoding"] == "raw" else index["encoding"].upper()
        self.rows, self._bytes, self._places = rows, index["bytes"], places
        # Users can do nothing about Pillow's warnings.
        warnings.filterwarnings("ignore", module=r"PIL\.", append=True)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Decodes pictures side by side; see `gch.data.pairs.Pictures`."""
        rows = np.asarray(rows)
        pictures = np.empty((len(rows), *self.size, 3), np.uint8)

        def fill(places: np.ndarray) -> None:
            try:
                with open(self._path, "rb", buffering=0) as file:
                    for place in places:
                        pictures[place] = self._read(file, rows[place])
            except OSError as error:
                raise DataError(f"{self._path}: unreadable, {error.strerror}") from error

        parts = min(len(rows), _RUNS_PER_THREAD * (os.cpu_count() or 1)) or 1
        list(self._pool.map(fill, np.array_split(np.arange(len(rows)), parts)))
        return pictures

    @functools.cached_property
    def _pool(self) -> concurrent.futures.ThreadPoolExecutor:
        return concurrent.futures.ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")

    def _read(self, file: io.FileIO, row: int) -> np.ndarray:
        offset, length, checksum = self._places[row].tolist()
        where, (height, width) = f"{self._path}: picture {row}", self.size
        fits = 0 < length <= MAX_PICTURE_BYTES if self._format else length == height * width * 3
        if not fits or not 0 <= offset <= self._bytes - length:
            raise DataError(f"{where}: {length} bytes at {offset}, expected a picture")
        file.seek(offset)
        data = file.read(length)
        if len(data) != length or zlib.crc32(data) != checksum:
            raise DataError(f"{where}: damaged, its checksum differs; prepare repairs it")
        if not self._format:
            return np.frombuffer(data, np.uint8).reshape(height, width, 3)
        try:
            with Image.open(io.BytesIO(data), formats=(self._format,)) as picture:
                found = picture.size  # checked before a pixel is decoded
                if found == (width, height):
                    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
        except Exception as error:  # Pillow raises nearly any exception on damaged bytes
            raise DataError(f"{where}: cannot be decoded, expected {self._format}") from error
        raise DataError(f"{where}: {found[0]} x {found[1]}, expected {width} x {height}")


def _array(folder: Path, name: str, dtypes: tuple[type, ...], shape: tuple[int | None, ...]) -> np.ndarray:
    path = folder / name
    with damage(f"{path}: cannot be read", "; prepare repairs it"), opened(path, "prepare repairs it"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    fits = array.ndim == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype not in dtypes:
        expected = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise DataError(f"{path}: {array.dtype} {array.shape}, expected {expected} {shape}")
    return array


def _own_split(folder: Path, parts: dict[str, list[int]], items: int) -> Split:
    split = Split(*(np.array(parts.get(part) or [], np.int64) for part in Split._fields))
    for part, rows in split._asdict().items():
        absent = part == "validation" and not len(rows)
        if not absent and (not len(rows) or rows[-1] >= items or (np.diff(rows) <= 0).any()):
            expected = f"row numbers from 0 to {items - 1}, ascending"
            raise DataError(f"{folder / INDEX_NAME}: split: {part}: expected {expected}")
    if np.isin(split.query, np.concatenate(split[1:])).any():
        raise DataError(f"{folder / INDEX_NAME}: split: query: rows of other parts too, expected its own")
    return split


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a prepared data set; raises DataError where it is damaged, and names the field."""
    path = folder / INDEX_NAME
    index = read_object(path, _FIELDS)
    items, (query, retrieval, *_) = index["items"], index["default_sizes"]
    for field in ("ids", "captions"):
        if index[field] is not None and len(index[field]) != items:
            raise DataError(f"{path}: {field} are {len(index[field])}, expected {items}")
    if not index["split"] and query + retrieval > items:
        raise DataError(f"{path}: default_sizes are of {query + retrieval} items, expected {items} at most")
    return index


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_split(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    *needed, validation = (value.get(part) for part in Split._fields)
    return all(map(_are_counts, needed)) and (validation is None or _are_counts(validation))


def _or_null(expected: str, fits: Callable[[Any], bool]) -> tuple[str, Callable[[Any], bool]]:
    return f"{expected}, or null", lambda value: value is None or fits(value)


_are_texts, _are_counts = list_of(_is_text), list_of(is_count)
_FIELDS = {
    "format": (f"{FORMAT}, that of a prepared data set", lambda value: value == FORMAT),
    "version": (f"{VERSION}; run prepare again, into a new folder", lambda value: value == VERSION),
    "name": (  # part of the names of files
        "letters, digits, - and _",
        lambda value: _is_text(value) and re.fullmatch(r"[\w-]*[^\W_][\w-]*", value),
    ),
    "items": ("a number from 1 on", lambda value: is_count(value) and value > 0),
    "size": (
        f"height and width, {SIDES[0]} to {SIDES[-1]}",
        lambda value: _are_counts(value) and len(value) == 2 and all(side in SIDES for side in value),
    ),
    "encoding": (" or ".join(ENCODINGS), lambda value: value in ENCODINGS),
    "bytes": ("the number of bytes of the pictures", is_count),
    "default_sizes": (
        "four numbers of items",
        lambda value: _are_counts(value) and len(value) == 4 and min(value[:2]) > 0,
    ),
    "tag_names": ("a list of words", _are_texts),
    "label_names": ("a list of names", _are_texts),
    "plan": ("a text", _is_text),
    "ids": _or_null("a list of texts", _are_texts),
    "captions": _or_null(
        "a list of texts and of lists of words", list_of(lambda one: _is_text(one) or _are_texts(one))
    ),
    "split": _or_null(f"rows of {', '.join(Split._fields)}", _is_split),
    "left_out": ("a list of lines", _are_texts),
}
