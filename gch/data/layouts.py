"""Which files of a data set lie in a folder, and in which of the field's layouts.

| layout         | files                                                                          |
|----------------|--------------------------------------------------------------------------------|
| prepared       | index.json and pictures.bin, as `prepare` writes them                          |
| one file       | FLICKR-25K.mat: images or features, YAll or captions, LAll                     |
| separate files | mirflickr25k-iall.mat (or -iall-vgg, -xall), -yall.mat, -lall.mat; or .npy     |
|                | or each in a folder of its own: IAll, YAll, LAll                               |
| split files    | Img.h5, Tag.h5, Lab.h5, each of three parts; or one file of all nine           |
| index files    | index.mat (paths), caption.mat or caption.txt, label.mat                       |
| collection     | a folder of pictures and a CSV or JSON-lines file                              |
| download       | the official download, unpacked or zip files: see `gch.data.downloads`         |

Labels may be missing: YAll alone, Img.h5 and Tag.h5, index.mat and its captions; but not of the papers' sets.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from gch.data.array_files import StoredArray, list_arrays
from gch.data.downloads import Download, find_download
from gch.data.downloads.files import PICTURE_SUFFIXES
from gch.data.names import benchmark, file_stems
from gch.data.text_files import printable, require_file
from gch.errors import DataError

INDEX_NAME = "index.json"
ARRAY_SUFFIXES = (".mat", ".h5", ".hdf5", ".h5py", ".npz", ".npy")
KAGGLE_NAME = "captions.txt"  # a CSV
FOLDERS = ("iall", "yall", "lall")  # that may each hold one of the separate files
ANNOTATION_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")

_IMAGE_VECTORS = ("image_features", "image_vectors", "image_embeddings")
_TEXT_VECTORS = ("text_features", "text_vectors", "text_embeddings")
_NAMES = {  # of arrays in common files, in a group or not
    "images": ("images", "IAll", "XAll", "features", *_IMAGE_VECTORS),
    "texts": ("YAll", "tags", "texts", *_TEXT_VECTORS, "captions"),
    "labels": ("LAll", "labels"),
}
_SEVERAL = {  # what else may be expected of a file that lacks an array
    "images": ", or I_tr, T_tr, L_tr, I_te, T_te, L_te and I_db, T_db, L_db (docs/data.md)",
    "texts": " in it, or in a file named as in docs/data.md: -iall or -xall, -yall, -lall",
    "labels": "",
}
_COLUMNS = ("tag_names", "label_names")
_SPLIT_FILES = {"img": ("images", "Img", "I"), "tag": ("texts", "Tag", "T"), "lab": ("labels", "Lab", "L")}
_SPLIT_ENDS = (("DataBase", "Database", "db"), ("Query", "te"), ("Train", "tr"))
_SPLIT_NAMES = [  # for database, queries and training items, by file: TagTrain, or T_tr
    {
        stem: [f"{short}_{end}" if len(end) == 2 else f"{long}{end}" for end in ends]
        for stem, (_, long, short) in _SPLIT_FILES.items()
    }
    for ends in _SPLIT_ENDS
]
_INDEX_FILES = {
    "index": ("images", ("index",)),
    "caption": ("texts", ("caption", "captions")),
    "label": ("labels", ("category", "label", "labels")),
}
_LABELS = {  # where the labels of a layout are
    "one file": "LAll or labels",
    "separate files": "its labels (-lall)",
    "split files": "Lab.h5",
    "index files": "label.mat",
}
_ENDS = {  # of the names of separate files
    "images": (
        "-iall",
        "-iall-vgg",
        "-xall",
        "-xall-vgg",
        "iall",
        "xall",
        "images",
        *_IMAGE_VECTORS,
        "features",
    ),
    "texts": ("-yall", "yall", "texts", "tags", *_TEXT_VECTORS, "captions"),
    "labels": ("-lall", "lall", "labels"),
}


@dataclasses.dataclass(frozen=True)
class Layout:
    """What was found; `kind` is one of the module's table."""

    kind: str
    path: Path  # the folder, or the one file
    # Arrays by role ('images', 'texts' and, if any, 'labels'), of the data set; in split files of database,
    # queries and training items. Index files with `captions` lack 'texts'.
    parts: Sequence[Mapping[str, StoredArray]] = ()
    annotations: Path | None = None  # the CSV or JSON-lines file of a collection
    captions: Path | None = None  # caption.txt of index files
    download: Download | None = None
    # Of one file or separate ones: what the columns of words and labels are called, as of `_COLUMNS`.
    names: Mapping[str, StoredArray] = dataclasses.field(default_factory=dict)
    unread: Sequence[str] = ()  # the other arrays of one file


