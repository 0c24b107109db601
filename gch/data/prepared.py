"""A prepared data set: pictures of one size in shards, found by offset, each with a checksum.

    index.json                         what it is; written last, so a folder that has it is whole
    images-00000-of-00049.tfrecord     pictures, one a record: JPEG, or raw bytes (H, W, 3)
    records.npy                        int64 (N, 3): offset in the shard, bytes, CRC-32
    texts.npy, labels.npy              uint8 (N, D), (N, C)
    items.jsonl                        {"id": ..., "text" or "tags": ...} of each item
    split.npz                          where the source brought a split

The shards are TFRecord files, which tf.data.TFRecordDataset reads too. Here records are read by their offsets
instead: any order costs the same, so that shuffling is exact and needs no buffer.
"""

import concurrent.futures
import functools
import io
import json
import os
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from gch.data.layouts import INDEX_NAME
from gch.data.pairs import OwnSplit, Pairs, SplitSizes
from gch.errors import DataError
from gch.storage import digest

FORMAT, VERSION = "gch-prepared", 1
ENCODINGS = ("jpeg", "raw")
MAX_RECORD_BYTES = 2**28
_SMALLEST, _LARGEST = 8, 4096  # pictures' sides


def open_prepared(folder: Path, name: str = "") -> Pairs:
    """Opens a prepared data set; texts are memory-mapped, pictures read when asked for.

    Args:
      folder: what `gch.data.prepare.prepare` wrote.
      name: of the data set, in file names; '' for the one in the index.

    Raises:
      DataError: a file is missing, damaged or cut short; names the file and the field.
    """
    index = read_index(folder)
    items, shards = index["items"], index["shards"]
    for shard in shards:
        path = folder / shard["file"]
        size = path.stat().st_size if path.is_file() else None
        if size != shard["bytes"]:
            found = "not found" if size is None else f"{size} bytes"
            raise DataError(f"{path}: {found}, expected {shard['bytes']} bytes; prepare mends it")
    records = np.array(_array(folder, "records.npy", np.int64, (items, 3)))
    texts = _array(folder, "texts.npy", np.uint8, (items, None))
    labels = np.array(_array(folder, "labels.npy", np.uint8, (items, None)))
    if labels.max() > 1:
        raise DataError(f"{folder / 'labels.npy'}: holds {labels.max()}, expected 0 and 1")
    captions, ids = _described(folder, items) if index["described"] else (None, None)
    pictures = PreparedPictures(folder, index, records)
    return Pairs(
        name=name or index["name"],
        texts=texts,
        labels=labels,
        default_sizes=SplitSizes(*index["default_sizes"]),
        digest=digest(labels, texts, repr(captions), np.ascontiguousarray(records[:, 1:])),
        tag_names=tuple(index["tag_names"]),
        label_names=tuple(index["label_names"]),
        pictures=pictures,
        captions=captions,
        ids=ids,
        own_split=_own_split(folder, items) if index["split"] else None,
        found=(
            f"{folder}: {items} pictures {pictures.size[0]} x {pictures.size[1]} as {index['encoding']} in "
            f"{len(shards)} shards, of {index['name']}",
            *([f"left out as broken: {len(index['left_out'])} pictures"] if index["left_out"] else []),
        ),
    )


def read_index(folder: Path) -> dict:
    """The index of a prepared data set, every field checked.

    Raises:
      DataError: it is missing or not an index.
    """
    path = folder / INDEX_NAME
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON, {error}") from error
    if not isinstance(index, dict) or index.get("format") != FORMAT or index.get("version") != VERSION:
        raise DataError(f"{path}: expected the index of a prepared data set, format {FORMAT} {VERSION}")

    def count(value: object) -> bool:
        return type(value) is int and value >= 0

    def strings(value: object) -> bool:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)

    def numbers(value: object, length: int, least: int, most: int) -> bool:
        fits = isinstance(value, list) and len(value) == length
        return fits and all(count(one) and least <= one <= most for one in value)

    rules = {
        "name": lambda value: isinstance(value, str) and value.replace("-", "").replace("_", "").isalnum(),
        "items": lambda value: count(value) and value > 0,
        "size": lambda value: numbers(value, 2, _SMALLEST, _LARGEST),
        "encoding": lambda value: value in ENCODINGS,
        "default_sizes": lambda value: numbers(value, 4, 0, 2**62),
        "tag_names": strings,
        "label_names": strings,
        "described": lambda value: isinstance(value, bool),
        "split": lambda value: isinstance(value, bool),
        "left_out": strings,
        "files": lambda value: isinstance(value, dict) and all(map(_is_plain, value)),
        "plan": lambda value: isinstance(value, str),
        "shards": lambda value: isinstance(value, list) and bool(value) and all(map(_is_shard, value)),
    }
    for field, right in rules.items():
        if field not in index or not right(index[field]):
            raise DataError(
                f"{path}: {field} is {str(index.get(field))[:60]!r}, expected another kind of value"
            )
    if sum(shard["records"] for shard in index["shards"]) != index["items"]:
        raise DataError(f"{path}: shards do not sum up to {index['items']} items")
    return index


