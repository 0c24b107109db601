"""The names of data sets, known without loading a reader."""


def known_datasets() -> tuple[str, ...]:
    """The data sets that the setting dataset_dir may name."""
    return ("OpenMoji", "FLICKR", "generated")


def canonical_dataset(name: str) -> str | None:
    """The spelling of a name in `known_datasets`, given in any case or as an alias; None if it is none."""
    aliases = {alias: "FLICKR" for alias in ("flickr-25k", "flickr25k", "mirflickr25k", "mirflickr-25k")}
    return (aliases | {known.lower(): known for known in known_datasets()}).get(name.lower())


def file_name(name: str) -> str:
    """What the data set is called in the names of files and runs; takes what `canonical_dataset` takes."""
    known = canonical_dataset(name) or name
    return {"FLICKR": "flickr25k"}.get(known, known.lower())
