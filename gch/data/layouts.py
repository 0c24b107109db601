"""Which files of a data set lie in a folder, and in which of the field's layouts.

| layout         | files                                                                          |
|----------------|--------------------------------------------------------------------------------|
| prepared       | index.json and pictures.bin, as `prepare` writes them                          |
| one file       | FLICKR-25K.mat: images or features, YAll, LAll                                 |
| separate files | mirflickr25k-iall.mat (or -iall-vgg, -xall), -yall.mat, -lall.mat; or .npy     |
| split files    | Img.h5, Tag.h5, Lab.h5, each of three parts; or one file of all nine           |
| index files    | index.mat (paths), caption.mat or caption.txt, label.mat                       |
| collection     | a folder of pictures and a CSV or JSON-lines file                              |
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from gch.array_files import StoredArray, list_arrays
from gch.data.annotations import SUFFIXES, find_annotations
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
ARRAY_SUFFIXES = (".mat", ".h5", ".hdf5", ".npz", ".npy")
_IMAGE_ENDS = ("-iall", "-iall-vgg", "-xall", "iall", "xall", "images", "features")
_TEXT_ENDS = ("-yall", "yall", "texts", "tags")
_LABEL_ENDS = ("-lall", "lall", "labels")
_TRIO = ("img", "tag", "lab")
_INDEX_FILES = {
    # images, texts, labels: the file and the names of its array
    "index": ("index",),
    "caption": ("caption", "captions"),
    "label": ("category", "label", "labels"),
}
_CAPTION_LINES = "caption.txt"


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
      path: its folder, or the file that holds its images; a folder in it of the data set's name comes first.
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
    own = [child for child in _entries(path) if child.name.lower() in stems and child.is_dir()]
    for folder in (*own, path):
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
    found = _together(folder)
    if found is not None:
        return found
    candidates = _candidates(_by_stem(folder), stems)
    if candidates:
        return _of_file(_one(candidates))
    if dataset == "files" and (file := find_annotations(folder)) is not None:
        return Layout("collection", folder, annotations=file)
    return None


def _together(folder: Path) -> Layout | None:
    """Split files or index files, where at least two of them lie there."""
    named = _by_stem(folder)
    lines = next((file for file in _entries(folder) if file.name.lower() == _CAPTION_LINES), None)
    if len(missing := [name for name in _TRIO if name not in named]) < 2:
        if missing:
            raise DataError(f"{folder}: {missing[0].title()}.h5 not found; expected Img.h5, Tag.h5, Lab.h5")
        return _split_files(folder, [_one(named[name]) for name in _TRIO])
    if "index" in named and (lines or "label" in named or "caption" in named):
        return _index_files(folder, named, lines)
    return None


def _candidates(named: Mapping[str, list[Path]], stems: tuple[str, ...]) -> list[Path]:
    """Files that may be the data set or its images; those of its name come first."""

    def images(fits: Callable[[str, str], bool]) -> list[Path]:
        by_end = ([file for stem in named if fits(stem, end) for file in named[stem]] for end in _IMAGE_ENDS)
        return next(filter(None, by_end), [])

    if not stems:
        return images(str.endswith) or [file for files in named.values() for file in files]
    whole = [file for stem in stems for file in named.get(stem, ())]
    own = images(lambda stem, end: stem.removesuffix(end) in stems and stem.endswith(end))
    return own + whole or images(str.__eq__)


def _of_file(path: Path) -> Layout:
    """The layout that a file belongs to."""
    stem, suffix = path.stem.lower(), path.suffix.lower()
    if path.name == INDEX_NAME:
        return Layout("prepared", path.parent)
    if suffix in SUFFIXES:
        return Layout("collection", path.parent, annotations=path)
    if stem in (*_TRIO, *_INDEX_FILES) and (found := _together(path.parent)) is not None:
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
    named = _by_stem(images.parent)
    roles = {"images": _only(images, NAMES["images"])}
    for role, ends in (("texts", _TEXT_ENDS), ("labels", _LABEL_ENDS)):
        files = next((named[prefix + end] for end in ends if prefix + end in named), None)
        if files is None:
            expected = prefix + (ends[0] if end.startswith("-") else ends[1]) + images.suffix
            raise DataError(f"{images}: its {role} not found, expected {expected} beside it")
        roles[role] = _only(_one(files), NAMES[role])
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


def _index_files(folder: Path, named: Mapping[str, list[Path]], lines: Path | None) -> Layout:
    if "label" not in named:
        raise DataError(f"{folder}: label.mat not found, expected it beside index.mat")
    if "caption" not in named and lines is None:
        raise DataError(f"{folder}: caption.mat not found, expected it or caption.txt beside index.mat")
    arrays = {
        role: _only(_one(named[stem]), names)
        for role, (stem, names) in zip(ROLES, _INDEX_FILES.items(), strict=True)
        if stem in named
    }
    return Layout("index files", folder, arrays, captions=lines)


def _only(file: Path, names: tuple[str, ...]) -> StoredArray:
    """The array of a file that should hold one: the one of a known name, or the only one."""
    listed = list_arrays(file)
    found = _first(listed, names)
    if found is None and len(listed) == 1:
        (found,) = listed.values()
    if found is None:
        held = ", ".join(listed) or "no array"
        raise DataError(f"{file}: {names[0]} not found, the file holds {held}")
    return found


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    """The files of arrays by the name without its suffix, in lower case; hidden ones do not count."""
    named: dict[str, list[Path]] = {}
    for entry in _entries(folder):
        if entry.suffix.lower() in ARRAY_SUFFIXES and entry.is_file():
            named.setdefault(entry.stem.lower(), []).append(entry)
    return named


def _one(files: list[Path]) -> Path:
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise DataError(f"{files[0].parent}: {names}: expected one file; DATA_DIR may name it")
    return files[0]


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
