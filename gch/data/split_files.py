"""Split files: Img.h5, Tag.h5 and Lab.h5, each with a training, a database and a query part.

The training part of the files that go round repeats items of the database. Those are found again by their
content, so that every item exists once; training items that the database lacks are kept outside of it.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gch.array_files import StoredArray
from gch.data.benchmark_files import content_digest
from gch.data.image_features import open_features
from gch.data.layouts import Layout
from gch.data.matrices import common_items, item_matrix
from gch.data.pairs import OwnSplit, Pairs, Pictures, SplitSizes
from gch.data.picture_files import PictureFiles, tail_in_folder
from gch.data.pixels import open_pixels, pixel_layout
from gch.errors import DataError
from gch.storage import atomic_path, digest

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
    words = [_matrix(layout, "texts", part, lengths[part]) for part in _ORDER]
    hot = [_matrix(layout, "labels", part, lengths[part]) for part in _ORDER]
    for role, parts in (("texts", words), ("labels", hot)):
        widths = {part: matrix.shape[1] for part, matrix in zip(_ORDER, parts, strict=True)}
        if len(set(widths.values())) > 1:
            path = layout.arrays[role, "training"].path
            raise DataError(f"{path}: columns of the parts are {widths}, expected as many in each")

    pictures, features = _images(layout, images, lengths, axes, size, fit, cache)
    texts, labels = np.concatenate(words), np.concatenate(hot)
    retrieval, query, training = (
        np.arange(end - lengths[part], end)
        for part, end in zip(_ORDER, np.cumsum([lengths[part] for part in _ORDER]), strict=True)
    )
    again = _found_again(texts, labels, pictures, features, retrieval, training)
    kept = np.concatenate([retrieval, query, training[again < 0]])
    trained = np.where(again >= 0, again, len(retrieval) + len(query) + np.cumsum(again < 0) - 1)
    if len(kept) < len(texts):
        texts, labels = texts[kept], labels[kept]
        features = (
            None if features is None else features[: len(kept)] if (again >= 0).all() else features[kept]
        )
    if pictures is not None:
        pictures = JoinedPictures(pictures, kept)
    validation = len(trained) // _VALIDATION_SHARE
    return Pairs(
        name=name,
        texts=texts,
        labels=labels,
        default_sizes=SplitSizes(len(query), len(retrieval), len(trained) - validation, validation),
        digest=pictures.digest(name, labels, texts)
        if pictures is not None
        else content_digest(name, labels, texts, None, features),
        pictures=pictures,
        features=features,
        own_split=OwnSplit(query, retrieval, np.unique(trained)),
        found=(
            *(str(array) for array in layout.arrays.values()),
            f"{int((again >= 0).sum())} of {len(training)} training items are found again in the database",
        ),
    )


class JoinedPictures:
    """Implements `gch.data.pairs.Pictures` on parts, of which some rows are kept.

    Args:
      parts: each with the number of its pictures.
      kept: int64 (n,), row numbers in the joined parts.
    """

    def __init__(self, parts: Sequence[tuple[Pictures, int]], kept: np.ndarray):
        sizes = {tuple(part.size) for part, _ in parts}
        if len(sizes) > 1:
            raise DataError(f"images: found parts of sizes {sorted(sizes)}, expected one size")
        (self.size,) = sizes
        self.block = min(part.block for part, _ in parts)
        self._parts = [part for part, _ in parts]
        self._starts = np.cumsum([0, *(count for _, count in parts)])
        self._kept = kept

    @property
    def files(self) -> list[PictureFiles]:
        """The parts that are files of their own."""
        return [part for part in self._parts if isinstance(part, PictureFiles)]

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Reads pictures; see `gch.data.pairs.Pictures`."""
        joined = self._kept[np.asarray(rows, np.int64)]
        part_of = np.searchsorted(self._starts, joined, side="right") - 1
        pictures = np.empty((len(joined), *self.size, 3), np.uint8)
        for number in np.unique(part_of):
            places = np.flatnonzero(part_of == number)
            pictures[places] = self._parts[number].read(joined[places] - self._starts[number])
        return pictures

    def digest(self, name: str, labels: np.ndarray, texts: np.ndarray) -> str:
        """Names the content: by the files' names and dates where pictures are files."""
        if self.files:
            return digest(name, labels, texts, *(part.digest for part in self.files))
        return content_digest(name, labels, texts, self, None)


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


def _images(
    layout: Layout,
    images: dict[str, StoredArray],
    lengths: dict[str, int],
    axes: str,
    size: int,
    fit: str,
    cache: Path,
) -> tuple[list[tuple[Pictures, int]] | None, np.ndarray | None]:
    """The parts' pictures with their numbers, or their joined features."""
    if any(array.dtype is None for array in images.values()):
        folder = layout.path if layout.path.is_dir() else layout.path.parent
        paths = [path for part in _ORDER for path in images[part].strings()]
        here = tail_in_folder(folder, paths)
        return [(PictureFiles(folder, here, size, fit), len(here))], None
    if all(len(array.shape) == 2 for array in images.values()):
        parts = [open_features(images[part], lengths[part], cache) for part in _ORDER]
        path = cache / f"image-features-{digest(*(repr(p.shape) + repr(p[0]) for p in parts))[:16]}.npy"
        with atomic_path(path) as temporary:
            shape = (sum(map(len, parts)), parts[0].shape[1])
            joined = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
            np.concatenate(parts, out=joined)
            joined.flush()
        return None, np.load(path, mmap_mode="r", allow_pickle=False)
    return [(open_pixels(images[p], pixel_layout(images[p], axes)), lengths[p]) for p in _ORDER], None


def _found_again(
    texts: np.ndarray,
    labels: np.ndarray,
    pictures: list[tuple[Pictures, int]] | None,
    features: np.ndarray | None,
    retrieval: np.ndarray,
    training: np.ndarray,
) -> np.ndarray:
    """For each training item the row of the database with the same words, labels and picture, or -1."""

    def described(row: int) -> bytes:
        return hashlib.blake2b(texts[row].tobytes() + labels[row].tobytes(), digest_size=16).digest()

    wanted = {described(row) for row in training}
    rows = [row for row in retrieval if described(row) in wanted]
    seen = _seen(pictures, features, np.concatenate([rows, training]).astype(np.int64))
    of_database: dict[tuple[bytes, bytes], list[int]] = {}
    for row in reversed(rows):
        of_database.setdefault((described(row), seen[row]), []).append(row)
    again = np.full(len(training), -1, np.int64)
    for place, row in enumerate(training):
        same = of_database.get((described(row), seen[row]))
        if same:
            again[place] = same.pop()
    return again


def _seen(pictures, features: np.ndarray | None, rows: np.ndarray) -> dict[int, bytes]:
    """What tells the pictures of `rows` apart: their path, or a digest of pixels or features."""
    if features is not None:
        return {int(row): features[row].tobytes() for row in rows}
    if len(pictures) == 1:
        return {int(row): pictures[0][0].paths[row].encode() for row in rows}
    joined = JoinedPictures(pictures, np.arange(sum(count for _, count in pictures)))
    found = {}
    for start in range(0, len(rows), 64):
        for row, picture in zip(rows[start : start + 64], joined.read(rows[start : start + 64]), strict=True):
            found[int(row)] = hashlib.blake2b(picture.tobytes(), digest_size=16).digest()
    return found
