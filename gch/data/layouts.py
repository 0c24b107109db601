"""Which files of a data set lie in a folder, and in which of the field's layouts.

| layout         | files                                                                          |
|----------------|--------------------------------------------------------------------------------|
| prepared       | index.json and shards, as `prepare` writes them                                |
| one file       | FLICKR-25K.mat: images or features, YAll, LAll                                 |
| separate files | mirflickr25k-iall.mat (or -iall-vgg, -xall), -yall.mat, -lall.mat; or .npy     |
| split files    | Img.h5, Tag.h5, Lab.h5, each of three parts; or one file of all nine           |
| index files    | index.mat (paths), caption.mat or caption.txt, label.mat                       |
| collection     | a folder of pictures and a CSV or JSON-lines file                              |
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from gch.array_files import StoredArray, list_arrays
from gch.data.annotations import find_annotations
from gch.data.names import file_stems
from gch.errors import DataError

INDEX_NAME = "index.json"
ROLES = ("images", "texts", "labels")
PARTS = ("training", "retrieval", "query")

# The names that an array has in the files that go round; a path leads into a group.
NAMES = {
    "images": (
        "images",
        "IAll",
        "images/IAll",
        "IAll/IAll",
        "images/images",
        "XAll",
        "XAll/XAll",
        "features",
    ),
    "texts": ("YAll", "YAll/YAll", "tags", "texts"),
    "labels": ("LAll", "LAll/LAll", "labels"),
}
SPLIT_NAMES = {
    ("images", "training"): ("ImgTrain", "I_tr"),
    ("images", "retrieval"): ("ImgDataBase", "ImgDatabase", "I_db"),
    ("images", "query"): ("ImgQuery", "I_te"),
    ("texts", "training"): ("TagTrain", "T_tr"),
    ("texts", "retrieval"): ("TagDataBase", "TagDatabase", "T_db"),
    ("texts", "query"): ("TagQuery", "T_te"),
    ("labels", "training"): ("LabTrain", "L_tr"),
    ("labels", "retrieval"): ("LabDataBase", "LabDatabase", "L_db"),
    ("labels", "query"): ("LabQuery", "L_te"),
}
_ARRAY_SUFFIXES = (".mat", ".h5", ".hdf5", ".npz", ".npy")
_IMAGE_ENDS = ("-iall", "-iall-vgg", "-xall", "iall", "xall", "images", "features")
_TEXT_ENDS = ("-yall", "yall", "texts", "tags")
_LABEL_ENDS = ("-lall", "lall", "labels")
_TRIO = ("img", "tag", "lab")


@dataclasses.dataclass(frozen=True)
class Layout:
    """What was found.

    Attributes:
      kind: 'prepared', 'one file', 'separate files', 'split files', 'index files' or 'collection'.
      path: the folder, or the one file.
      arrays: by role ('images', 'texts', 'labels'); in split files by (role, part).
      annotations: the CSV or JSON-lines file of a collection.
      captions: caption.txt of index files.
    """

    kind: str
    path: Path
    arrays: Mapping[object, StoredArray] = dataclasses.field(default_factory=dict)
    annotations: Path | None = None
    captions: Path | None = None


def find_layout(path: Path, dataset: str, annotations: str = "") -> Layout:
    """Finds a data set.

    Args:
      path: its folder, or the file that holds its images.
      dataset: as in the setting dataset_dir; its files are looked for by the names that it goes by.
      annotations: name of a collection's CSV or JSON-lines file in the folder; '' for the only one.

    Raises:
      DataError: nothing was found, or what was found is incomplete; says what was expected.
    """
    if path.is_file():
        return _of_file(path)
    if not path.is_dir():
        raise DataError(f"{path}: not found, expected a folder of data files or a data file")
    stems = file_stems(dataset)
    for folder in (
        path,
        *(child for child in _entries(path) if child.is_dir() and child.name.lower() in stems),
    ):
        found = _in_folder(folder, stems, dataset, annotations)
        if found is not None:
            return found
    names = ", ".join(entry.name for entry in _entries(path)[:8]) or "nothing"
    raise DataError(f"{path}: no data set found for {dataset}, the folder holds {names}; {_expected(stems)}")


def _in_folder(folder: Path, stems: tuple[str, ...], dataset: str, annotations: str) -> Layout | None:
    if (folder / INDEX_NAME).is_file():
        return Layout("prepared", folder)
    if dataset == "collection":
        file = folder / annotations if annotations else find_annotations(folder)
        return Layout("collection", folder, annotations=file) if file else None
    files = [entry for entry in _entries(folder) if entry.is_file()]
    arrays = [file for file in files if file.suffix.lower() in _ARRAY_SUFFIXES]
    named = {file.stem.lower(): file for file in arrays}
    if all(name in named for name in _TRIO):
        return _split_files(folder, [named[name] for name in _TRIO])
    if "index" in named and "label" in named:
        return _index_files(folder, named, files)
    for stem in (*stems, ""):
        images = next((f"{stem}{end}" for end in _IMAGE_ENDS if f"{stem}{end}" in named), None)
        if images is not None:
            return _separate(named[images])
    whole = [file for file in arrays if not stems or file.stem.lower() in stems]
    if len(whole) == 1:
        return _of_file(whole[0])
    if len(whole) > 1:
        names = ", ".join(file.name for file in whole)
        raise DataError(f"{folder}: {names}: expected one file; DATA_DIR may name it")
    if dataset == "files" and (file := find_annotations(folder)) is not None:
        return Layout("collection", folder, annotations=file)
    return None


def _of_file(path: Path) -> Layout:
    """The layout that a file belongs to."""
    stem, suffix = path.stem.lower(), path.suffix.lower()
    if path.name == INDEX_NAME:
        return Layout("prepared", path.parent)
    if suffix in (".csv", ".tsv", ".jsonl", ".ndjson"):
        return Layout("collection", path.parent, annotations=path)
    if stem in _TRIO or stem == "index":
        found = _in_folder(path.parent, (), "files", "")
        if found is not None and found.kind in ("split files", "index files"):
            return found
    arrays = list_arrays(path)
    parts = {key: _first(arrays, names) for key, names in SPLIT_NAMES.items()}
    if all(parts.values()):
        return Layout("split files", path, parts)
    roles = {role: _first(arrays, NAMES[role]) for role in ROLES}
    if not roles["texts"] and not roles["labels"] and stem.endswith(_IMAGE_ENDS):
        return _separate(path)
    for role, array in roles.items():
        if array is None:
            held = ", ".join(arrays) or "no array"
            expected = f"an array {' or '.join(NAMES[role][:2])}"
            raise DataError(f"{path}: {role} not found, the file holds {held}; expected {expected}")
    return Layout("one file", path, roles)


def _separate(images: Path) -> Layout:
    """Files of one array each, that differ in how their names end."""
    stem = images.stem.lower()
    end = max((end for end in _IMAGE_ENDS if stem.endswith(end)), key=len)
    prefix = stem[: len(stem) - len(end)]
    named = {
        entry.stem.lower(): entry
        for entry in _entries(images.parent)
        if entry.is_file() and entry.suffix.lower() in _ARRAY_SUFFIXES
    }
    roles = {"images": _only(images, "images")}
    for role, ends in (("texts", _TEXT_ENDS), ("labels", _LABEL_ENDS)):
        file = next((named[prefix + end] for end in ends if prefix + end in named), None)
        if file is None:
            raise DataError(f"{images}: its {role} not found, expected {prefix}{ends[0]}.mat beside it")
        roles[role] = _only(file, role)
    return Layout("separate files", images.parent, roles)


def _split_files(folder: Path, files: list[Path]) -> Layout:
    arrays = {}
    for file, role in zip(files, ROLES, strict=True):
        listed = list_arrays(file)
        for part in PARTS:
            names = SPLIT_NAMES[role, part]
            found = _first(listed, names)
            if found is None:
                held = ", ".join(listed) or "no array"
                raise DataError(f"{file}: {names[0]} not found, the file holds {held}")
            arrays[role, part] = found
    return Layout("split files", folder, arrays)


def _index_files(folder: Path, named: dict[str, Path], files: Iterable[Path]) -> Layout:
    arrays = {}
    for role, stem, names in (
        ("images", "index", ("index",)),
        ("labels", "label", ("category", "label", "labels")),
    ):
        listed = list_arrays(named[stem])
        found = _first(listed, names)
        if found is None:
            held = ", ".join(listed) or "no array"
            raise DataError(f"{named[stem]}: {names[0]} not found, the file holds {held}")
        arrays[role] = found
    lines = next((file for file in files if file.name.lower() == "caption.txt"), None)
    if "caption" in named:
        listed = list_arrays(named["caption"])
        arrays["texts"] = _first(listed, ("caption", "captions"))
        if arrays["texts"] is None:
            held = ", ".join(listed) or "no array"
            raise DataError(f"{named['caption']}: caption not found, the file holds {held}")
    elif lines is None:
        raise DataError(f"{folder}: caption.mat not found, expected it or caption.txt beside index.mat")
    return Layout("index files", folder, arrays, captions=lines)


def _only(file: Path, role: str) -> StoredArray:
    """The array of a file that should hold one: the one of a known name, or the only one."""
    listed = list_arrays(file)
    found = _first(listed, NAMES[role])
    if found is None and len(listed) == 1:
        (found,) = listed.values()
    if found is None:
        held = ", ".join(listed) or "no array"
        raise DataError(f"{file}: {NAMES[role][0]} not found, the file holds {held}")
    return found


def _first(arrays: Mapping[str, StoredArray], names: Iterable[str]) -> StoredArray | None:
    return next((arrays[name] for name in names if name in arrays), None)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed, {error.strerror}") from error


def _expected(stems: tuple[str, ...]) -> str:
    if not stems:
        return "expected a file or folder of data/README.md"
    one = stems[1] if len(stems) > 1 else stems[0]
    return (
        f"expected {one.upper()}.mat, {stems[0]}-iall.mat with -yall.mat and -lall.mat, Img.h5 with Tag.h5 "
        "and Lab.h5, index.mat with caption.mat and label.mat, or a prepared folder"
    )
