"""Evaluation by histograms of packed codes, against sorting the database for every query.

Times mAP of one direction on random codes and labels of a data set's size, each way in a process of its own:

argsort      distances of one query by a product, argsort, AP, as in the originals; of int64, and of float32
products     histograms of distances by matrix products and bincount, without sorting
numpy        the engine that runs without numba
numba        the engine that runs where numba is installed
all measures all that `python main_itpair.py eval` tells of a direction, but the stable policy, by numba

The ratio is argsort's time over theirs. `popcounts alone` adds up distances and shared labels and counts
nothing: no engine that compares all pairs can be faster. Memory is the growth of the process's peak.

    python benchmarks/evaluation.py                       # MIRFlickr and NUS-WIDE, 16 and 64 bits
    python benchmarks/evaluation.py --sizes mirflickr --bits 64
"""

import argparse
import multiprocessing
import os
import resource
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from gch.evaluation.codes import CodedItems, coded_items

# Queries, database, labels, and the share of the labels that an item has.
SIZES = {"mirflickr": (2000, 18_015, 24, 0.16), "nuswide": (2100, 193_734, 21, 0.11)}
SECONDS = 1.5  # a way is repeated for so long, and at least twice, but the two argsorts


def random_items(bits: int, size: str) -> tuple[CodedItems, CodedItems]:
    """Queries and database; the codes follow the labels, so that a ranking has something to find."""
    queries, database, labels, share = SIZES[size]
    random = np.random.default_rng(0)
    tied = random.normal(size=(labels, bits))

    def items(count: int) -> CodedItems:
        chosen = random.random((count, labels)) < share
        return coded_items(chosen @ tied + random.normal(size=(count, bits)), chosen)

    return items(queries), items(database)


def signs(items: CodedItems) -> np.ndarray:
    """The codes as -1 and +1, float32 (N, K)."""
    return 2 * np.unpackbits(items.codes, axis=1, count=items.bits).astype(np.float32) - 1


def by_argsort(queries: CodedItems, database: CodedItems, dtype: type) -> float:
    """One query after the other, as the originals do."""
    codes, others = signs(queries).astype(dtype), signs(database).astype(dtype)
    labels, other_labels = queries.labels.astype(dtype), database.labels.astype(dtype)
    total = 0.0
    for code, own in zip(codes, labels, strict=True):
        relevant = np.dot(own, other_labels.T) > 0
        order = np.argsort(0.5 * (queries.bits - np.dot(code, others.T)))
        ranks = np.flatnonzero(relevant[order]) + 1
        if len(ranks):
            total += np.mean(np.arange(1, len(ranks) + 1) / ranks)
    return total / len(codes)


def by_products(queries: CodedItems, database: CodedItems) -> float:
    """Blocks of queries: matrix products, then one bincount."""
    from gch.evaluation.measures import average_precision
    from gch.evaluation.rankings import grouped

    codes, others = signs(queries), signs(database).T
    labels, other_labels = queries.labels.astype(np.float32), database.labels.astype(np.float32).T
    width = queries.bits + 1
    block = max(1, 2**23 // len(database))
    total = 0.0
    for start in range(0, len(codes), block):
        part = slice(start, start + block)
        cells = ((queries.bits - codes[part] @ others) / 2).astype(np.int32) * 2
        cells += labels[part] @ other_labels > 0
        cells += 2 * width * np.arange(len(cells), dtype=np.int32)[:, None]
        counts = np.bincount(cells.ravel(), minlength=2 * width * len(cells)).reshape(len(cells), width, 2)
        total += average_precision(grouped(counts, "tie-aware")).sum()
    return total / len(codes)


def by_engine(name: str, queries: CodedItems, database: CodedItems) -> float:
    """As `gch.evaluation.evaluate.mean_average_precision`, with one engine."""
    from gch.evaluation import counts, evaluate

    if name == "numpy":
        counts._engine = lambda: counts.count_by_numpy
    return evaluate.mean_average_precision(queries, database)


def all_measures(queries: CodedItems, database: CodedItems) -> float:
    """All but the stable policy, which needs rankings."""
    from gch.evaluation.evaluate import evaluate_items

    found = evaluate_items(queries, database, policies=("tie-aware", "optimistic", "pessimistic"))
    return found.mean(found.values["mAP"])


def popcounts(queries: CodedItems, database: CodedItems) -> float:
    """Adds up what the numba engine counts."""
    from popcounts_alone import total

    return total(queries, database)


WAYS = {
    "argsort": lambda *sets: by_argsort(*sets, np.int64),
    "argsort float32": lambda *sets: by_argsort(*sets, np.float32),
    "products": by_products,
    "numpy": lambda *sets: by_engine("numpy", *sets),
    "numba": lambda *sets: by_engine("numba", *sets),
    "all measures": all_measures,
    "popcounts alone": popcounts,
}


def measure(way: str, size: str, bits: int) -> tuple[float, float, float]:
    """Seconds of the fastest round, growth of the peak in MiB, and mAP."""
    queries, database = random_items(bits, size)
    call = WAYS[way]
    if not way.startswith("argsort"):  # compiles
        call(queries.only(slice(40)), database.only(slice(4000)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    while not seconds or (not way.startswith("argsort") and (len(seconds) < 2 or sum(seconds) < SECONDS)):
        start = time.perf_counter()
        result = call(queries, database)
        seconds.append(time.perf_counter() - start)
    return min(seconds), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, result


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--bits", default="16,64")
    parser.add_argument("--ways", default=",".join(WAYS))
    given = parser.parse_args()
    print(
        "| size | bits | way | mAP | seconds | ratio | ns a pair | MiB |\n|---|--:|---|--:|--:|--:|--:|--:|"
    )
    for size in given.sizes.split(","):
        for bits in (int(bit) for bit in given.bits.split(",")):
            slowest = None
            for way in given.ways.split(","):
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    seconds, memory, result = pool.apply(measure, (way, size, bits))
                slowest = slowest or seconds
                queries, database = SIZES[size][:2]
                found = f"{result:.4f}" if way != "popcounts alone" else ""
                print(
                    f"| {size} | {bits} | {way} | {found} | {seconds:.3f} | {slowest / seconds:.1f} "
                    f"| {seconds / queries / database * 1e9:.2f} | {memory:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
