"""The kinds of index: how the nearest codes are found.

| kind | finds                | parameters                                                           |
|------|----------------------|----------------------------------------------------------------------|
| flat | the nearest, exactly |                                                                      |
| hash | most of them         | a table of the first b bits; buckets up to nflip bits away are read  |
| hnsw | most of them         | M links a code; efConstruction, efSearch candidates kept on the way  |

Where hash or hnsw finds fewer items than asked for, all codes are compared: none finds fewer than flat.

Hash and hnsw are FAISS's, over the distinct codes. Half of the learned codes and more are often equal: a
graph of nearest neighbours over all of them falls apart, since a code may be linked only to its equals.
"""

import zlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from gch.errors import DataError, RunError, SettingError
from gch.evaluation.codes import as_words
from gch.search.hamming import Found, Search, bounded
from gch.search.note_file import require_bytes

AUTO = "auto"
FLAT_ITEMS = 10_000_000
KINDS: dict[str, dict[str, int]] = {
    "flat": {},
    "hash": {"b": 12, "nflip": 4},
    "hnsw": {"M": 32, "efConstruction": 80, "efSearch": 128},
}
_CANDIDATES = (1, 100_000)
_RANGES = {"b": (1, 64), "nflip": (0, 8), "M": (2, 512)}
_RANGES |= {"efConstruction": _CANDIDATES, "efSearch": _CANDIDATES}
_CLASSES = {"hash": "IndexBinaryHash", "hnsw": "IndexBinaryHNSW"}


def choose(kind: str, items: int) -> str:
    """The kind for a number of items: 'auto' is flat up to `FLAT_ITEMS`, and hash above."""
    if kind == AUTO:
        return "flat" if items <= FLAT_ITEMS else "hash"
    if kind not in KINDS:
        raise SettingError(f"kind is {kind!r}; expected one of {', '.join((AUTO, *KINDS))}")
    return kind


def complete(kind: str, given: Mapping[str, int], bits: int) -> dict[str, int]:
    """All parameters of a kind for codes of K bits: the given ones, and the defaults of the others."""
    found = KINDS[kind] | dict(given)
    if "b" in found and "b" not in given:
        found["b"] = min(found["b"], bits)
    for name, value in found.items():
        if name not in KINDS[kind]:
            known = ", ".join(KINDS[kind]) or "none"
            raise SettingError(f"{kind} has no parameter {name!r}; expected {known}")
        low, high = _RANGES[name]
        high = min(high, {"b": bits, "nflip": found.get("b", high)}.get(name, high))
        if not low <= value <= high:
            raise SettingError(f"{name} is {value}; expected {low} to {high}")
    return found


def load_faiss() -> ModuleType:
    """FAISS; raises RunError where it is not installed."""
    try:
        import faiss
    except ImportError as error:
        raise RunError('FAISS is not installed; expected pip install "gch[search]"') from error
    return faiss


def build(kind: str, parameters: Mapping[str, int], codes: np.ndarray) -> Any:
    """FAISS's index, 'hash' or 'hnsw', over different codes, uint8 (U, K / 8)."""
    faiss, bits = load_faiss(), 8 * codes.shape[1]
    if kind == "hnsw":
        index = faiss.IndexBinaryHNSW(bits, parameters["M"])
        index.hnsw.efConstruction = parameters["efConstruction"]
    else:
        index = faiss.IndexBinaryHash(bits, parameters["b"])
    _set_search(index, parameters)
    index.add(np.ascontiguousarray(codes))
    return index


def read(path: Path, kind: str, parameters: Mapping[str, int], distinct: int, bits: int) -> Any:
    """FAISS's index in a file; raises DataError where it is damaged or another one."""
    faiss = load_faiss()
    try:
        index = faiss.read_index_binary(str(path))
    except (RuntimeError, MemoryError) as error:  # the message is a trace of C++
        raise DataError(f"{path}: damaged, FAISS cannot read it; build the index again") from error
    found = type(index).__name__, index.ntotal, index.d
    expected = _CLASSES[kind], distinct, bits
    if found != expected:
        raise DataError(f"{path}: is {found}, expected {expected}; build the index again")
    _set_search(index, parameters)
    return index


