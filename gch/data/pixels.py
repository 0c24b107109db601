"""Pixels from arrays in files: which axis is which, and reading them block by block.

As h5py shows them, MATLAB's arrays are (N, 3, W, H), from (H, W, 3, N); those of Python (N, H, W, 3) or
(N, 3, H, W). Shapes tell the axis of the channels and that of the items. W comes before H only in HDF5 files
that reverse the axes: those with MATLAB's header or attributes, or Julia's header. Even there, channels at
the end are taken for Python's order, (N, H, W, 3). An option overrides this.
"""

import dataclasses
import functools
import threading

import h5py
import numpy as np

from gch.data.array_files import StoredArray, open_hdf5
from gch.data.pairs import Pictures
from gch.errors import DataError, damage

_MAX_BLOCK_BYTES = 32 * 2**20


@dataclasses.dataclass(frozen=True)
class PixelLayout:
    """How an array of pictures is stored."""

    axes: str  # their order, four of the letters N, C, H, W, such as 'NCWH'
    items: int
    height: int
    width: int


def pixel_layout(array: StoredArray, order: str) -> PixelLayout:
    """Tells the axes of an array by its shape; raises DataError unless it holds RGB pictures of uint8.

    `order`, 'WH' or 'HW', says which of the two comes first; 'auto' is W first in a reversed array whose
    channels do not come last, else H first.
    """
    shape = array.shape
    first = "WH" if array.reversed and shape[-1:] != (3,) else "HW"
    for channel, axes in ((1, "NC??"), (3, "N??C"), (2, "??CN"), (0, "C??N")):
        if len(shape) == 4 and shape[channel] == 3 and 0 not in shape:
            axes = axes.replace("??", first if order == "auto" else order)
            break
    else:
        expected = "expected pictures (N, 3, H, W) or (N, H, W, 3), or features (N, F)"
        raise DataError(f"{array.where} has shape {shape}, {expected}")
    array.require(array.dtype == np.uint8, f"is {array.dtype}, expected uint8")
    return PixelLayout(axes, *(shape[axes.index(axis)] for axis in "NHW"))


def open_pixels(array: StoredArray, layout: PixelLayout) -> Pictures:
    """Opens an array of pictures; HDF5 with the items first is read in parts, others whole, or DataError."""
    if array.format == "hdf5" and layout.axes[0] == "N":
        array.require_stored()
        return Hdf5Pictures(array, layout)
    return ArrayPictures(array.read().transpose([layout.axes.index(axis) for axis in "NHWC"]))


class ArrayPictures:
    """Implements `gch.data.pairs.Pictures` on an array, uint8 (N, H, W, 3), in memory or memory-mapped."""

    def __init__(self, array: np.ndarray, block: int = 1):
        self.array, self.block = array, block
        self.size: tuple[int, int] = array.shape[1:3]

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Copies pictures; see `gch.data.pairs.Pictures`."""
        return np.asarray(self.array[rows])


class Hdf5Pictures:
    """Implements `gch.data.pairs.Pictures`; the file is opened at the first read and then kept open."""

    def __init__(self, array: StoredArray, layout: PixelLayout):
        self.size = (layout.height, layout.width)
        image_bytes = 3 * layout.height * layout.width
        rows = array.rows_at_once if array.rows_at_once > 1 else 16
        self.block = min(rows, layout.items, max(1, _MAX_BLOCK_BYTES // image_bytes))
        self._array = array
        self._to_hwc = [layout.axes[1:].index(axis) for axis in "HWC"]
        self._opening = threading.Lock()

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Reads pictures, each block of the file once; see `gch.data.pairs.Pictures`."""
        rows = np.asarray(rows, np.int64)
        pictures = np.empty((len(rows), *self.size, 3), np.uint8)
        places = np.argsort(rows, kind="stable")
        starts = np.flatnonzero(np.diff(rows[places] // self.block)) + 1
        for group in np.split(places, starts) if len(rows) else ():
            first, last = rows[group[0]], rows[group[-1]]
            stored = self._read(first, last)
            for place in group:
                picture = stored[rows[place] - first].transpose(self._to_hwc)
                # Plane by plane: four times faster than transposing the whole block at once.
                for channel in range(3):
                    pictures[place, :, :, channel] = picture[:, :, channel]
        return pictures

    @functools.cached_property
    def _dataset(self) -> h5py.Dataset:
        return open_hdf5(self._array.path)[self._array.name]

    def _read(self, first: int, last: int) -> np.ndarray:
        where = f"{self._array.where}: rows {first} to {last}"
        with damage(f"{where} unreadable"):
            with self._opening:
                dataset = self._dataset
            return dataset[first : last + 1]
