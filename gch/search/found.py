"""What an index answers, of whatever kind it is."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from gch.errors import DataError


class Found(NamedTuple):
    """Attributes:
    rows: int64 (Q, count), of the items found by each query, nearest first; -1 where fewer are found.
    distances: int32 (Q, count), numbers of bits that differ; -1 where fewer are found.
    """

    rows: np.ndarray
    distances: np.ndarray


def in_order(found: Found) -> Found:
    """Results in the order of distance, then row; -1 where there are fewer, at the end."""
    missing = found.rows < 0
    distances = np.where(missing, np.iinfo(np.int32).max, found.distances)
    order = np.lexsort((found.rows, distances), axis=-1)
    rows = np.take_along_axis(found.rows, order, axis=-1)
    distances = np.take_along_axis(distances, order, axis=-1)
    return Found(np.where(rows < 0, -1, rows), np.where(rows < 0, -1, distances))


def picture_inside(root: str, identity: str) -> Path:
    """The absolute path of a picture.

    Args:
      root: the folder of pictures.
      identity: path in it.

    Raises:
      DataError: it lies elsewhere, as '../x', an absolute path or a link out of the folder would.
    """
    folder = Path(root).resolve()
    try:
        path = (folder / identity).resolve()
    except (OSError, ValueError) as error:  # a loop of links, a zero byte
        raise DataError(f"{identity}: no path of a picture, {error}; expected one inside {root}") from error
    if not path.is_relative_to(folder):
        raise DataError(f"{identity}: lies outside {root}; expected a picture inside it")
    return path