def _is_shard(value: object) -> bool:
    fields = {"file": str, "records": int, "bytes": int, "sha256": str}
    if not isinstance(value, dict) or any(type(value.get(name)) is not kind for name, kind in fields.items()):
        return False
    return _is_plain(value["file"]) and min(value["records"], value["bytes"]) >= 0


def _is_plain(name: str) -> bool:
    """Whether a name leads nowhere else than into the folder."""
    return name == Path(name).name and name not in ("", "..")


class PreparedPictures:
    """Implements `gch.data.pairs.Pictures` on the shards of a prepared data set."""

    block = 1

    def __init__(self, folder: Path, index: dict, records: np.ndarray):
        self.size = tuple(index["size"])
        self._raw = index["encoding"] == "raw"
        self._paths = [folder / shard["file"] for shard in index["shards"]]
        self._starts = np.cumsum([0, *(shard["records"] for shard in index["shards"])])
        self._records = records
        self._files: dict[int, int] = {}
        self._opening = threading.Lock()

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Decodes pictures side by side; see `gch.data.pairs.Pictures`."""
        pictures = np.empty((len(rows), *self.size, 3), np.uint8)

        def decode(place: int) -> None:
            pictures[place] = self._decode(int(rows[place]))

        list(self._pool.map(decode, range(len(rows))))
        return pictures

    def __del__(self):
        for file in self._files.values():
            os.close(file)

    @functools.cached_property
    def _pool(self) -> concurrent.futures.ThreadPoolExecutor:
        return concurrent.futures.ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")

    def _decode(self, row: int) -> np.ndarray:
        data = self._record(row)
        height, width = self.size
        if self._raw:
            return np.frombuffer(data, np.uint8).reshape(height, width, 3)
        try:
            with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
                if picture.size != (width, height):
                    raise DataError(f"{self._where(row)}: {picture.size}, expected {width} x {height}")
                return np.asarray(picture.convert("RGB"))
        except DataError:
            raise
        except Exception as error:  # Pillow raises nearly anything on bytes that are not its own
            raise DataError(f"{self._where(row)}: cannot be decoded, expected JPEG") from error

    def _record(self, row: int) -> bytes:
        """The bytes of a picture, as they were written."""
        offset, length, checksum = map(int, self._records[row])
        shard = int(np.searchsorted(self._starts, row, side="right")) - 1
        expected = 3 * self.size[0] * self.size[1] if self._raw else length
        if not (offset >= 0 and 0 < length <= MAX_RECORD_BYTES and length == expected):
            raise DataError(f"{self._where(row)}: {length} bytes at {offset}, expected a picture")
        try:
            with self._opening:
                if shard not in self._files:
                    self._files[shard] = os.open(self._paths[shard], os.O_RDONLY)
            data = os.pread(self._files[shard], length, offset)
        except OSError as error:
            raise DataError(f"{self._where(row)}: unreadable, {error.strerror}") from error
        if len(data) != length or zlib.crc32(data) != checksum:
            raise DataError(f"{self._where(row)}: damaged, its checksum differs; prepare mends it")
        return data

    def _where(self, row: int) -> str:
        shard = int(np.searchsorted(self._starts, row, side="right")) - 1
        return f"{self._paths[shard]}: picture {row}"


def _array(folder: Path, name: str, dtype: type, shape: tuple[int | None, ...]) -> np.ndarray:
    path = folder / name
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy raises nearly anything on a header that is not its own
        raise DataError(f"{path}: cannot be read, {str(error)[:200]}; prepare mends it") from error
    fits = array.ndim == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype != dtype:
        raise DataError(f"{path}: {array.dtype} {array.shape}, expected {np.dtype(dtype)} {shape}")
    return array


def _described(folder: Path, items: int) -> tuple[Sequence[str | tuple[str, ...]] | None, Sequence[str]]:
    """Captions, or None where the items have bags of words, and names of the items."""
    path = folder / "items.jsonl"
    captions, ids = [], []
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                item = json.loads(line)
                ids.append(str(item["id"]))
                if "tags" in item:
                    captions.append(tuple(map(str, item["tags"])))
                elif "text" in item:
                    captions.append(str(item["text"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: line {len(ids) + 1} cannot be read, {error}; prepare mends it") from error
    if len(ids) != items or len(captions) not in (0, items):
        raise DataError(f"{path}: {len(ids)} items and {len(captions)} texts, expected {items}")
    return (tuple(captions) if captions else None), tuple(ids)


def _own_split(folder: Path, items: int) -> OwnSplit:
    path = folder / "split.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            split = OwnSplit(*(file[part].astype(np.int64) for part in OwnSplit._fields))
    except Exception as error:
        raise DataError(f"{path}: cannot be read, {str(error)[:200]}; prepare mends it") from error
    for part, rows in split._asdict().items():
        if rows.ndim != 1 or not len(rows) or rows.min() < 0 or rows.max() >= items:
            raise DataError(f"{path}: {part}: expected row numbers from 0 to {items - 1}")
    return split
