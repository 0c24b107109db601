"""Pairs whose images, texts and labels lie in files of arrays.

Images are pixels, features, or paths of picture files. Texts are bags of words; index files may have captions
instead, which await a vocabulary. Split files hold a database, a query and a training part. Usually the
training part repeats items of the database: they are found again by their content, so that every item exists
once. Training items that the database lacks are kept outside of it.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gch.array_files import StoredArray
from gch.data.image_features import open_features
from gch.data.layouts import Layout
from gch.data.matrices import common_items, item_matrix, require_more_words_than_labels
from gch.data.pairs import OwnSplit, Pairs, Pictures, SplitSizes
from gch.data.pictures import PictureFiles, tail_in_folder
from gch.data.pixels import PixelLayout, open_pixels, pixel_layout
from gch.data.split import default_sizes
from gch.data.text_files import text_lines
from gch.errors import DataError
from gch.storage import digest

_DIGESTED_IMAGES = 64
_VALIDATION_SHARE = 20  # one in so many training items of split files validates: they make no such part
_MAX_CAPTION_BYTES = 2**31


def open_arrays(
    layout: Layout, name: str, dataset: str, axes: str, size: int, fit: str, cache: Path
) -> Pairs:
    """Opens files of arrays; of pixels it reads no more than tells items apart.

    Args:
      layout: any of files of arrays.
      name: of the data set, in file names.
      dataset: as in the setting dataset_dir, for its split.
      axes: 'auto', 'WH' or 'HW', see `gch.data.pixels`.
      size: height and width that picture files are brought to.
      fit: 'crop' or 'letterbox', likewise.
      cache: folder for what must be copied to be read piece by piece.

    Returns:
      N pairs; those of split files in the order database, query, further training items, with `own_split`.

    Raises:
      DataError: lengths differ, pictures are not there, or an array is damaged or not what it should be.
    """
    folder = layout.path if layout.path.is_dir() else layout.path.parent
    captions = _captions(layout)
    roles = ("labels",) if captions is not None else ("texts", "labels")
    parts = [_measured(arrays, roles, layout.kind == "index files", axes) for arrays in layout.parts]
    found = [line for part in parts for line in part.found]
    labels = _matrix(parts, "labels")
    if captions is None:
        texts = _matrix(parts, "texts")
    else:
        source = layout.captions or layout.parts[0]["texts"].path
        texts = np.zeros((len(labels), 0), np.uint8)
        found.append(f"{source.name}: {len(captions)} captions, free text")
        if len(captions) != len(labels):
            raise DataError(
                f"{source}: {len(captions)} captions, expected {len(labels)}, as many as index.mat has paths"
            )
    images = _open_images(parts, folder, cache)
    sizes, own_split = default_sizes(dataset, len(labels)), None
    if layout.kind == "split files":
        lengths = [part.items for part in parts]
        kept, own_split = _without_repeats(texts, labels, images, lengths)
        found.append(
            f"{len(labels) - len(kept)} of {lengths[2]} training items are found again in the database"
        )
        if len(kept) < len(labels):
            texts, labels, images = texts[kept], labels[kept], images.only(kept)
        validation = lengths[2] // _VALIDATION_SHARE
        sizes = SplitSizes(lengths[1], lengths[0], lengths[2] - validation, validation)
    pictures = images.pictures
    if images.paths is not None:
        pictures = PictureFiles(folder, images.paths, size, fit)
        rest = (pictures.digest, *own_split) if own_split else (repr(captions), pictures.digest)
        named = digest(name, labels, texts, *rest)
    else:
        named = _content_digest(name, labels, texts, images)
    return Pairs(
        name=name,
        texts=texts,
        labels=labels,
        default_sizes=sizes,
        digest=named,
        pictures=pictures,
        features=images.features,
        captions=captions,
        ids=images.paths,
        own_split=own_split,
        found=tuple(found),
    )


class JoinedPictures:
    """Implements `gch.data.pairs.Pictures` on parts, of which some rows are kept.

    Args:
      parts: of one size, each with the number of its pictures.
      kept: int64 (n,), row numbers in the joined parts; None for all.
    """

    def __init__(self, parts: Sequence[tuple[Pictures, int]], kept: np.ndarray | None = None):
        self.size = parts[0][0].size
        self.block = min(part.block for part, _ in parts)
        self.parts = parts
        self._starts = np.cumsum([0, *(count for _, count in parts)])
        self._kept = np.arange(self._starts[-1]) if kept is None else kept

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Reads pictures; see `gch.data.pairs.Pictures`."""
        joined = self._kept[np.asarray(rows, np.int64)]
        part_of = np.searchsorted(self._starts, joined, side="right") - 1
        pictures = np.empty((len(joined), *self.size, 3), np.uint8)
        for number in np.unique(part_of):
            places = np.flatnonzero(part_of == number)
            pictures[places] = self.parts[number][0].read(joined[places] - self._starts[number])
        return pictures


