"""Writing a data set as the field's own .mat files, with a manifest that says how they were made.

| layout   | files, for FLICKR       | arrays, in MATLAB's order of axes                                     |
|----------|-------------------------|-----------------------------------------------------------------------|
| one-file | FLICKR-25K.mat          | v7.3: images (H, W, 3, N), YAll (N, D), LAll (N, C)                   |
| separate | mirflickr25k-iall.mat   | v7.3: IAll (H, W, 3, N)                                               |
|          | mirflickr25k-yall.mat   | v5: YAll (N, D)                                                       |
|          | mirflickr25k-lall.mat   | v5: LAll (N, C)                                                       |
| index    | index.mat               | v5: index, N paths of pictures                                        |
|          | caption.mat             | v5: caption, a cell of N lists of texts, or a matrix (N, D) of words  |
|          | label.mat               | v5: category and label, both (N, C)                                   |
|          | pictures/000000.png ... | where the pictures have no files of their own                         |

Features (N, F) stand in place of pixels as XAll. Labels that the data set lacks are left out. Each layout has
a folder of its name, beside split.mat and manifest.json. The same input and versions give the same bytes.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image, features

import gch
from gch.data.catalog import choose_split
from gch.data.downloads.files import Files
from gch.data.matlab import new_mat73, new_pictures, write_mat5, write_mat73
from gch.data.names import canonical_dataset
from gch.data.pairs import Pairs, Split, subset
from gch.data.pictures import PictureFiles
from gch.data.reading import read_blocks
from gch.data.split import items_digest
from gch.data.split_file import export_split
from gch.data.vocabulary import build_vocabulary
from gch.errors import DataError, RunError, disk_errors
from gch.settings import Settings
from gch.storage import file_digest, require_place, unfinished_folder

LAYOUTS = ("one-file", "separate", "index")
MANIFEST = "manifest.json"
_FORMAT = "gch-field-files 1"
_NAMES = {  # of the one file, and how those of separate files begin
    "FLICKR": ("FLICKR-25K", "mirflickr25k"),
    "COCO": ("MS-COCO", "coco"),
}
_SETTINGS = (
    "image_size",
    "fit",
    "split",
    "seed",
    "vocabulary_size",
    "vocabulary_minimum",
    "ngrams",
    "stop_words",
)
_PACKAGES = ("numpy", "h5py", "scipy", "pillow", "tensorflow")


def write_field_files(
    pairs: Pairs,
    folder: Path,
    settings: Settings,
    layouts: Sequence[str] = LAYOUTS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Writes a data set in the field's layouts, into a new folder, which is there when all of it is written.

    Pictures that cannot be read are left out and named, or end it: see the setting `broken`. Words of raw
    texts are those of the vocabulary that training would use: of the training items of the split.

    Args:
      pairs: what is written.
      folder: new or empty.
      settings: of the split and of the vocabulary; they go into the manifest, which is returned.
      layouts: some of LAYOUTS.
      progress: called with the number of pictures done and of all.

    Raises:
      DataError: a picture is broken under 'stop', fewer than two are sound, or an array is too large.
      RunError: there is no room, or the folder holds something.
    """
    if pairs.pictures is None and "index" in layouts:
        layouts = [layout for layout in layouts if layout != "index"]
        if not layouts:
            raise DataError(f"{pairs.name}: has features in place of pixels; expected pictures for an index")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder}: not empty, expected a new folder")
    require_place(folder.parent)
    with disk_errors(folder), unfinished_folder(folder.parent) as place:
        _require_room(pairs, folder.parent, layouts)
        out = place / folder.name
        for layout in layouts:
            (out / layout).mkdir(parents=True)
        manifest = _write(pairs, out, settings, layouts, progress)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()  # Windows replaces no folder
        os.replace(out, folder)
    return manifest