def file_checksum(path: Path) -> int:
    """CRC-32 of a file."""
    checksum = 0
    with open(path, "rb") as file:
        while block := file.read(2**24):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _set_search(index: Any, parameters: Mapping[str, int]) -> None:
    if "nflip" in parameters:
        index.nflip = parameters["nflip"]
    else:
        index.hnsw.efSearch = parameters["efSearch"]


class EqualCodes(NamedTuple):
    """Rows by their code."""

    rows: np.ndarray  # int64 (N,), those that have the first distinct code, ascending, then of the second ...
    starts: np.ndarray  # int64 (U + 1,), where those of each distinct code begin in `rows`; the last is N

    @property
    def distinct(self) -> np.ndarray:
        """int64 (U,), the first row of each distinct code."""
        return self.rows[self.starts[:-1]]


def group_equal(codes: np.ndarray) -> EqualCodes:
    """Rows by their code; codes are uint8 (N, K / 8)."""
    words = as_words(codes)
    rows = np.lexsort(words.T[::-1])  # stable: equal codes stay in the order of rows
    ordered = words[rows]
    first = np.ones(len(rows), bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return EqualCodes(rows, np.append(np.flatnonzero(first), len(rows)))


def write_equal(path: Path, equal: EqualCodes) -> None:
    """Writes int64, `rows` and then `starts`."""
    with open(path, "wb") as file:
        for part in equal:
            part.tofile(file)


def read_equal(path: Path, items: int, distinct: int) -> EqualCodes:
    """Opens what `write_equal` wrote, memory-mapped; raises DataError where it is missing or damaged."""
    require_bytes(path, 8 * (items + distinct + 1), "build the index again")
    values = np.memmap(path, np.int64, "r")
    equal = EqualCodes(values[:items], values[items:])
    within = items and equal.rows.min() >= 0 and equal.rows.max() < items
    if not within or equal.starts[0] != 0 or equal.starts[-1] != items or (np.diff(equal.starts) <= 0).any():
        raise DataError(f"{path}: damaged; build the index again")
    return equal


def all_of(equal: EqualCodes, found: Found, count: int) -> Found:
    """All rows of the distinct codes (Q, D) that were found, up to `count` for a query."""
    codes = np.maximum(found.rows, 0)
    sizes = np.where(found.rows < 0, 0, equal.starts[codes + 1] - equal.starts[codes])
    before = sizes.cumsum(axis=1) - sizes
    taken = np.clip(count - before, 0, sizes)  # (Q, D), rows of each code
    cells = np.repeat(np.arange(taken.size), taken.ravel())
    query, place = cells // taken.shape[1], np.arange(len(cells)) - (taken.cumsum() - taken.ravel())[cells]
    rows = np.full((len(codes), count), -1, np.int64)
    distances = np.full((len(codes), count), -1, np.int32)
    column = before.ravel()[cells] + place
    rows[query, column] = equal.rows[equal.starts[codes.ravel()[cells]] + place]
    distances[query, column] = found.distances.ravel()[cells]
    return Found(rows, distances)


def faiss_search(index: Any, equal: EqualCodes, exact: Search) -> Search:
    """Searches an index of FAISS over the distinct codes; `exact` answers queries that find too few there."""

    def in_order(found: Found) -> Found:  # by distance, then row; -1 comes last
        distances = np.where(found.rows < 0, np.iinfo(np.int32).max, found.distances)
        order = np.lexsort((found.rows, distances), axis=-1)
        return Found(*(np.take_along_axis(values, order, axis=-1) for values in found))

    def search(queries: np.ndarray, count: int) -> Found:
        distances, codes = index.search(queries, min(count, index.ntotal))
        found = in_order(all_of(equal, in_order(Found(codes, distances)), count))
        short = np.flatnonzero(found.rows[:, -1] < 0)
        for values, complete_values in zip(found, exact(queries[short], count), strict=True):
            values[short] = complete_values
        return found

    return bounded(search, len(equal.rows))
