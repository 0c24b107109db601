"""Pictures in files of their own, of any size and mode."""

import concurrent.futures
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gch.data.pictures import read_picture
from gch.errors import DataError
from gch.storage import digest


class PictureFiles:
    """Implements `gch.data.pairs.Pictures` on files, which are decoded whenever they are read.

    Args:
      folder: what the paths are relative to.
      paths: N paths.
      size: height and width that pictures are brought to.
      fit: 'crop' or 'letterbox', see `gch.data.pictures`.
    """

    block = 1

    def __init__(self, folder: Path, paths: Sequence[str], size: int, fit: str):
        self.size = (size, size)
        self.folder, self.paths, self.fit = folder, paths, fit

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Decodes pictures side by side; see `gch.data.pairs.Pictures`."""
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = list(pool.map(self.decode, np.asarray(rows).tolist()))
        return np.stack(decoded) if decoded else np.empty((0, *self.size, 3), np.uint8)

    @property
    def digest(self) -> str:
        """Changes with a path, with the size or date of a file, and with what becomes of the pictures."""
        state = [(path, *_stamp(self.folder / path)) for path in self.paths]
        return digest("picture files 3", repr(state), self.size[0], self.fit)

    def decode(self, row: int) -> np.ndarray:
        """The picture of one row, uint8 (H, W, 3); raises DataError, which names its file."""
        return read_picture(self.folder / self.paths[row], self.size[0], self.fit)


def tail_in_folder(folder: Path, paths: Sequence[str]) -> list[str]:
    """Paths as another machine wrote them, made relative to `folder` by leaving out leading parts.

    As many parts are left out of every path as the first one that can be found needs.

    Raises:
      DataError: a path has a part '..', none is found in the folder, or one is too short.
    """
    parts = [[part for part in path.replace("\\", "/").split("/") if part not in ("", ".")] for path in paths]
    for path, one in zip(paths, parts, strict=True):
        if ".." in one or not one or "\0" in path:
            raise DataError(f"{folder}: path {path!r}, expected one that stays in the folder")
    for sample in parts[:100]:
        for left_out in range(len(sample)):
            if os.path.isfile(folder / "/".join(sample[left_out:])):  # False where a name is too long
                short = next(
                    (path for path, one in zip(paths, parts, strict=True) if len(one) <= left_out), None
                )
                if short is not None:
                    raise DataError(f"{folder}: path {short!r}, expected {left_out} folders before the file")
                return ["/".join(one[left_out:]) for one in parts]
    raise DataError(
        f"{folder}: {paths[0]!r} not found in it, nor any of the paths after; expected the pictures there"
    )


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (-1, -1)
    return (status.st_size, status.st_mtime_ns)