def find_layout(path: Path, dataset: str, annotations: str = "") -> Layout:
    """Finds a data set by DATA_DIR, dataset_dir and annotations; DataError where it is incomplete.

    Its files are looked for by the names that it goes by. A folder in DATA_DIR of such a name comes first.
    Labels are required of the data sets of the literature that have them.
    """
    found, paper = _found(path, dataset, annotations), benchmark(dataset)
    if paper and paper.labelled and found.parts and "labels" not in found.parts[0]:
        raise DataError(
            f"{found.path}: {_LABELS[found.kind]} not found, expected the labels of {dataset}; "
            "dataset_dir = 'files' reads pairs without labels"
        )
    return found


def _found(path: Path, dataset: str, annotations: str) -> Layout:
    if not path.is_dir():
        require_file(path, "expected a folder of data files or a data file")
        if path.suffix.lower() == ".zip" and (download := find_download(path, dataset)):
            return Layout("download", path.parent, download=download)
        return _of_file(path)
    stems = file_stems(dataset)
    own = [child for child in _entries(path) if child.name.lower() in stems and child.is_dir()]
    for folder in (*own, path):
        found = _in_folder(folder, stems, dataset, annotations)
        if found is not None:
            return found
    if download := find_download(path, dataset):
        return Layout("download", path, download=download)
    expected = (
        "expected arrays in .mat, .h5, .npz or .npy, a CSV or JSON-lines file that describes pictures, or "
        "another file of docs/data.md"
    )
    if stems:
        expected = (
            f"expected {stems[1].upper()}.mat, {stems[0]}-iall.mat with -yall.mat and -lall.mat, Img.h5 with "
            "Tag.h5 and Lab.h5, index.mat with caption.mat and label.mat, a prepared folder, or the "
            "official download (docs/downloads.md)"
        )
    shown = sorted(_entries(path), key=lambda entry: entry.suffix.lower() in PICTURE_SUFFIXES)
    names = ", ".join(map(_shown, shown[:8])) or "nothing"
    raise DataError(f"{path}: no data set found for {dataset}, the folder holds {names}; {expected}")


def _in_folder(folder: Path, stems: tuple[str, ...], dataset: str, annotations: str) -> Layout | None:
    if (folder / INDEX_NAME).is_file():
        return Layout("prepared", folder)
    if dataset != "collection":
        found = _together(folder)
        if found is None and (candidates := _candidates(_by_stem(folder), stems)):
            of_images = stems or candidates[0].stem.lower().endswith(_ENDS["images"])
            others = "" if of_images else ", or files named images, texts and labels"
            found = _of_file(_one(candidates, others=others))
        if found is not None or dataset != "files":
            return found
    if annotations:
        return Layout("collection", folder, annotations=folder / annotations)
    files = [file for files in _by_stem(folder, ANNOTATION_SUFFIXES).values() for file in files]
    files = files or [file for file in _entries(folder) if file.name.lower() == KAGGLE_NAME]
    return Layout("collection", folder, annotations=_one(files, "annotations")) if files else None


