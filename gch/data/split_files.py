"""Split files: Img.h5, Tag.h5 and Lab.h5, each with a training, a database and a query part.

The training part of the files that go round repeats items of the database. Those are found again by their
content, so that every item exists once; training items that the database lacks are kept outside of it.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gch.array_files import StoredArray
from gch.data.benchmark_files import content_digest
from gch.data.image_features import open_features
from gch.data.layouts import Layout
from gch.data.matrices import common_items, item_matrix, require_more_words_than_labels
from gch.data.pairs import OwnSplit, Pairs, Pictures, SplitSizes
from gch.data.picture_files import PictureFiles, tail_in_folder
from gch.data.pixels import open_pixels, pixel_layout
from gch.errors import DataError
from gch.storage import digest

_ORDER = ("retrieval", "query", "training")
_VALIDATION_SHARE = 20  # one in so many training items validates, as the files make no such part


def open_split_files(layout: Layout, name: str, axes: str, size: int, fit: str, cache: Path) -> Pairs:
    """Opens split files.

    Args:
      layout: 'split files'.
      name: of the data set, in file names.
      axes: 'auto', 'WH' or 'HW', see `gch.data.pixels`.
      size: height and width that pictures are brought to, where the images are paths.
      fit: 'crop' or 'letterbox', likewise.
      cache: folder for what must be copied to be read piece by piece.

    Returns:
      Pairs in the order database, query, further training items, with `own_split`.

    Raises:
      DataError: lengths differ, or an array is damaged or not what its layout promises.
    """
    images = {part: layout.arrays["images", part] for part in _ORDER}
    lengths = {part: _items(layout, part, axes) for part in _ORDER}
    for part in _ORDER:
        texts, labels = (layout.arrays[role, part] for role in ("texts", "labels"))
        require_more_words_than_labels(texts, labels, lengths[part])
    words = [_matrix(layout, "texts", part, lengths[part]) for part in _ORDER]
    hot = [_matrix(layout, "labels", part, lengths[part]) for part in _ORDER]
    for role, parts in (("texts", words), ("labels", hot)):
        widths = {part: matrix.shape[1] for part, matrix in zip(_ORDER, parts, strict=True)}
        if len(set(widths.values())) > 1:
            path = layout.arrays[role, "training"].path
            raise DataError(f"{path}: columns of the parts are {widths}, expected as many in each")

    folder = layout.path if layout.path.is_dir() else layout.path.parent
    joined = _open_images(folder, images, lengths, axes, cache)
    texts, labels = np.concatenate(words), np.concatenate(hot)
    retrieval, query, training = (
        np.arange(end - lengths[part], end)
        for part, end in zip(_ORDER, np.cumsum([lengths[part] for part in _ORDER]), strict=True)
    )
    again = _found_again(texts, labels, joined, retrieval, training)
    kept = np.concatenate([retrieval, query, training[again < 0]])
    trained = np.where(again >= 0, again, len(retrieval) + len(query) + np.cumsum(again < 0) - 1)
    paths, features, pictures = joined
    if len(kept) < len(texts):
        texts, labels = texts[kept], labels[kept]
        if features is not None:
            features = features[: len(kept)] if (again >= 0).all() else features[kept]
    own_split = OwnSplit(query, retrieval, np.unique(trained))
    if paths is not None:
        paths = [paths[row] for row in kept]
        pictures = PictureFiles(folder, paths, size, fit)
        named = digest(name, labels, texts, pictures.digest, *own_split)
    else:
        pictures = None if pictures is None else pictures.only(kept)
        named = content_digest(name, labels, texts, pictures, features)
    validation = len(trained) // _VALIDATION_SHARE
    return Pairs(
        name=name,
        texts=texts,
        labels=labels,
        default_sizes=SplitSizes(len(query), len(retrieval), len(trained) - validation, validation),
        digest=named,
        pictures=pictures,
        features=features,
        ids=paths,
        own_split=own_split,
        found=(
            *(str(array) for array in layout.arrays.values()),
            f"{int((again >= 0).sum())} of {len(training)} training items are found again in the database",
        ),
    )


class JoinedPictures:
    """Implements `gch.data.pairs.Pictures` on parts, of which some rows are kept.

    Args:
      parts: of one size, each with the number of its pictures.
      kept: int64 (n,), row numbers in the joined parts; None for all.
    """

    def __init__(self, parts: Sequence[tuple[Pictures, int]], kept: np.ndarray | None = None):
        self.size = tuple(parts[0][0].size)
        self.block = min(part.block for part, _ in parts)
        self._parts = parts
        self._starts = np.cumsum([0, *(count for _, count in parts)])
        self._kept = np.arange(self._starts[-1]) if kept is None else kept

    def only(self, kept: np.ndarray) -> "JoinedPictures":
        """The same parts with other rows kept."""
        return JoinedPictures(self._parts, kept)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Reads pictures; see `gch.data.pairs.Pictures`."""
        joined = self._kept[np.asarray(rows, np.int64)]
        part_of = np.searchsorted(self._starts, joined, side="right") - 1
        pictures = np.empty((len(joined), *self.size, 3), np.uint8)
        for number in np.unique(part_of):
            places = np.flatnonzero(part_of == number)
            pictures[places] = self._parts[number][0].read(joined[places] - self._starts[number])
        return pictures


