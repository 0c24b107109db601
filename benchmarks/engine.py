"""Codes in an engine against FAISS's flat index, in one run: how fast they are loaded and searched.

The codes lie near 2,000 others, as learned ones lie near their classes; queries are drawn alike. Both search
exactly, one query after the other, and the answers are compared: distances must be equal. Without --uri the
engine is chDB, in a folder that is removed again; with it, the server's database must be new.

    python benchmarks/engine.py
    python benchmarks/engine.py --uri clickhouse://127.0.0.1:8123/benchmark --items 10000000
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np

from gch.search.codes_folder import Codes
from gch.search.engine.index import open_engine
from gch.search.engine.loading import load_into_engine

BITS = 64
CENTRES = 2000
FLIPPED = 0.05
CHUNK = 1_000_000


class Numbered(Sequence):
    """Items whose ids are their rows."""

    def __init__(self, count: int):
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> dict[str, str]:
        return {"id": f"{row:012d}.jpg"}


def clustered(count: int, centres: np.ndarray, seed: int) -> np.ndarray:
    """Packed codes, uint8 (count, BITS / 8), each bit of a centre flipped with a probability."""
    random = np.random.default_rng(seed)
    parts = []
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        flips = random.random((size, BITS), np.float32) < FLIPPED
        parts.append(np.packbits(centres[random.integers(0, len(centres), size)] ^ flips, axis=1))
    return np.concatenate(parts)


def searched(search, queries: np.ndarray) -> tuple[float, np.ndarray]:
    """Queries a second, one at a time after one to warm up, and the distances found."""
    search(queries[:1])
    start = time.perf_counter()
    found = [search(query[None]) for query in queries]
    return len(queries) / (time.perf_counter() - start), np.concatenate(found)


def measure(uri: str, arguments: argparse.Namespace) -> None:
    """Loads, searches, compares and prints."""
    centres = np.random.default_rng(0).random((CENTRES, BITS)) < 0.5
    codes = clustered(arguments.items, centres, 1)
    queries = clustered(arguments.queries, centres, 2)
    source = Codes(Path("benchmark"), BITS, "image", "benchmark", "/", codes, Numbered(len(codes)))
    start = time.perf_counter()
    load_into_engine([source], uri)
    loaded = time.perf_counter() - start
    with contextlib.closing(open_engine(uri)) as index:
        part = index.parts["image"]
        rate, distances = searched(lambda query: part.search(query, arguments.count).distances, queries)
    start = time.perf_counter()
    flat = faiss.IndexBinaryFlat(BITS)
    flat.add(codes)
    added = time.perf_counter() - start
    flat_rate, expected = searched(lambda query: flat.search(query, arguments.count)[0], queries)
    if not np.array_equal(distances, expected):
        sys.exit("the engine and FAISS find other distances")
    print(f"{len(codes):,} codes of {BITS} bits, {len(queries)} queries, {arguments.count} nearest")
    print(f"engine      loaded in {loaded:.1f} s ({len(codes) / loaded:,.0f}/s), {rate:.1f} queries/s")
    print(f"faiss flat  added in {added:.3f} s, {flat_rate:.1f} queries/s: {flat_rate / rate:.1f} times")
    print("distances equal")


def main() -> None:
    """Reads the flags, and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--uri", default="", help="of an engine; by default chDB in a temporary folder")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--count", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments.uri or f"chdb://{folder}/codes", arguments)


if __name__ == "__main__":
    main()
