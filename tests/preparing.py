"""Small data sets to prepare, and what is in a folder."""

import dataclasses
from pathlib import Path

import numpy as np
from written import write_hdf5

from gch.data.generated import generate
from gch.data.pairs import Pairs, Split
from gch.data.pixels import ArrayPictures
from gch.data.prepare import prepare
from gch.errors import DataError

ITEMS, SIDE = 50, 16
SOURCE = generate(items=ITEMS, image_size=SIDE)
FLICKR = generate(items=ITEMS, image_size=32, labels=3, words=9)


def changed(**fields) -> Pairs:
    return dataclasses.replace(SOURCE, **fields)


def described() -> Pairs:
    """With all that a data set may have."""
    return changed(
        captions=tuple(("tag", f"number {row}") if row % 2 else f"Bücher {row}" for row in range(ITEMS)),
        ids=tuple(f"folder/{row}.png" for row in range(ITEMS)),
        own_split=Split(np.arange(10), np.arange(10, ITEMS), np.arange(20, 30), np.arange(15, 20)),
    )


def write(folder: Path, pairs: Pairs = SOURCE, **options) -> Path:
    prepare(pairs, folder, **{"encoding": "raw", **options})
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != ".lock"}


def dates(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


class Watched(ArrayPictures):
    """Remembers what is read together, and fails where a broken row is read."""

    def __init__(self, array: np.ndarray, block: int = 1, broken: int = -1):
        super().__init__(array, block)
        self.reads: list[np.ndarray] = []
        self.broken = broken

    def read(self, rows):
        self.reads.append(np.array(rows))
        if self.broken in rows:
            raise DataError(f'photos.mat: images: row {self.broken} unreadable (it\'s "broken")')
        return super().read(rows)


def watched(block: int = 1, broken: int = -1, pairs: Pairs = SOURCE) -> Pairs:
    return dataclasses.replace(pairs, pictures=Watched(pairs.pictures.array, block, broken))


def flickr(folder: Path) -> Path:
    folder.mkdir()
    pixels = FLICKR.pictures.array.transpose(0, 3, 1, 2)
    write_hdf5(folder / "FLICKR-25K.mat", images=pixels, YAll=FLICKR.texts.T, LAll=FLICKR.labels.T)
    return folder
