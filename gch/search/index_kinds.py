"""The kinds of index: how the nearest codes are found.

| kind | finds                | parameters                                                           |
|------|----------------------|----------------------------------------------------------------------|
| flat | the nearest, exactly |                                                                      |
| hash | most of them         | a table of the first b bits; buckets up to nflip bits away are read  |
| hnsw | most of them         | M links a code; efConstruction, efSearch candidates kept on the way  |

Hash and hnsw are FAISS's, and hold every distinct code once, see `gch.search.equal_codes`.
"""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from gch.errors import DataError, RunError, SettingError
from gch.search.equal_codes import EqualCodes, all_of
from gch.search.hamming import Found, Search, bounded, in_order

AUTO = "auto"
FLAT_ITEMS = 10_000_000
KINDS: dict[str, dict[str, int]] = {
    "flat": {},
    "hash": {"b": 12, "nflip": 4},
    "hnsw": {"M": 32, "efConstruction": 80, "efSearch": 128},
}
_RANGES = {"b": (1, 64), "nflip": (0, 8), "M": (2, 512)}
_CANDIDATES = (1, 100_000)  # range of efConstruction and efSearch
_CLASSES = {"hash": "IndexBinaryHash", "hnsw": "IndexBinaryHNSW"}


def choose(kind: str, items: int) -> str:
    """The kind for a number of items: 'auto' is flat up to `FLAT_ITEMS`, and hash above.

    Raises:
      SettingError: it is neither 'auto' nor one of `KINDS`.
    """
    if kind == AUTO:
        return "flat" if items <= FLAT_ITEMS else "hash"
    if kind not in KINDS:
        raise SettingError(f"kind is {kind!r}; expected one of {', '.join((AUTO, *KINDS))}")
    return kind


def complete(kind: str, given: Mapping[str, int], bits: int) -> dict[str, int]:
    """All parameters of a kind for codes of K bits: those that are given, and the defaults of the others.

    Raises:
      SettingError: the kind has no such parameter, or it is out of range.
    """
    found = KINDS[kind] | dict(given)
    if "b" in found and "b" not in given:
        found["b"] = min(found["b"], bits)
    for name, value in found.items():
        if name not in KINDS[kind]:
            known = ", ".join(KINDS[kind]) or "none"
            raise SettingError(f"{kind} has no parameter {name!r}; expected {known}")
        low, high = _RANGES.get(name, _CANDIDATES)
        high = min(high, {"b": bits, "nflip": found.get("b", high)}.get(name, high))
        if not low <= value <= high:
            raise SettingError(f"{name} is {value}; expected {low} to {high}")
    return found


def load_faiss() -> ModuleType:
    """FAISS; raises RunError where it is not installed."""
    try:
        import faiss
    except ImportError as error:
        raise RunError("FAISS is not installed; expected pip install -e '.[search]'") from error
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


def _set_search(index: Any, parameters: Mapping[str, int]) -> None:
    if "nflip" in parameters:
        index.nflip = parameters["nflip"]
    else:
        index.hnsw.efSearch = parameters["efSearch"]


def faiss_search(index: Any, equal: EqualCodes) -> Search:
    """Searches an index of FAISS over the distinct codes."""

    def search(queries: np.ndarray, count: int) -> Found:
        distances, codes = index.search(queries, min(count, index.ntotal))
        return in_order(all_of(equal, in_order(Found(codes, distances)), count))

    return bounded(search, len(equal.rows))