@dataclasses.dataclass(frozen=True)
class _Part:
    """One part's arrays by role, and how its images are stored: as paths, pixels, or else features."""

    arrays: Mapping[str, StoredArray]
    items: int
    paths: Sequence[str] | None = None
    pixels: PixelLayout | None = None

    @property
    def found(self) -> list[str]:
        """What was found, a line for each array of numbers or paths."""
        what = f"pixels, axes {self.pixels.axes}" if self.pixels else "features"
        if self.paths is not None:
            what = f"{len(self.paths)} paths, such as {self.paths[0]}" if self.paths else "no path"
        shown = {"images": what, "texts": "words", "labels": "labels"}
        return [
            f"{array}: {shown[role]}"
            for role, array in self.arrays.items()
            if role == "images" or array.dtype
        ]


@dataclasses.dataclass(frozen=True)
class _Images:
    """The images of all parts, one after the other, in one of three forms."""

    pictures: Pictures | None = None
    features: np.ndarray | None = None
    paths: Sequence[str] | None = None

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Pixels or features of these rows."""
        if self.pictures is not None:
            return self.pictures.read(rows)
        assert self.features is not None
        return np.asarray(self.features[rows])

    def only(self, kept: np.ndarray) -> "_Images":
        """The images of these rows."""
        if self.paths is not None:
            return _Images(paths=[self.paths[row] for row in kept])
        if self.features is not None:
            whole = kept[-1] == len(kept) - 1  # a slice leaves them on disk
            return _Images(features=self.features[: len(kept)] if whole else self.features[kept])
        assert isinstance(self.pictures, JoinedPictures)  # only split files have parts
        return _Images(pictures=JoinedPictures(self.pictures.parts, kept))

    def keys(self, rows: np.ndarray) -> dict[int, bytes]:
        """What tells the images of `rows` apart: their path, or a digest of pixels or features."""
        if self.paths is not None:
            return {int(row): self.paths[row].encode() for row in rows}
        found: dict[int, bytes] = {}
        for start in range(0, len(rows), 64):
            some = rows[start : start + 64]
            found |= {int(row): _short_digest(one) for row, one in zip(some, self.read(some), strict=True)}
        return found


def _captions(layout: Layout) -> list[str] | None:
    """The captions of index files; None where the texts are a matrix."""
    if layout.captions is not None:
        lines = text_lines(layout.captions, "expected one caption a line", _MAX_CAPTION_BYTES)
        return [line.rstrip("\r\n") for _, line in lines]
    texts = layout.parts[0]["texts"]
    return texts.strings() if layout.kind == "index files" and texts.dtype is None else None


def _measured(arrays: Mapping[str, StoredArray], roles: Sequence[str], of_paths: bool, axes: str) -> _Part:
    images, matrices = arrays["images"], {role: arrays[role] for role in roles}
    paths = pixels = None
    if of_paths or images.dtype is None:
        paths = images.strings()
        items = common_items(matrices, len(paths))
    elif len(images.shape) == 2:
        items = common_items({"images": images, **matrices})
    else:
        pixels = pixel_layout(images, axes)
        items = common_items(matrices, pixels.items)
    if "texts" in matrices:
        require_more_words_than_labels(matrices["texts"], matrices["labels"], items)
    return _Part(arrays, items, paths, pixels)


def _matrix(parts: Sequence[_Part], role: str) -> np.ndarray:
    matrices = [item_matrix(part.arrays[role], part.items, counts=role == "texts") for part in parts]
    for part, matrix in zip(parts, matrices, strict=True):
        if matrix.shape[1] != matrices[0].shape[1]:
            array = part.arrays[role]
            raise DataError(
                f"{array.path}: {array.name} has {matrix.shape[1]} columns, expected {matrices[0].shape[1]} "
                f"as in {parts[0].arrays[role].name}"
            )
    return matrices[0] if len(parts) == 1 else np.concatenate(matrices)


def _open_images(parts: Sequence[_Part], folder: Path, cache: Path) -> _Images:
    first, images = parts[0], [part.arrays["images"] for part in parts]
    for part, image in zip(parts, images, strict=True):
        if (part.paths is None, part.pixels is None) != (first.paths is None, first.pixels is None):
            raise DataError(f"{image.path}: {image} differs in kind from {images[0]}, expected one kind")
        size, expected = (
            f"{one.pixels.height} x {one.pixels.width}" if one.pixels else "" for one in (part, first)
        )
        if size != expected:
            raise DataError(
                f"{image.path}: {image.name} has pictures of {size}, expected {expected} as in "
                f"{images[0].name}"
            )
    if first.paths is not None:
        return _Images(paths=tail_in_folder(folder, [path for part in parts for path in part.paths or ()]))
    if first.pixels is None:
        return _Images(features=open_features([(part.arrays["images"], part.items) for part in parts], cache))
    opened = [
        (open_pixels(image, part.pixels), part.items)
        for part, image in zip(parts, images, strict=True)
        if part.pixels
    ]
    return _Images(pictures=opened[0][0] if len(opened) == 1 else JoinedPictures(opened))


def _without_repeats(
    texts: np.ndarray, labels: np.ndarray, images: _Images, lengths: Sequence[int]
) -> tuple[np.ndarray, OwnSplit]:
    """The rows that are no repeats of others, and the split in numbers of those.

    A training item repeats the item of the database that has the same words, labels and picture; of several,
    each is repeated once.
    """
    retrieval, query, training = np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])
    described = {
        int(row): _short_digest(texts[row], labels[row]) for row in np.concatenate([retrieval, training])
    }
    wanted = {described[row] for row in training.tolist()}
    rows = [row for row in retrieval.tolist() if described[row] in wanted]
    seen = images.keys(np.array([*rows, *training], np.int64))
    of_database: dict[tuple[bytes, bytes], list[int]] = {}
    for row in reversed(rows):
        of_database.setdefault((described[row], seen[row]), []).append(row)
    repeated = np.full(len(training), -1, np.int64)
    for place, row in enumerate(training.tolist()):
        if same := of_database.get((described[row], seen[row])):
            repeated[place] = same.pop()
    kept = np.concatenate([retrieval, query, training[repeated < 0]])
    trained = np.where(repeated >= 0, repeated, training[0] - 1 + np.cumsum(repeated < 0))
    return kept, OwnSplit(query, retrieval, np.unique(trained))


def _content_digest(name: str, labels: np.ndarray, texts: np.ndarray, images: _Images) -> str:
    """Names labels, texts, and 64 of the images (or of their features), spread evenly."""
    total = len(labels)
    rows = np.unique(np.linspace(0, total - 1, _DIGESTED_IMAGES).round().astype(np.int64))
    read = images.read(rows)
    shape = (total, *images.pictures.size) if images.pictures else (total, *read.shape[1:])
    return digest(name, labels, texts, repr(shape), read)


def _short_digest(*arrays: np.ndarray) -> bytes:
    return hashlib.blake2b(b"".join(array.tobytes() for array in arrays), digest_size=16).digest()
