"""The data sets by name and what the literature has of them, known without loading a reader."""

from typing import NamedTuple


class Benchmark(NamedTuple):
    """A data set of the literature."""

    names: tuple[str, ...]  # that of its files and runs, and its aliases
    items: int
    query: int
    training: int
    labelled: bool = True


_BENCHMARKS = {
    "FLICKR": Benchmark(
        ("flickr25k", "flickr-25k", "mirflickr25k", "mirflickr-25k", "mirflickr"), 20_015, 2_000, 10_000
    ),
    "NUS-WIDE-TC21": Benchmark(
        ("nus-wide-tc21", "nuswide-tc21", "nuswide21", "nus-wide", "nuswide"), 195_834, 2_100, 10_500
    ),
    "NUS-WIDE-TC10": Benchmark(("nus-wide-tc10", "nuswide-tc10", "nuswide10"), 186_577, 2_000, 5_000),
    "COCO": Benchmark(("coco", "ms-coco", "mscoco"), 122_218, 5_000, 10_000),
    "Flickr8k": Benchmark(("flickr8k", "flickr-8k"), 8_091, 1_000, 6_000, labelled=False),
    "Flickr30k": Benchmark(("flickr30k", "flickr-30k"), 31_783, 1_000, 29_000, labelled=False),
}


def known_datasets() -> tuple[str, ...]:
    """The data sets that the setting dataset_dir may name."""
    return ("OpenMoji", *_BENCHMARKS, "files", "collection", "generated")


def canonical_dataset(name: str) -> str | None:
    """The spelling of a name in `known_datasets`, given in any case or as an alias; None if unknown."""
    spellings = {known.lower(): known for known in known_datasets()}
    spellings |= {alias: known for known, one in _BENCHMARKS.items() for alias in one.names}
    return spellings.get(name.lower())


def benchmark(name: str) -> Benchmark | None:
    """The data set of the literature that a name means; None where it means none."""
    return _BENCHMARKS.get(canonical_dataset(name) or "")


def file_name(name: str) -> str:
    """The name of a data set in the names of files and runs."""
    found = benchmark(name)
    return found.names[0] if found else (canonical_dataset(name) or name).lower()


def file_stems(name: str) -> tuple[str, ...]:
    """How the names of a data set's files begin, in lower case; none for data sets without a name."""
    found = benchmark(name)
    return found.names if found else ()