def _together(folder: Path) -> Layout | None:
    """Split files or index files, where at least two of them lie there."""
    named = _by_stem(folder)
    missing = [stem for stem in _SPLIT_FILES if stem not in named]
    if missing in (["img"], ["tag"]):
        raise DataError(f"{folder}: {missing[0].title()}.h5 not found; expected Img.h5, Tag.h5, Lab.h5")
    if missing in ([], ["lab"]):
        return _split_layout(folder, {stem: _one(named[stem]) for stem in _SPLIT_FILES if stem in named})
    lines = next((file for file in _entries(folder) if file.name.lower() == "caption.txt"), None)
    if "index" not in named or not (lines or "label" in named or "caption" in named):
        return None
    if "caption" not in named and not lines:
        raise DataError(f"{folder}: caption.mat not found, expected it or caption.txt beside index.mat")
    arrays = {
        role: _only(named[stem], names) for stem, (role, names) in _INDEX_FILES.items() if stem in named
    }
    return Layout("index files", folder, [arrays], captions=None if "caption" in named else lines)


def _split_layout(path: Path, files: Mapping[str, Path]) -> Layout:
    listed = {stem: list_arrays(file) for stem, file in files.items()}
    database, *others = _SPLIT_NAMES
    if not any(_first(listed[stem], database[stem]) for stem in files):
        database = others[-1]  # The training items are the retrieval set.
    parts = [
        {_SPLIT_FILES[stem][0]: _pick(file, listed[stem], names[stem]) for stem, file in files.items()}
        for names in (database, *others)
    ]
    return Layout("split files", path, parts)


def _candidates(named: Mapping[str, list[Path]], stems: tuple[str, ...]) -> list[Path]:
    """Files that may be the data set or its images; those of its name come first."""

    def images(fits: Callable[[str, str], bool]) -> list[Path]:
        by_end = (
            [file for stem in named if fits(stem, end) for file in named[stem]] for end in _ENDS["images"]
        )
        return next(filter(None, by_end), [])

    if not stems:
        return images(str.endswith) or [file for files in named.values() for file in files]
    whole = [file for stem in stems for file in named.get(stem, ())]
    own = images(lambda stem, end: stem.removesuffix(end) in stems and stem.endswith(end))
    return own + whole or images(str.__eq__)


def _of_file(path: Path) -> Layout:
    """The layout that a file belongs to."""
    stem = path.stem.lower()
    if path.name == INDEX_NAME:
        return Layout("prepared", path.parent)
    if path.suffix.lower() in ANNOTATION_SUFFIXES or path.name.lower() == KAGGLE_NAME:
        return Layout("collection", path.parent, annotations=path)
    if stem in (*_SPLIT_FILES, *_INDEX_FILES) and (found := _together(path.parent)) is not None:
        return found
    arrays = list_arrays(path)
    held = [stem for stem in _SPLIT_FILES if any(_first(arrays, names[stem]) for names in _SPLIT_NAMES)]
    if all(_first(arrays, names[stem]) for names in _SPLIT_NAMES[1:] for stem in ("img", "tag")):
        return _split_layout(path, dict.fromkeys(held, path))
    if stem.endswith(_ENDS["images"]) and not _first(arrays, (*_NAMES["texts"], *_NAMES["labels"])):
        return _separate(path)
    roles = [role for role in _NAMES if role != "labels" or _first(arrays, _NAMES[role])]
    part = {role: _pick(path, arrays, _NAMES[role], _SEVERAL[role]) for role in roles}
    names = {name: array for name in _COLUMNS if (array := _first(arrays, [name]))}
    read = [*part.values(), *names.values()]
    unread = tuple(name for name in arrays if arrays[name] not in read)
    return Layout("one file", path, [part], names=names, unread=unread)


