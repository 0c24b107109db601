"""Files in the field's layouts, written by independent means, and the items that they hold."""

import io
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from PIL import Image
from sources import refusal, settings_of

from gch.data.catalog import open_source
from gch.data.pairs import Pairs

ITEMS, WORDS, LABELS, DIMENSIONS, HEIGHT, WIDTH = 40, 9, 4, 12, 10, 8
RANDOM = np.random.default_rng(7)
PIXELS = RANDOM.integers(0, 256, (ITEMS, HEIGHT, WIDTH, 3), np.uint8)
TEXTS = RANDOM.integers(0, 2, (ITEMS, WORDS), np.uint8)
TEXTS[0] = 1
HOT = np.eye(LABELS, dtype=np.uint8)[np.arange(ITEMS) % LABELS]
FEATURES = RANDOM.normal(size=(ITEMS, DIMENSIONS)).astype(np.float32)
ALL = np.arange(ITEMS)
MATLAB_PIXELS = PIXELS.transpose(1, 2, 3, 0)  # (H, W, 3, N), as MATLAB has them


def write_mat73(path: Path, **arrays) -> None:
    """Writes arrays as MATLAB's save(..., '-v7.3') does: axes reversed; a list of str is a cell (N, 1)."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in arrays.items():
            if isinstance(value, list):
                write_cell(file, name, value)
                continue
            value = np.atleast_2d(value)
            kind = {"float64": "double", "bool": "logical"}.get(value.dtype.name, value.dtype.name)
            file[name] = value.T.astype(np.uint8) if kind == "logical" else value.T
            if value.size == 0:
                del file[name]
                file[name] = np.array(value.shape, np.uint64)
                file[name].attrs["MATLAB_empty"] = np.uint8(1)
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def write_cell(file: h5py.File, name: str, texts: list) -> None:
    """A cell array of texts, or of rows of them: references to characters, axes reversed."""
    table = np.array(texts, object).T if isinstance(texts[0], list) else np.array([texts], object)
    refs = np.empty(table.shape, h5py.ref_dtype)
    for number, (place, text) in enumerate(np.ndenumerate(table)):
        units = (
            np.frombuffer(text.encode("utf-16-le"), np.uint16)[:, None] if text else np.zeros(2, np.uint64)
        )
        cell = file.create_dataset(f"#refs#/{name}{number}", data=units)
        cell.attrs["MATLAB_class"] = np.bytes_("char")
        if not text:
            cell.attrs["MATLAB_empty"] = 1
        refs[place] = cell.ref
    file.create_dataset(name, data=refs, dtype=h5py.ref_dtype).attrs["MATLAB_class"] = np.bytes_("cell")


def write_hdf5(path: Path, **arrays) -> None:
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[name] = value


def write_v5(path: Path, **arrays) -> None:
    scipy.io.savemat(path, arrays, appendmat=False)


def write_npz(path: Path, **arrays) -> None:
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG that declares this size, whatever its pixels are."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(pixels))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def source(path: Path, dataset: str = "FLICKR", **changes) -> Pairs:
    return open_source(settings_of(path, dataset, **changes))


def refused(line: str, path: Path, dataset: str = "FLICKR", **changes) -> None:
    with refusal(line, path):
        source(path, dataset, **changes)


def write_separate(folder: Path, prefix: str) -> None:
    write_mat73(folder / f"{prefix}-iall.mat", IAll=MATLAB_PIXELS)
    write_mat73(folder / f"{prefix}-yall.mat", YAll=TEXTS)
    write_hdf5(folder / f"{prefix}-lall.mat", LAll=HOT.astype(float))


def save_npy(folder: Path, **arrays) -> None:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


DATABASE, QUERY = np.arange(20), np.arange(20, 26)
AGAIN = np.array([13, 2, 19, 7, 0, 11, 4, 16])  # training items, of the database, in another order
FURTHER = np.array([30, 33, 31])  # training items that the database lacks
PARTS = {"Train": AGAIN, "DataBase": DATABASE, "Query": QUERY}


def write_split_files(folder: Path, images, training=AGAIN, texts=TEXTS, labels=HOT) -> None:
    rows = {**PARTS, "Train": training}
    for file, values in (("Img", images), ("Tag", texts), ("Lab", labels)):
        write_hdf5(folder / f"{file}.h5", **{f"{file}{part}": values[rows[part]] for part in rows})


def colour(row: int) -> tuple[int, int, int]:
    return (row * 5, 100, 200 - row)


def write_pictures(folder: Path) -> list[str]:
    folder.mkdir(exist_ok=True, parents=True)
    names = [f"im{row}.png" for row in range(ITEMS)]
    for row, name in enumerate(names):
        Image.new("RGB", (32, 32), colour(row)).save(folder / name)
    return names


CAPTIONS = [f"A dog number{row} über the beach" if row != 3 else "" for row in range(ITEMS)]


def index_files(folder: Path, leave_out: str = "", **changed) -> None:
    names = [f"mirflickr/{name}" for name in write_pictures(folder / "mirflickr")]
    for name, array in {"index": names, "caption": CAPTIONS, "label": HOT, **changed}.items():
        if name != leave_out:
            write_mat73(folder / f"{name}.mat", **{name: array})
