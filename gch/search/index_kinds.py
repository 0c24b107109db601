"""The kinds of index: how the nearest codes are found, by FAISS.

| kind      | finds                | parameters                                                           |
|-----------|----------------------|----------------------------------------------------------------------|
| flat      | the nearest, exactly |                                                                      |
| hash      | most of them         | a table of the first b bits; buckets up to nflip bits away are read  |
| multihash | most of them         | nhash tables of b bits each, read in the same way                    |
| hnsw      | most of them         | M links a code; efConstruction, efSearch candidates kept on the way  |

All but flat hold every distinct code once, see `gch.search.equal_codes`.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from gch.errors import DataError, RunError, SettingError
from gch.search.equal_codes import EqualCodes, all_of
from gch.search.found import Found, in_order

AUTO = "auto"
FLAT_ITEMS = 10_000_000
NEEDED = "FAISS is not installed; expected pip install -e '.[search]'"
_PLACES = 2**22  # for results of queries that are compared together: FAISS keeps K + 1 lists of each


@dataclasses.dataclass(frozen=True)
class Kind:
    """Attributes:
    defaults: of its parameters, by their names in FAISS.
    faiss_class: name of its class there; '' where codes are compared as they are.
    """

    defaults: Mapping[str, int]
    faiss_class: str = ""


KINDS = {
    "flat": Kind({}),
    "hash": Kind({"b": 12, "nflip": 4}, "IndexBinaryHash"),
    "multihash": Kind({"nhash": 4, "b": 16, "nflip": 1}, "IndexBinaryMultiHash"),
    "hnsw": Kind({"M": 32, "efConstruction": 80, "efSearch": 128}, "IndexBinaryHNSW"),
}
_RANGES = {"nhash": (1, 64), "b": (1, 64), "nflip": (0, 8), "M": (2, 512)} | {
    name: (1, 100_000) for name in ("efConstruction", "efSearch")
}


def choose(kind: str, items: int) -> str:
    """The kind that is meant.

    Args:
      kind: one of `KINDS`, or 'auto': flat up to `FLAT_ITEMS` items, hash above.
      items: number of codes.

    Raises:
      SettingError: it is none of these.
    """
    if kind == AUTO:
        return "flat" if items <= FLAT_ITEMS else "hash"
    if kind not in KINDS:
        raise SettingError(f"kind is {kind!r}; expected one of {', '.join((AUTO, *KINDS))}")
    return kind


def complete(kind: str, given: Mapping[str, int], bits: int) -> dict[str, int]:
    """All parameters of a kind.

    Args:
      kind: one of `KINDS`.
      given: those that are not to be the defaults.
      bits: length of a code K, which the tables share: where b is not given it is cut to that.

    Raises:
      SettingError: the kind has no such parameter, or it is out of range.
    """
    defaults = KINDS[kind].defaults
    for name, value in given.items():
        if name not in defaults:
            raise SettingError(f"{kind} has no parameter {name!r}; expected {', '.join(defaults) or 'none'}")
        low, high = _RANGES[name]
        if not low <= value <= high:
            raise SettingError(f"{name} is {value}; expected {low} to {high}")
    found = dict(defaults) | dict(given)
    if "b" in found:
        tables = found.get("nhash", 1)
        if "b" not in given:
            found["b"] = max(1, min(found["b"], bits // tables))
        if tables * found["b"] > bits:
            told = "b is" if tables == 1 else f"nhash x b is {tables} x"
            raise SettingError(f"{told} {found['b']}; expected {bits} at most, the bits of a code")
        if found["nflip"] > found["b"]:
            raise SettingError(f"nflip is {found['nflip']}; expected b = {found['b']} at most")
    return found


def load_faiss() -> types.ModuleType:
    """FAISS.

    Raises:
      RunError: it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise RunError(NEEDED) from error
    return faiss


def build(kind: str, parameters: Mapping[str, int], codes: np.ndarray):
    """FAISS's index over codes, with as many threads as OMP_NUM_THREADS allows.

    Args:
      kind: one that has a class in FAISS.
      parameters: all of the kind.
      codes: uint8 (U, K / 8), all different.
    """
    faiss, bits = load_faiss(), 8 * codes.shape[1]
    if kind == "hnsw":
        index = faiss.IndexBinaryHNSW(bits, parameters["M"])
        index.hnsw.efConstruction = parameters["efConstruction"]
    elif kind == "hash":
        index = faiss.IndexBinaryHash(bits, parameters["b"])
    else:
        index = faiss.IndexBinaryMultiHash(bits, parameters["nhash"], parameters["b"])
    set_search(index, kind, parameters)
    index.add(np.ascontiguousarray(codes))
    return index


def set_search(index, kind: str, parameters: Mapping[str, int]) -> None:
    """Sets what counts when an index is searched."""
    if kind == "hnsw":
        index.hnsw.efSearch = parameters["efSearch"]
    else:
        index.nflip = parameters["nflip"]


def read(path: Path, kind: str, parameters: Mapping[str, int], distinct: int, bits: int):
    """FAISS's index in a file.

    Raises:
      DataError: it is damaged or another one.
    """
    faiss = load_faiss()
    try:
        index = faiss.read_index_binary(str(path))
    except (RuntimeError, MemoryError) as error:  # the message is a trace of C++
        raise DataError(f"{path}: damaged, FAISS cannot read it; build the index again") from error
    found = type(index).__name__, index.d, index.ntotal
    if found != (KINDS[kind].faiss_class, bits, distinct):
        raise DataError(
            f"{path}: holds {found[0]} of {found[2]} codes of {found[1]} bits; expected "
            f"{KINDS[kind].faiss_class} of {distinct} of {bits}; build the index again"
        )
    set_search(index, kind, parameters)
    return index


def flat_search(codes: np.ndarray) -> Callable[[np.ndarray, int], Found]:
    """Searches codes by comparing all of them: the results are the first by (distance, row).

    Of items of equal distance FAISS's counting scan keeps those it meets first, which are the lowest rows.

    Args:
      codes: uint8 (N, K / 8), which may be memory-mapped; they are not copied.

    Returns:
      A function of queries, uint8 (Q, K / 8), and count, at most N.
    """
    faiss, bits = load_faiss(), 8 * codes.shape[1]

    def search(queries: np.ndarray, count: int) -> Found:
        step = max(1, _PLACES // ((bits + 1) * count))
        parts = [
            faiss.knn_hamming(queries[start : start + step], codes, count, variant="mc")
            for start in range(0, len(queries), step)
        ]
        distances, rows = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Found(rows, distances)

    return search


def faiss_search(index, equal: EqualCodes) -> Callable[[np.ndarray, int], Found]:
    """Searches an index of FAISS.

    Which of several items of the largest distance are found is not defined.

    Args:
      index: of the distinct codes.
      equal: rows by code.

    Returns:
      A function of queries, uint8 (Q, K / 8), and count, at most N.
    """

    def search(queries: np.ndarray, count: int) -> Found:
        distances, codes = index.search(queries, min(count, index.ntotal))
        return all_of(equal, in_order(Found(codes, distances)), count)

    return search
