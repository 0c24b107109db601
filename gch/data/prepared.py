"""A prepared data set: pictures of one size in shards, found by offset, each with a checksum.

    index.json                         what it is; written last, so a folder that has it is whole
    images-00000-of-00049.tfrecord     pictures, one a record: JPEG, PNG or raw bytes (H, W, 3)
    records.npy                        int64 (N, 3): offset in the shard, bytes, CRC-32
    texts.npy, labels.npy              uint8 (N, D), (N, C)
    items.jsonl                        {"id": ..., "text" or "tags": ...} of each item
    split.npz                          where the source brought a split

The shards are TFRecord files, which tf.data.TFRecordDataset reads too. Here records are read by their offsets
instead: any order costs the same, so that shuffling is exact and needs no buffer.
"""

import bisect
import collections
import concurrent.futures
import functools
import io
import itertools
import json
import os
import threading
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from gch.data.pairs import OwnSplit, Pairs, SplitSizes
from gch.data.prepared_index import read_index
from gch.errors import DataError
from gch.storage import digest

MAX_RECORD_BYTES = 2**28
_RUNS_PER_THREAD = 4


def open_prepared(folder: Path, name: str = "") -> Pairs:
    """Opens a prepared data set; texts are memory-mapped, pictures read when asked for.

    Args:
      folder: what `gch.data.prepare.prepare` wrote.
      name: of the data set, in file names; '' for the one in the index.

    Raises:
      DataError: a file is missing, damaged or cut short; names the file and the field.
    """
    index = read_index(folder)
    items = index["items"]
    _check_shards(folder, index["shards"])
    # In memory: a mapped file that is written over ends the process.
    records = np.array(_array(folder, "records.npy", np.int64, (items, 3)))
    texts = _array(folder, "texts.npy", np.uint8, (items, len(index["tag_names"]) or None))
    labels = np.array(_array(folder, "labels.npy", np.uint8, (items, len(index["label_names"]) or None)))
    if not labels.size or labels.max() > 1:
        found = labels.max(initial=0) if labels.size else "no label"
        raise DataError(f"{folder / 'labels.npy'}: holds {found}, expected 0 and 1")
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
            f"{len(index['shards'])} shards, of {index['name']}",
            *([f"left out as broken: {len(index['left_out'])} pictures"] if index["left_out"] else []),
        ),
    )


def _check_shards(folder: Path, shards: list[dict]) -> None:
    for shard in shards:
        path = folder / shard["file"]
        size = path.stat().st_size if path.is_file() else None
        if size != shard["bytes"]:
            found = "not found" if size is None else f"{size} bytes"
            raise DataError(f"{path}: {found}, expected {shard['bytes']} bytes; prepare mends it")


class PreparedPictures:
    """Implements `gch.data.pairs.Pictures` on the shards of a prepared data set."""

    block = 1

    def __init__(self, folder: Path, index: dict, records: np.ndarray):
        self.size = tuple(index["size"])
        self._raw = index["encoding"] == "raw"
        self._format = index["encoding"].upper()
        self._paths = [folder / shard["file"] for shard in index["shards"]]
        self._bytes = [shard["bytes"] for shard in index["shards"]]
        self._starts = list(itertools.accumulate((shard["records"] for shard in index["shards"]), initial=0))
        self._records = records
        self._files: dict[int, int] = {}
        self._opening = threading.Lock()
        # The size of a picture is checked here; what Pillow warns of, nobody could mend.
        warnings.filterwarnings("ignore", module=r"PIL\.", append=True)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Decodes pictures side by side; see `gch.data.pairs.Pictures`."""
        rows = np.asarray(rows).tolist()
        pictures = np.empty((len(rows), *self.size, 3), np.uint8)

        def fill(places: range) -> None:
            for place in places:
                self._read_into(pictures[place], rows[place])

        step = -(-len(rows) // (_RUNS_PER_THREAD * (os.cpu_count() or 1))) or 1
        runs = [range(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]
        collections.deque(self._pool.map(fill, runs), maxlen=0)
        return pictures

    def __del__(self):
        for file in self._files.values():
            os.close(file)

    @functools.cached_property
    def _pool(self) -> concurrent.futures.ThreadPoolExecutor:
        return concurrent.futures.ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")

    def _read_into(self, picture: np.ndarray, row: int) -> None:
        offset, length, checksum = self._records[row].tolist()
        fits = length == picture.nbytes if self._raw else 0 < length <= MAX_RECORD_BYTES
        if not fits or not 0 <= offset <= self._bytes[self._shard(row)] - length:
            raise DataError(f"{self._where(row)}: {length} bytes at {offset}, expected a picture")
        data = picture.reshape(-1) if self._raw else np.empty(length, np.uint8)
        try:
            read = os.preadv(self._file(row), [data], offset)
        except OSError as error:
            raise DataError(f"{self._where(row)}: unreadable, {error.strerror}") from error
        if read != length or zlib.crc32(data) != checksum:
            raise DataError(f"{self._where(row)}: damaged, its checksum differs; prepare mends it")
        if not self._raw:
            picture[...] = self._decode(data, row)

    def _decode(self, data: np.ndarray, row: int) -> np.ndarray:
        height, width = self.size
        try:
            with Image.open(io.BytesIO(data), formats=(self._format,)) as picture:
                found = picture.size  # checked before a pixel is decoded
                if found == (width, height):
                    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
        except Exception as error:  # Pillow raises nearly anything on bytes that are not its own
            raise DataError(f"{self._where(row)}: cannot be decoded, expected {self._format}") from error
        raise DataError(f"{self._where(row)}: {found[0]} x {found[1]}, expected {width} x {height}")

    def _file(self, row: int) -> int:
        shard = self._shard(row)
        with self._opening:
            if shard not in self._files:
                self._files[shard] = os.open(self._paths[shard], os.O_RDONLY)
            return self._files[shard]

    def _shard(self, row: int) -> int:
        return bisect.bisect_right(self._starts, row) - 1

    def _where(self, row: int) -> str:
        return f"{self._paths[self._shard(row)]}: picture {row}"


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
        ascending = rows.ndim == 1 and len(rows) and rows[0] >= 0 and (np.diff(rows) > 0).all()
        if not ascending or rows[-1] >= items:
            raise DataError(f"{path}: {part}: expected row numbers from 0 to {items - 1}, ascending")
    if np.isin(split.query, np.concatenate(split[1:])).any():
        raise DataError(f"{path}: query: rows of other parts too, expected rows of its own")
    return split