def _write(
    pairs: Pairs, out: Path, settings: Settings, layouts: Sequence[str], progress: Callable[[int, int], None]
) -> dict[str, Any]:
    whole, separate = names_of(pairs.name)
    with contextlib.ExitStack() as stack:
        files = {
            layout: stack.enter_context(new_mat73(out / layout / name))
            for layout, name in (
                ("one-file", f"{whole}.mat"),
                ("separate", f"{separate}-{'iall' if pairs.pictures else 'xall'}.mat"),
            )
            if layout in layouts
        }
        rows, digests, broken = _write_images(pairs, files, out, layouts, settings.broken, progress)
        kept = subset(pairs, np.array(rows, np.int64), pairs.name, broken)
        split = choose_split(settings.replace(batch_size=1), kept)  # a batch that is no part of it
        texts, words = _texts(kept, split, settings)
        matrices = {"YAll": texts} | ({"LAll": kept.labels} if kept.labels.shape[1] else {})
        for array, matrix in matrices.items() if "one-file" in layouts else ():
            write_mat73(files["one-file"], array, matrix)
    for array, matrix in matrices.items() if "separate" in layouts else ():
        write_mat5(out / "separate" / f"{separate}-{array.lower()}.mat", {array: matrix})
    if "index" in layouts:
        _write_index(out / "index", pairs, kept, rows)
    export_split(out / "split.mat", split)
    manifest = _manifest(pairs, kept, split, settings, words, broken)
    manifest["files"] = {
        path.relative_to(out).as_posix(): {"bytes": path.stat().st_size, "sha256": file_digest(path)}
        for path in sorted(out.rglob("*.mat"))
    }
    of_files = isinstance(pairs.pictures, PictureFiles)
    manifest["sha256_of_rows"] = None if pairs.pictures is None else "picture files" if of_files else "pixels"
    names = kept.ids or map(_drawn, range(len(rows)))
    manifest["rows"] = [list(row) for row in zip(names, digests, strict=True)]
    _save(out / MANIFEST, manifest)
    return manifest


def names_of(name: str) -> tuple[str, str]:
    """The name of the one file of a data set without '.mat', and how the names of separate files begin."""
    known = canonical_dataset(name) or name
    return _NAMES.get(known, (known.upper(), known.lower()))


def _write_images(
    pairs: Pairs,
    files: dict[str, h5py.File],
    out: Path,
    layouts: Sequence[str],
    broken: str,
    progress: Callable[[int, int], None],
) -> tuple[list[int], list[str | None], list[str]]:
    """Writes pixels or features: the rows that were sound, a digest of each, and why others are left out."""
    total = len(pairs.labels)
    if pairs.pictures is None:
        assert pairs.features is not None
        for file in files.values():
            write_mat73(file, "XAll", pairs.features)
        return list(range(total)), [None] * total, []
    arrays = [
        new_pictures(file, "images" if layout == "one-file" else "IAll", total, pairs.pictures.size)
        for layout, file in files.items()
    ]
    drawn = out / "index" / "pictures"
    if "index" in layouts and not isinstance(pairs.pictures, PictureFiles):
        drawn.mkdir()
    rows: list[int] = []
    digests: list[str | None] = []
    left_out: list[str] = []

    def with_digest(picture: np.ndarray, content: bytes) -> tuple[np.ndarray, str]:
        return picture, hashlib.sha256(content).hexdigest()

    jobs = os.cpu_count() or 1
    for sound, faults in read_blocks(pairs.pictures, np.arange(total), with_digest, jobs, broken):
        if sound:
            numbers, made = zip(*sound, strict=True)
            pixels, own = zip(*made, strict=True)
            stored = np.stack(pixels).transpose(0, 3, 2, 1) if arrays else None
            for array in arrays:
                array[len(rows) : len(rows) + len(sound)] = stored
            if drawn.exists():
                for number, picture in enumerate(pixels, len(rows)):
                    Image.fromarray(picture).save(drawn / _drawn(number), compress_level=1)
            rows += numbers
            digests += own
        left_out += faults
        progress(len(rows) + len(left_out), total)
    for array in arrays:
        if len(rows) < total:
            array.resize(len(rows), axis=0)
    return rows, digests, left_out


def _texts(pairs: Pairs, split: Split, settings: Settings) -> tuple[np.ndarray, Sequence[str]]:
    """Words of each item, uint8 (N, D), and what the columns mean, as far as it is known."""
    if pairs.captions is None:
        return pairs.texts, pairs.tag_names
    vocabulary = build_vocabulary(pairs.captions, split.training, settings)
    return vocabulary.bags(pairs.captions), vocabulary.words