def _separate(images: Path) -> Layout:
    """Files of one array each, that differ in how their names end."""
    folder = images.parent.parent if images.parent.name.lower() in FOLDERS else images.parent
    stem, named = images.stem.lower(), _by_stem(folder)
    end = max(filter(stem.endswith, _ENDS["images"]), key=len)
    prefix = stem.removesuffix(end)
    arrays = {"images": _only([images], _NAMES["images"])}
    for role in ("texts", "labels"):
        files = next((named[prefix + other] for other in _ENDS[role] if prefix + other in named), None)
        if files is None and role == "labels":
            continue
        if files is None:
            others = ("-yall",) if end.startswith("-") else ("yall", "texts")
            others = ("text_vectors", "captions") if end in _IMAGE_VECTORS else others
            expected = " or ".join(prefix + other + images.suffix for other in others)
            raise DataError(f"{images}: its texts not found, expected {expected} beside it")
        arrays[role] = _only(files, _NAMES[role])
    prefix += "-" * end.startswith("-")
    names = {name: _only(named[prefix + name], (name,)) for name in _COLUMNS if prefix + name in named}
    return Layout("separate files", folder, [arrays], names=names)


def array_of(file: Path, role: str) -> StoredArray:
    """The array of 'images' or 'texts' in a file: the one with a name of `_NAMES`, or the only one."""
    return _only([file], _NAMES[role])


def _only(files: list[Path], names: Sequence[str]) -> StoredArray:
    """The array of a file that should hold one: the array with a known name, or the only one."""
    file = _one(files)
    listed = list_arrays(file)
    return next(iter(listed.values())) if len(listed) == 1 else _pick(file, listed, names)


def _pick(
    file: Path, listed: Mapping[str, StoredArray], names: Sequence[str], others: str = ""
) -> StoredArray:
    found = _first(listed, names)
    if found is None:
        raise DataError(
            f"{file}: {names[0]} not found, the file holds {', '.join(listed) or 'no array'}; "
            f"expected an array {' or '.join(names[:2])}{others}"
        )
    return found


def _first(arrays: Mapping[str, StoredArray], names: Iterable[str]) -> StoredArray | None:
    """The first array of a known name, in upper or lower case, in a group or not."""
    by_name = [(path.split("/")[-1].lower(), array) for path, array in arrays.items()]
    return next((array for name in names for one, array in by_name if one == name.lower()), None)


def _by_stem(folder: Path, suffixes: tuple[str, ...] = ARRAY_SUFFIXES) -> dict[str, list[Path]]:
    """The files of arrays, also those in `FOLDERS`, by the name without its suffix, in lower case."""
    named: dict[str, list[Path]] = {}
    entries = _entries(folder)
    inner = [entry for entry in entries if entry.name.lower() in FOLDERS and entry.is_dir()]
    for entry in itertools.chain(entries, *map(_entries, inner)):
        if entry.suffix.lower() in suffixes and entry.is_file():
            named.setdefault(entry.stem.lower(), []).append(entry)
    return named


def _one(files: list[Path], what: str = "arrays", others: str = "") -> Path:
    if len(files) > 1:
        names = ", ".join(printable(file.name) for file in files[:5]) + (", ..." if len(files) > 5 else "")
        found = f"{printable(files[0].parent)}: found {len(files)} files of {what} ({names})"
        setting = "annotations" if what == "annotations" else "DATA_DIR"
        raise DataError(f"{found}, expected one{others}; the setting {setting} can name it")
    return files[0]


def _shown(entry: Path) -> str:
    """An entry of a folder, with its kind where that is not what its name says."""
    name = printable(entry.name)
    if entry.is_file() or entry.suffix.lower() not in (*ARRAY_SUFFIXES, *ANNOTATION_SUFFIXES, ".json"):
        return name
    kind = "a folder" if entry.is_dir() else "not a regular file" if entry.exists() else "a link to nothing"
    return f"{name} ({kind})"


def _entries(folder: Path) -> list[Path]:
    """The entries of a folder by name, without hidden ones."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{printable(folder)}: cannot be listed, {error.strerror}") from error