def _items(layout: Layout, part: str, axes: str) -> int:
    images = layout.arrays["images", part]
    matrices = {role: layout.arrays[role, part] for role in ("texts", "labels")}
    if images.dtype is None:
        return common_items(matrices, len(images.strings()))
    if len(images.shape) == 2:
        return common_items({"images": images, **matrices})
    return common_items(matrices, pixel_layout(images, axes).items)


def _matrix(layout: Layout, role: str, part: str, items: int) -> np.ndarray:
    return item_matrix(layout.arrays[role, part], items, counts=role == "texts")


class _Images(NamedTuple):
    """The images of all parts joined: one of the three."""

    paths: list[str] | None
    features: np.ndarray | None
    pictures: JoinedPictures | None

    def keys(self, rows: np.ndarray) -> dict[int, bytes]:
        """What tells the images of `rows` apart: their path, or a digest of pixels or features."""
        if self.paths is not None:
            return {int(row): self.paths[row].encode() for row in rows}
        found = {}
        for start in range(0, len(rows), 64):
            some = rows[start : start + 64]
            images = self.features[some] if self.pictures is None else self.pictures.read(some)
            for row, image in zip(some, images, strict=True):
                found[int(row)] = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        return found


def _open_images(
    folder: Path, images: dict[str, StoredArray], lengths: dict[str, int], axes: str, cache: Path
) -> _Images:
    if any(array.dtype is None for array in images.values()):
        paths = [path for part in _ORDER for path in images[part].strings()]
        return _Images(tail_in_folder(folder, paths), None, None)
    if all(len(array.shape) == 2 for array in images.values()):
        return _Images(None, open_features([(images[part], lengths[part]) for part in _ORDER], cache), None)
    layouts = {part: pixel_layout(images[part], axes) for part in _ORDER}
    first = layouts[_ORDER[0]]
    for part, found in layouts.items():
        if (found.height, found.width) != (first.height, first.width):
            raise DataError(
                f"{images[part].path}: {images[part].name} has pictures of {found.height} x {found.width}, "
                f"expected {first.height} x {first.width} as in {images[_ORDER[0]].name}"
            )
    parts = [(open_pixels(images[part], layouts[part]), lengths[part]) for part in _ORDER]
    return _Images(None, None, JoinedPictures(parts))


def _found_again(
    texts: np.ndarray,
    labels: np.ndarray,
    images: _Images,
    retrieval: np.ndarray,
    training: np.ndarray,
) -> np.ndarray:
    """For each training item the row of the database with the same words, labels and picture, or -1."""

    def described(row: int) -> bytes:
        return hashlib.blake2b(texts[row].tobytes() + labels[row].tobytes(), digest_size=16).digest()

    wanted = {described(row) for row in training}
    rows = [row for row in retrieval if described(row) in wanted]
    seen = images.keys(np.concatenate([rows, training]).astype(np.int64))
    of_database: dict[tuple[bytes, bytes], list[int]] = {}
    for row in reversed(rows):
        of_database.setdefault((described(row), seen[row]), []).append(row)
    again = np.full(len(training), -1, np.int64)
    for place, row in enumerate(training):
        same = of_database.get((described(row), seen[row]))
        if same:
            again[place] = same.pop()
    return again
