"""Recall, speed, memory and time to build of indexes over binary codes, in one run.

The codes are random, of a distribution like that of learned ones: topics, concepts near them, and items near
their concepts, each bit of which is another with a probability that differs from item to item, so that many
codes are equal. Queries of the other modality are near the same concepts, moved by `GAP`. The constants are
fitted to what GCH learned on MIRFlickr-25K; --fit FILE.mat shows codes of a run (Qi, Qt, Di) beside them.
Uniform codes, where nothing is near anything, are the worst case of everything but scanning.

An item is found rightly when it is not farther than the exact last one of as many results: Hamming distances
tie, and which of the tied ones is given is a matter of taste. Recall is the share of these among the results.

Each way runs in a process of its own. Memory is what the process holds more when the index is there than
before, beside the codes themselves; numpy and flat scan the codes as they are, the others hold each distinct
code once, but for the last way, which shows what that is worth. Queries are put in batches of
`BATCH`, as for stdin or a busy server, and one after the other in the column `ms alone`.

    python benchmarks/search.py                                   # 1 million codes
    python benchmarks/search.py --items 10000000 --limit 1200
    python benchmarks/search.py --fit runs/NAME/flickr25k_64.mat  # also recall on the codes of a run
"""

import argparse
import ctypes
import gc
import multiprocessing
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from gch.search.hamming import exact_search
from gch.search.index_kinds import EqualCodes, build, complete, faiss_search, group_equal, load_faiss

BITS = 64
TOPICS, CONCEPTS = 4, 100
TOPIC_FLIPS, CONCEPT_FLIPS, GAP = 0.4, 0.06, 0.12
ITEM_FLIPS = (0.7, 12)  # of the beta distribution
CHUNK = 1_000_000
BATCH = 64
COUNTS = (10, 100)
SECONDS = 8.0  # for each measurement of speed, at most
WAYS = {
    "numpy": ("numpy", {}),
    "flat": ("flat", {}),
    "hash b=12, nflip=3": ("hash", {"b": 12, "nflip": 3}),
    "hash b=12, nflip=4": ("hash", {"b": 12, "nflip": 4}),
    "hash b=20, nflip=4": ("hash", {"b": 20, "nflip": 4}),
    "hnsw M=16, 40, 64": ("hnsw", {"M": 16, "efConstruction": 40, "efSearch": 64}),
    "hnsw M=32, 80, 128": ("hnsw", {"M": 32, "efConstruction": 80, "efSearch": 128}),
    "hnsw M=32, 80, 512": ("hnsw", {"M": 32, "efConstruction": 80, "efSearch": 512}),
    "the same over items, 128": ("hnsw of items", {"M": 32, "efConstruction": 80, "efSearch": 128}),
}


