"""The names of data sets, known without loading a reader."""

_BENCHMARKS = {
    # data set: the name of its files and runs, and its aliases
    "FLICKR": ("flickr25k", "flickr-25k", "mirflickr25k", "mirflickr-25k", "mirflickr"),
    "NUS-WIDE-TC21": ("nus-wide-tc21", "nuswide-tc21", "nuswide21", "nus-wide", "nuswide"),
    "NUS-WIDE-TC10": ("nus-wide-tc10", "nuswide-tc10", "nuswide10"),
    "COCO": ("coco", "ms-coco", "mscoco"),
    "Flickr8k": ("flickr8k", "flickr-8k"),
    "Flickr30k": ("flickr30k", "flickr-30k"),
}
UNLABELLED = ("Flickr8k", "Flickr30k")


def known_datasets() -> tuple[str, ...]:
    """The data sets that the setting dataset_dir may name."""
    return ("OpenMoji", *_BENCHMARKS, "files", "collection", "generated")


def canonical_dataset(name: str) -> str | None:
    """The spelling of a name in `known_datasets`, given in any case or as an alias; None if unknown."""
    spellings = {known.lower(): known for known in known_datasets()}
    spellings |= {alias: known for known, aliases in _BENCHMARKS.items() for alias in aliases}
    return spellings.get(name.lower())


def file_name(name: str) -> str:
    """The name of a data set in the names of files and runs."""
    known = canonical_dataset(name) or name
    return _BENCHMARKS.get(known, (known.lower(),))[0]


def file_stems(name: str) -> tuple[str, ...]:
    """How the names of a data set's files begin, in lower case; none for data sets without a name."""
    return _BENCHMARKS.get(canonical_dataset(name) or name, ())