def _write_index(folder: Path, pairs: Pairs, kept: Pairs, rows: Sequence[int]) -> None:
    """The files of methods that read pictures and captions by themselves, such as those built on CLIP."""
    drawn = not isinstance(pairs.pictures, PictureFiles)
    paths = [f"pictures/{_drawn(row)}" for row in range(len(rows))] if drawn else kept.ids
    write_mat5(folder / "index.mat", {"index": np.array(paths)})
    write_mat5(folder / "caption.mat", {"caption": _captions(kept)})
    if kept.labels.shape[1]:
        write_mat5(folder / "label.mat", {"category": kept.labels, "label": kept.labels})


def _captions(pairs: Pairs) -> np.ndarray:
    """A cell (1, N) of the texts of each item; the matrix of words where these have no names."""
    if pairs.captions is not None:
        texts = [one.split("\n") if isinstance(one, str) else [" ".join(one)] for one in pairs.captions]
    elif pairs.tag_names:
        names = np.array(pairs.tag_names, object)
        texts = [[" ".join(names[np.flatnonzero(row)])] for row in pairs.texts]
    else:
        return pairs.texts
    cells = np.empty((1, len(texts)), object)
    for number, own in enumerate(texts):
        cells[0, number] = np.array(own)
    return cells


def _drawn(row: int) -> str:
    return f"{row:06}.png"


def _manifest(
    pairs: Pairs, kept: Pairs, split: Split, settings: Settings, words: Sequence[str], broken: Sequence[str]
) -> dict[str, Any]:
    origin, size = pairs.origin, pairs.pictures.size if pairs.pictures else None
    place = f"{origin.folder}{os.sep}" if origin else ""  # which is no part of the data set
    of_labels = np.count_nonzero(kept.labels, axis=0).tolist()
    names = kept.label_names or tuple(f"label {number}" for number in range(len(of_labels)))
    return {
        "format": _FORMAT,
        "name": pairs.name,
        "items": len(kept.labels),
        "size": size and list(size),
        "counts": dict(origin.counts) if origin else {},
        "rules": list(origin.rules) if origin else [],
        "sources": _sources(pairs),
        "left_out": {
            **({why: list(ids) for why, ids in origin.left_out.items()} if origin else {}),
            "unreadable": [line.replace(place, "") for line in broken],
        },
        "settings": {name: getattr(settings, name) for name in _SETTINGS},
        "split": {"digest": split.digest, **split.sizes._asdict()},
        "items_digest": kept.ids and items_digest(kept.ids),
        "words": list(words),
        "items_by_label": dict(zip(names, of_labels, strict=True)),
        "versions": _versions(),
    }


def _sources(pairs: Pairs) -> dict[str, dict[str, Any]]:
    """Bytes and SHA-256 of each file that the data set was read from, but for files of pictures."""
    if pairs.origin is None or not pairs.origin.sources:
        return {}
    files, found = Files(pairs.origin.folder), {}
    for name in pairs.origin.sources:
        with files.opened(name) as file:
            state = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
        found[name] = {"bytes": files.state(name)[0], "sha256": state.hexdigest()}
    return found


def _versions() -> dict[str, str]:
    """Of what the bytes depend on."""
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    jpeg, zlib = (features.version(name) or "" for name in ("libjpeg_turbo", "zlib"))
    libraries = {"hdf5": h5py.version.hdf5_version, "jpeg": jpeg, "zlib": zlib}
    return {"gch": gch.__version__, "python": platform.python_version(), **packages, **libraries}


def _save(path: Path, manifest: dict[str, Any]) -> None:
    """JSON with a line for each row, so that `diff` tells which differ."""
    rows = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in manifest["rows"])
    head = json.dumps({**manifest, "rows": []}, indent=1, ensure_ascii=False)
    assert head.endswith('"rows": []\n}')
    path.write_text(
        f"{head[:-3]}\n{rows}\n ]\n}}\n", encoding="utf-8", errors="backslashreplace", newline="\n"
    )


def _require_room(pairs: Pairs, parent: Path, layouts: Sequence[str]) -> None:
    """Raises RunError where the disk has less room than the arrays of images take."""
    if pairs.pictures is not None:
        item = 3 * math.prod(pairs.pictures.size)
    else:
        item = 0 if pairs.features is None else 4 * pairs.features.shape[1]
    arrays = sum(layout != "index" for layout in layouts)
    need, free = arrays * item * len(pairs.labels), shutil.disk_usage(parent).free
    if need > free:
        raise RunError(
            f"{parent}: {free / 2**30:.1f} GiB of room, expected {need / 2**30:.1f} for the images of "
            f"{', '.join(layouts)}; --layout writes one of them"
        )