class Codes:
    """Draws codes of one collection.

    Args:
      uniform: whether they are uniform.
    """

    def __init__(self, uniform: bool):
        random = np.random.default_rng(0)
        root = random.random(BITS) < 0.5
        topics = root ^ (random.random((TOPICS, BITS)) < TOPIC_FLIPS)
        near = random.integers(0, TOPICS, CONCEPTS)
        self._own = topics[near] ^ (random.random((CONCEPTS, BITS)) < CONCEPT_FLIPS)
        self._other = self._own ^ (random.random((CONCEPTS, BITS)) < GAP)
        self._uniform = uniform

    def draw(self, count: int, seed: int, crossed: bool = False) -> np.ndarray:
        """Packed codes, uint8 (count, BITS / 8); crossed: of the other modality."""
        random, concepts = np.random.default_rng(seed), self._other if crossed else self._own
        parts = []
        for start in range(0, count, CHUNK):
            size = min(CHUNK, count - start)
            if self._uniform:
                parts.append(random.integers(0, 256, (size, BITS // 8), np.uint8))
                continue
            chances = random.beta(*ITEM_FLIPS, (size, 1)).astype(np.float32)
            flips = random.random((size, BITS), np.float32) < chances
            parts.append(np.packbits(concepts[random.integers(0, CONCEPTS, size)] ^ flips, axis=1))
        return np.concatenate(parts)


def numpy_search(codes: np.ndarray) -> Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]:
    """Exclusive or, bitwise_count and argpartition, query after query."""
    words = np.ascontiguousarray(codes).view(np.uint64)[:, 0]

    def search(queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        rows, distances = [], []
        for query in np.ascontiguousarray(queries).view(np.uint64)[:, 0]:
            away = np.bitwise_count(words ^ query)
            nearest = np.argpartition(away, count)[:count].copy()  # else all rows are held
            rows.append(nearest)
            distances.append(away[nearest].astype(np.int32))
        return np.stack(rows), np.stack(distances)

    return search


def measure(name: str, codes: np.ndarray, queries: dict[str, np.ndarray], pipe) -> None:
    """Builds one index and sends figures and the distances that it finds, by kind of query and count."""
    kind, given = WAYS[name]
    faiss = load_faiss()
    before, start = resident(), time.perf_counter()
    search = prepared(kind, given, codes)
    built = time.perf_counter() - start
    figures = {"build s": built, "MB": max(0.0, resident() - before) / 1e6}
    found = {}
    for kind_of_query, batch in queries.items():
        for threads in (1, 2):
            faiss.omp_set_num_threads(threads)
            figures[f"{kind_of_query} {threads}"] = rate(search, batch, BATCH)
        faiss.omp_set_num_threads(1)
        figures[f"{kind_of_query} ms"] = 1000 / rate(search, batch, 1)
        faiss.omp_set_num_threads(2)
        asked = batch[:BATCH] if kind == "numpy" else batch
        for count in COUNTS:
            found[kind_of_query, count] = [
                search(asked[i : i + 50], count)[1] for i in range(0, len(asked), 50)
            ]
    pipe.send((figures, {key: np.concatenate(parts) for key, parts in found.items()}))


def prepared(kind: str, given: dict[str, int], codes: np.ndarray) -> Callable:
    """What finds the nearest codes."""
    if kind == "numpy":
        return numpy_search(codes)
    if kind == "flat":
        return exact_search(codes)
    if kind == "hnsw of items":
        each = EqualCodes(np.arange(len(codes)), np.arange(len(codes) + 1))
        return faiss_search(build("hnsw", complete("hnsw", given, BITS), codes), each)
    equal = group_equal(codes)
    return faiss_search(build(kind, complete(kind, given, BITS), codes[equal.distinct]), equal)


def rate(search: Callable, queries: np.ndarray, size: int) -> float:
    """Queries a second, in batches, after one to warm up."""
    search(queries[:1], COUNTS[0])
    done, start = 0, time.perf_counter()
    for first in range(0, len(queries), size):
        done += len(search(queries[first : first + size], COUNTS[0])[0])
        if time.perf_counter() - start > SECONDS:
            break
    return done / (time.perf_counter() - start)


def resident() -> int:
    """Bytes that this process holds in memory and shares with no other, once what is free is given back."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


def in_process(name: str, path: Path, queries: dict[str, np.ndarray], limit: float):
    """What `measure` sends, or None where it took too long."""
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=measure_file, args=(name, path, queries, there))
    process.start()
    there.close()
    try:
        return here.recv() if here.poll(limit) else None
    except EOFError:
        return None
    finally:
        process.kill()
        process.join()


def measure_file(name: str, path: Path, queries: dict[str, np.ndarray], pipe) -> None:
    """As `measure`, of the codes in a file; memory-mapped, as an index has them."""
    measure(name, np.load(path, mmap_mode="r"), queries, pipe)


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Share of results that are not farther than the exact last one; distances (Q, count), -1 where none."""
    exact = exact[: len(found)]
    return float(((found >= 0) & (found < np.iinfo(np.int32).max) & (found <= exact[:, -1:])).mean())


def row(name: str, figures: dict[str, float], found: dict, exact: dict, kinds: Sequence[str]) -> str:
    """A line of the table."""
    cells = [name, f"{figures['build s']:.1f}", f"{figures['MB']:,.0f}"]
    for kind in kinds:
        cells += [f"{recall(found[kind, count], exact[kind, count]):.3f}" for count in COUNTS]
        cells += [f"{figures[f'{kind} {threads}']:,.0f}" for threads in (1, 2)] + [
            f"{figures[f'{kind} ms']:.2f}"
        ]
    return "| " + " | ".join(cells) + " |"


def run(items: int, uniform: bool, names: Sequence[str], count: int, limit: float, folder: Path) -> None:
    """Prints a table."""
    drawn = Codes(uniform)
    codes = drawn.draw(items, 1)
    distinct = len(np.unique(codes.view(np.uint64)))
    np.save(folder / "codes.npy", codes)
    del codes
    kinds = ("same",) if uniform else ("same", "crossed")
    queries = {kind: drawn.draw(count, 2 + number, kind == "crossed") for number, kind in enumerate(kinds)}
    told = "uniform" if uniform else "like learned ones"
    print(f"\n{items:,} codes of {BITS} bits, {told}, {distinct:,} distinct; {count} queries of a kind\n")
    each = "recall@10 | recall@100 | queries/s, 1 thread | 2 threads | ms alone"
    print("| way | build s | MB | " + " | ".join(f"{kind}: {each}" for kind in kinds) + " |")
    print("|---|" + "--:|" * (2 + 5 * len(kinds)), flush=True)
    exact = None
    for name in sorted(names, key=lambda name: name != "flat"):
        sent = in_process(name, folder / "codes.npy", queries, limit)
        if sent is None:
            print(f"| {name} | more than {limit:.0f} s in all, or out of memory |", flush=True)
            continue
        exact = exact or sent[1]
        print(row(name, *sent, exact, kinds), flush=True)


def fit(path: Path) -> None:
    """Prints how near codes of a run are to each other, and these here."""
    from scipy.io import loadmat

    arrays = loadmat(path)
    real = {name: np.ascontiguousarray(np.packbits(arrays[name] > 0, axis=1)) for name in ("Qi", "Qt", "Di")}
    drawn = Codes(uniform=False)
    here = {
        "Qi": drawn.draw(len(real["Qi"]), 2),
        "Qt": drawn.draw(len(real["Qi"]), 3, crossed=True),
        "Di": drawn.draw(len(real["Di"]), 1),
    }
    for name, codes in (("run", real), ("here", here)):
        words = {key: value.view(np.uint64)[:, 0] for key, value in codes.items()}
        print(f"{name}: {len(np.unique(words['Di'])) / len(words['Di']):.3f} of the codes are distinct")
        for queries in ("Qi", "Qt"):
            away = np.bitwise_count(words[queries][:1000, None] ^ words["Di"])
            shares = {most: float((away <= most).mean()) for most in (0, 2, 4, 8, 12, 16, 24, 32)}
            nearest = np.sort(away, axis=1)[:, [0, 9, 99]].mean(axis=0)
            print(f"  {queries}: " + ", ".join(f"<= {most}: {share:.4f}" for most, share in shares.items()))
            print(
                "      mean distance of the 1st, 10th, 100th: " + ", ".join(f"{one:.1f}" for one in nearest)
            )
            print("      " + "; ".join(recalls(codes["Di"], codes[queries])))


def recalls(codes: np.ndarray, queries: np.ndarray) -> Iterator[str]:
    """Recall of every way but the exact ones."""
    exact = {count: exact_search(codes)(queries, count).distances for count in COUNTS}
    for name, (kind, given) in WAYS.items():
        if kind not in ("numpy", "flat"):
            search = prepared(kind, given, codes)
            found = (f"{recall(search(queries, count).distances, exact[count]):.3f}" for count in COUNTS)
            yield f"{name}: recall@10 and @100 " + " ".join(found)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--ways", default=",".join(range_names()), help="of " + ", ".join(range_names()))
    parser.add_argument("--limit", type=float, default=600, help="seconds for one way, at most")
    parser.add_argument("--uniform", action="store_true", help="also of uniform codes")
    parser.add_argument("--fit", type=Path, help=".mat file of a run, to compare with")
    given = parser.parse_args()
    if given.fit:
        fit(given.fit)
        return
    faiss = load_faiss()
    print(
        f"{processor()}; FAISS {faiss.__version__}, NumPy {np.__version__}, "
        f"Python {platform.python_version()}"
    )
    names = [name for number, name in enumerate(WAYS) if str(number) in given.ways.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        for uniform in (False, True)[: 1 + given.uniform]:
            run(given.items, uniform, names, given.queries, given.limit, Path(folder))


def range_names() -> list[str]:
    """Numbers of the ways, for the command line."""
    return [str(number) for number in range(len(WAYS))]


def processor() -> str:
    """What computes."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))


if __name__ == "__main__":
    main()
