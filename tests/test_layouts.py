"""The readers of the field's layouts, on files that h5py, SciPy, NumPy and Pillow wrote."""

import csv
import itertools
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image
from sources import settings_of

from gch.commands.source import guess_dataset, setting_lines
from gch.data import vocabulary
from gch.data.catalog import is_of_files, open_source
from gch.data.chosen_split import choose_split
from gch.data.layouts import find_layout
from gch.data.pairs import Pairs
from gch.data.split import make_split
from gch.data.texts import with_vocabulary
from gch.errors import DataError, SettingError

ITEMS, WORDS, LABELS, DIMENSIONS, HEIGHT, WIDTH = 40, 9, 4, 12, 10, 8
RANDOM = np.random.default_rng(7)
PIXELS = RANDOM.integers(0, 256, (ITEMS, HEIGHT, WIDTH, 3), np.uint8)
TEXTS = RANDOM.integers(0, 2, (ITEMS, WORDS), np.uint8)
TEXTS[0] = 1
HOT = np.eye(LABELS, dtype=np.uint8)[np.arange(ITEMS) % LABELS]
FEATURES = RANDOM.normal(size=(ITEMS, DIMENSIONS)).astype(np.float32)
ALL = np.arange(ITEMS)


def write_mat73(path: Path, **arrays) -> None:
    """Writes arrays as MATLAB's save(..., '-v7.3') does: axes reversed; a list of str is a cell (N, 1)."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in arrays.items():
            if isinstance(value, list):
                write_cell(file, name, value)
            else:
                file[name] = value.T
                file[name].attrs["MATLAB_class"] = np.bytes_(value.dtype.name.replace("float64", "double"))
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def write_cell(file: h5py.File, name: str, texts: list[str]) -> None:
    refs = np.empty((1, len(texts)), h5py.ref_dtype)
    for number, text in enumerate(texts):
        units = np.frombuffer(text.encode("utf-16-le"), np.uint16)
        cell = file.create_dataset(
            f"#refs#/{number}", data=units[:, None] if text else np.zeros(2, np.uint64)
        )
        cell.attrs["MATLAB_class"] = np.bytes_("char")
        cell.attrs["MATLAB_int_decode"] = 2
        if not text:
            cell.attrs["MATLAB_empty"] = 1
        refs[0, number] = cell.ref
    file.create_dataset(name, data=refs, dtype=h5py.ref_dtype).attrs["MATLAB_class"] = np.bytes_("cell")


def write_char73(path: Path, name: str, texts: list[str]) -> None:
    """A matrix of characters (N, longest) as MATLAB writes it."""
    width = max(map(len, texts))
    codes = np.array([[ord(letter) for letter in text.ljust(width)] for text in texts], np.uint16)
    with h5py.File(path, "w") as file:
        file[name] = codes.T
        file[name].attrs["MATLAB_class"] = np.bytes_("char")


def write_hdf5(path: Path, **arrays) -> None:
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[name] = value


def write_v5(path: Path, **arrays) -> None:
    scipy.io.savemat(path, arrays, appendmat=False)


def cells(texts) -> np.ndarray:
    column = np.empty((len(texts), 1), object)
    column[:, 0] = texts
    return column


def source(path: Path, dataset: str = "FLICKR", **changes) -> Pairs:
    return open_source(settings_of(path, dataset, **changes))


def assert_same(pairs: Pairs, rows=ALL, texts=TEXTS, labels=HOT) -> None:
    """Words, labels and images are those of these rows of what was written."""
    np.testing.assert_array_equal(pairs.texts, texts[rows])
    np.testing.assert_array_equal(pairs.labels, labels[rows])
    assert pairs.texts.dtype == pairs.labels.dtype == np.uint8
    order = np.random.default_rng(0).permutation(len(rows))
    if pairs.pictures is None:
        np.testing.assert_array_equal(pairs.features, FEATURES[rows])
        assert pairs.features.dtype == np.float32
    else:
        assert pairs.features is None
        np.testing.assert_array_equal(pairs.pictures.read(order), PIXELS[rows][order])


def refused(line: str, path: Path, dataset: str = "FLICKR", **changes) -> None:
    with pytest.raises(DataError, match=line) as caught:
        source(path, dataset, **changes)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- one file

MATLAB_PIXELS = PIXELS.transpose(1, 2, 3, 0)  # (H, W, 3, N), as MATLAB has them
ONE_FILE = {
    "v7.3": lambda path: write_mat73(path, images=MATLAB_PIXELS, YAll=TEXTS, LAll=HOT),
    "v7.3 of doubles": lambda path: write_mat73(
        path, IAll=MATLAB_PIXELS, YAll=TEXTS.T.astype(np.float64), LAll=HOT.astype(np.float64)
    ),
    "hdf5, channels last": lambda path: write_hdf5(path, images=PIXELS, YAll=TEXTS, LAll=HOT),
    "v5": lambda path: write_v5(path, images=MATLAB_PIXELS, YAll=TEXTS, LAll=HOT.astype(float)),
    "v5, items first": lambda path: write_v5(path, images=PIXELS, YAll=TEXTS.T, LAll=HOT.T),
    "v5, features": lambda path: write_v5(path, images=FEATURES, YAll=TEXTS, LAll=HOT),
    "v5, features across": lambda path: write_v5(path, images=FEATURES.T, YAll=TEXTS, LAll=HOT),
    "v5, features of doubles": lambda path: write_v5(
        path, images=FEATURES.astype(float), YAll=TEXTS, LAll=HOT
    ),
    "v5, doubles across": lambda path: write_v5(
        path, images=FEATURES.astype(float).T, YAll=TEXTS.T, LAll=HOT
    ),
    "v7.3, features": lambda path: write_mat73(path, XAll=FEATURES, YAll=TEXTS, LAll=HOT),
    "v7.3, features across": lambda path: write_mat73(path, XAll=FEATURES.T, YAll=TEXTS, LAll=HOT.T),
}


@pytest.mark.parametrize("name", ONE_FILE)
def test_one_file(tmp_path, name):
    path = tmp_path / "FLICKR-25K.mat"
    ONE_FILE[name](path)
    before = path.read_bytes()
    for given in (tmp_path, path):
        pairs = source(given)
        assert_same(pairs)
        assert (pairs.pictures is None) == ("features" in name or "across" in name)
    assert pairs.name == "flickr25k"
    assert pairs.own_split is None
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", [".npz", ".mat", ".h5"])
def test_one_npz_whatever_it_is_called(tmp_path, suffix):
    with open(tmp_path / f"coco{suffix}", "wb") as file:
        np.savez(file, IAll=PIXELS, tags=TEXTS, labels=HOT)
    pairs = source(tmp_path, "COCO")
    assert_same(pairs)
    assert pairs.name == "coco"


@pytest.mark.parametrize("axes", ["auto", "WH", "HW"])
@pytest.mark.parametrize("first", ["WH", "HW"])
@pytest.mark.parametrize("channels", ["first", "last"])
def test_image_axes(tmp_path, axes, first, channels):
    stored = PIXELS if first == "HW" else PIXELS.transpose(0, 2, 1, 3)
    stored = stored.transpose(0, 3, 1, 2) if channels == "first" else stored
    write_hdf5(tmp_path / "FLICKR-25K.mat", images=stored, YAll=TEXTS, LAll=HOT)
    pairs = source(tmp_path, image_axes=axes)
    taken = axes if axes != "auto" else ("WH" if channels == "first" else "HW")
    wanted = PIXELS if taken == first else PIXELS.transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(pairs.pictures.read(ALL), wanted)


def test_features_are_copied_once_and_again_when_they_change(tmp_path):
    path = tmp_path / "FLICKR-25K.mat"
    write_v5(path, images=FEATURES, YAll=TEXTS, LAll=HOT)
    first = source(tmp_path)
    (kept,) = (tmp_path / "cache").glob("image-features-*.npy")
    state = kept.stat().st_mtime_ns, kept.stat().st_ino
    assert source(tmp_path).digest == first.digest
    assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == state
    kept.write_bytes(kept.read_bytes()[:-8])
    assert_same(source(tmp_path))
    write_v5(path, images=FEATURES + 1, YAll=TEXTS, LAll=HOT)
    again = source(tmp_path)
    np.testing.assert_array_equal(again.features, FEATURES + 1)
    assert again.digest != first.digest


@pytest.mark.parametrize(
    ("features", "line"),
    [
        (np.where(np.arange(12) == 5, np.nan, FEATURES), r"images holds nan \(at 0, 5\)"),
        (FEATURES.astype(float) * 1e300, "expected finite numbers"),
        (np.zeros_like(FEATURES), "images holds zeros only"),
        (FEATURES[:-1], "have no number of items in common"),
    ],
)
def test_bad_features_are_told(tmp_path, features, line):
    write_v5(tmp_path / "FLICKR-25K.mat", images=features, YAll=TEXTS, LAll=HOT)
    refused(line, tmp_path)


# ---------------------------------------------------------------- separate files


def write_separate(folder: Path, prefix: str) -> None:
    write_mat73(folder / f"{prefix}-iall.mat", IAll=MATLAB_PIXELS)
    write_v5(folder / f"{prefix}-yall.mat", YAll=TEXTS)
    write_v5(folder / f"{prefix}-lall.mat", LAll=HOT.astype(float))


def save_npy(folder: Path, **arrays) -> None:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


@pytest.mark.parametrize("name", ["FLICKR", "flickr-25k", "MIRFLICKR25K"])
def test_separate_files(tmp_path, name):
    write_separate(tmp_path, "mirflickr25k")
    assert_same(source(tmp_path, name))
    assert_same(source(tmp_path / "mirflickr25k-iall.mat", name))


def test_features_beside_pixels_are_taken_where_they_are_named(tmp_path):
    write_separate(tmp_path, "mirflickr25k")
    write_v5(tmp_path / "mirflickr25k-iall-vgg.mat", XAll=FEATURES)
    assert source(tmp_path).pictures is not None
    pairs = source(tmp_path / "mirflickr25k-iall-vgg.mat")
    assert pairs.pictures is None
    assert_same(pairs)


@pytest.mark.parametrize(
    ("prefix", "dataset", "name"),
    [
        ("nus-wide-tc21", "NUS-WIDE-TC21", "nus-wide-tc21"),
        ("nus-wide", "NUS-WIDE-TC21", "nus-wide-tc21"),
        ("NUS-WIDE-TC10", "NUS-WIDE-TC10", "nus-wide-tc10"),
        ("nuswide10", "nus-wide-tc10", "nus-wide-tc10"),
        ("MS-COCO", "COCO", "coco"),
        ("iaprtc12", "files", "files"),
        ("IAPRTC-12", "files", "files"),
    ],
)
def test_separate_files_of_other_sets(tmp_path, prefix, dataset, name):
    ends = ("IALL", "YALL", "LALL") if prefix.isupper() else ("iall", "yall", "lall")
    suffix = ".MAT" if prefix.isupper() else ".mat"
    arrays = {"IAll": PIXELS.transpose(0, 3, 2, 1), "YAll": TEXTS.T, "LAll": HOT.T}
    for end, (array, value) in zip(ends, arrays.items(), strict=True):
        write_hdf5(tmp_path / f"{prefix}-{end}{suffix}", **{array: value})
    pairs = source(tmp_path, dataset)
    assert_same(pairs)
    assert pairs.name == name


@pytest.mark.parametrize("names", [("XAll", "YAll", "LAll"), ("xall", "YALL", "lall")])
@pytest.mark.parametrize("dataset", ["FLICKR", "files"])
def test_npy_files(tmp_path, names, dataset):
    save_npy(tmp_path, **dict(zip(names, (FEATURES, TEXTS, HOT), strict=True)))
    pairs = source(tmp_path, dataset)
    assert_same(pairs)
    assert pairs.pictures is None
    assert not (tmp_path / "cache").exists()  # read where they lie


def test_pixels_of_npy(tmp_path):
    save_npy(tmp_path, IAll=PIXELS, YAll=TEXTS, LAll=HOT)
    assert_same(source(tmp_path))


@pytest.mark.parametrize("folder", ["nus-wide-tc21", "NUS-WIDE-TC21", "nuswide"])
def test_folder_in_the_folder_of_data(tmp_path, folder):
    # Beside it lies another set, in files that tell no name.
    write_split_files(tmp_path, PIXELS, training=np.arange(8))
    (tmp_path / folder).mkdir()
    write_separate(tmp_path / folder, "nus-wide-tc21")
    pairs = source(tmp_path, "NUS-WIDE-TC21")
    assert_same(pairs)
    assert pairs.own_split is None


def test_sets_side_by_side_are_told_apart(tmp_path):
    write_separate(tmp_path, "mirflickr25k")
    write_mat73(
        tmp_path / "nus-wide-tc10.mat", images=MATLAB_PIXELS[..., ::-1], YAll=TEXTS[::-1], LAll=HOT[::-1]
    )
    write_v5(tmp_path / "imagenet-vgg-f.mat", layers=np.zeros(3))
    assert_same(source(tmp_path, "FLICKR"))
    assert_same(source(tmp_path, "NUS-WIDE-TC10"), ALL[::-1])
    refused("no data set found for COCO, the folder holds imagenet-vgg-f.mat, mirf", tmp_path, "COCO")


# ---------------------------------------------------------------- split files

DATABASE, QUERY = np.arange(20), np.arange(20, 26)
AGAIN = np.array([13, 2, 19, 7, 0, 11, 4, 16])  # training items, of the database, in another order
FURTHER = np.array([30, 33, 31])  # training items that the database lacks
PARTS = {"Train": AGAIN, "DataBase": DATABASE, "Query": QUERY}
SHORT = {"Train": "tr", "DataBase": "db", "Query": "te"}


def write_split_files(folder: Path, images, training=AGAIN, texts=TEXTS, labels=HOT) -> None:
    rows = {**PARTS, "Train": training}
    for file, values in (("Img", images), ("Tag", texts), ("Lab", labels)):
        write_hdf5(folder / f"{file}.h5", **{f"{file}{part}": values[rows[part]] for part in rows})


IMAGES = {
    "pixels": PIXELS,
    "pixels, channels first": PIXELS.transpose(0, 3, 2, 1),
    "features": FEATURES,
    "features of doubles": FEATURES.astype(float),
}


@pytest.mark.parametrize("name", IMAGES)
def test_split_files(tmp_path, name):
    write_split_files(tmp_path, IMAGES[name])
    pairs = source(tmp_path)
    assert_same(pairs, np.concatenate([DATABASE, QUERY]))
    np.testing.assert_array_equal(pairs.own_split.retrieval, DATABASE)
    np.testing.assert_array_equal(pairs.own_split.query, QUERY)
    np.testing.assert_array_equal(pairs.own_split.training, np.sort(AGAIN))
    assert pairs.default_sizes == (6, 20, 8, 0)
    assert "8 of 8 training items are found again" in pairs.found[-1]
    assert source(tmp_path / "Img.h5", "files").digest != pairs.digest  # of another name
    assert_same(source(tmp_path / "Tag.h5"), np.concatenate([DATABASE, QUERY]))


@pytest.mark.parametrize("name", IMAGES)
def test_training_items_that_the_database_lacks(tmp_path, name):
    training = np.concatenate([AGAIN[:4], FURTHER, AGAIN[4:]])
    write_split_files(tmp_path, IMAGES[name], training)
    pairs = source(tmp_path)
    assert_same(pairs, np.concatenate([DATABASE, QUERY, FURTHER]))
    np.testing.assert_array_equal(pairs.own_split.training, [*np.sort(AGAIN), 26, 27, 28])
    assert "8 of 11" in pairs.found[-1]


@pytest.mark.parametrize("name", ["pixels", "features"])
def test_no_training_item_in_the_database(tmp_path, name):
    write_split_files(tmp_path, IMAGES[name], FURTHER)
    pairs = source(tmp_path)
    assert_same(pairs, np.concatenate([DATABASE, QUERY, FURTHER]))
    np.testing.assert_array_equal(pairs.own_split.training, [26, 27, 28])


@pytest.mark.parametrize("changed", ["images", "texts", "labels"])
def test_an_item_is_the_same_only_in_all_it_has(tmp_path, changed):
    values = {"images": PIXELS.copy(), "texts": TEXTS.copy(), "labels": HOT.copy()}
    values[changed][30] = values[changed][3]
    for name, array in values.items():
        if name != changed:
            array[30] = array[3]
    values[changed][30, ..., 0] ^= 1  # Row 30 is row 3, but for a little.
    write_split_files(
        tmp_path, values["images"], np.array([3, 30]), texts=values["texts"], labels=values["labels"]
    )
    np.testing.assert_array_equal(source(tmp_path).own_split.training, [3, 26])


@pytest.mark.parametrize("name", ["pixels", "features"])
def test_items_that_are_twice_in_the_database(tmp_path, name):
    def doubled(array):
        array = array.copy()
        array[[5, 9]] = array[2]  # Three alike.
        return array

    images, texts, labels = map(doubled, (IMAGES[name], TEXTS, HOT))
    write_split_files(tmp_path, images, np.array([9, 2]), texts=texts, labels=labels)
    first = source(tmp_path)
    assert len(first.labels) == 26
    np.testing.assert_array_equal(first.own_split.training, [2, 5])
    (tmp_path / "more").mkdir()
    training = np.array([9, 2, 5, 2, 13])  # Four alike: one more than the database has.
    write_split_files(tmp_path / "more", images, training, texts=texts, labels=labels)
    more = source(tmp_path / "more")
    assert len(more.labels) == 27
    np.testing.assert_array_equal(more.own_split.training, [2, 5, 9, 13, 26])
    np.testing.assert_array_equal(more.texts[26], texts[2])


@pytest.mark.parametrize("writer", [write_v5, write_hdf5])
@pytest.mark.parametrize("dataset", ["FLICKR", "files"])
def test_one_file_of_all_nine(tmp_path, writer, dataset):
    names = {"I": PIXELS, "T": TEXTS, "L": HOT}
    arrays = {
        f"{letter}_{SHORT[part]}": names[letter][rows]
        for letter, (part, rows) in itertools.product(names, PARTS.items())
    }
    writer(tmp_path / "FLICKR-25K.mat", **arrays)
    pairs = source(tmp_path, dataset)
    assert_same(pairs, np.concatenate([DATABASE, QUERY]))
    np.testing.assert_array_equal(pairs.own_split.training, np.sort(AGAIN))


def colour(row: int) -> tuple[int, int, int]:
    return (row * 5, 100, 200 - row)


def write_pictures(folder: Path) -> list[str]:
    folder.mkdir(exist_ok=True, parents=True)
    names = [f"im{row}.png" for row in range(ITEMS)]
    for row, name in enumerate(names):
        Image.new("RGB", (32, 32), colour(row)).save(folder / name)
    return names


def assert_colours(pairs: Pairs, rows=ALL) -> None:
    wanted = np.array([colour(row) for row in rows], np.uint8)
    got = pairs.pictures.read(np.arange(len(rows)))
    np.testing.assert_array_equal(got, np.broadcast_to(wanted[:, None, None], got.shape))


def test_split_files_of_paths(tmp_path):
    paths = np.array([f"/data/mirflickr/{name}" for name in write_pictures(tmp_path / "mirflickr")], "S")
    training = np.concatenate([AGAIN, FURTHER])
    write_split_files(tmp_path, paths, training)
    pairs, rows = source(tmp_path, image_size=32), np.concatenate([DATABASE, QUERY, FURTHER])
    np.testing.assert_array_equal(pairs.texts, TEXTS[rows])
    np.testing.assert_array_equal(pairs.labels, HOT[rows])
    assert_colours(pairs, rows)
    np.testing.assert_array_equal(pairs.own_split.training, [*np.sort(AGAIN), 26, 27, 28])
    assert list(pairs.ids) == [f"mirflickr/im{row}.png" for row in rows]
    assert is_of_files(pairs)
    write_split_files(tmp_path, paths, np.concatenate([AGAIN[:-1], FURTHER]))
    assert source(tmp_path, image_size=32).digest != pairs.digest  # What is prepared holds the split as well.


# ---------------------------------------------------------------- index files

CAPTIONS = [f"A dog number{row} über the beach" if row != 3 else "" for row in range(ITEMS)]


@pytest.fixture
def pictured(tmp_path):
    """A folder with pictures in mirflickr/, and their paths."""
    return [f"mirflickr/{name}" for name in write_pictures(tmp_path / "mirflickr")]


INDEX_WRITERS = {
    "v5 cells": lambda path, name, texts: write_v5(path, **{name: cells(texts)}),
    "v5 cells in a row": lambda path, name, texts: write_v5(path, **{name: cells(texts).T}),
    "v5 characters": lambda path, name, texts: write_v5(path, **{name: np.array(texts)}),
    "v7.3 cells": lambda path, name, texts: write_mat73(path, **{name: texts}),
    "v7.3 characters": write_char73,
    "npz": lambda path, name, texts: np.savez(open(path, "wb"), **{name: np.array(texts)}),  # noqa: SIM115
}


@pytest.mark.parametrize("name", INDEX_WRITERS)
@pytest.mark.parametrize("label", ["category", "label"])
def test_index_files(tmp_path, pictured, name, label):
    write = INDEX_WRITERS[name]
    write(tmp_path / "index.mat", "index", pictured)
    write(tmp_path / "caption.mat", "caption", CAPTIONS)
    write_v5(tmp_path / "label.mat", **{label: HOT})
    for given in (tmp_path, tmp_path / "index.mat"):
        pairs = source(given, image_size=32)
        assert list(pairs.ids) == pictured
        assert list(pairs.captions) == CAPTIONS
        assert pairs.texts.shape == (ITEMS, 0)
        np.testing.assert_array_equal(pairs.labels, HOT)
        assert_colours(pairs)
        assert is_of_files(pairs)


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_captions_line_by_line(tmp_path, pictured, ending):
    write_v5(tmp_path / "index.mat", index=cells(pictured))
    lines = (ending or "\n").join(CAPTIONS) + ending
    (tmp_path / "Caption.TXT").write_bytes(lines.encode("utf-8-sig"))
    write_mat73(tmp_path / "label.mat", category=HOT)
    pairs = source(tmp_path, "files", image_size=32)
    assert list(pairs.captions) == CAPTIONS
    np.testing.assert_array_equal(pairs.labels, HOT)


@pytest.mark.parametrize("texts", [TEXTS, TEXTS.T, TEXTS.astype(float), 3 * TEXTS])
def test_captions_as_a_bag_of_words(tmp_path, pictured, texts):
    write_v5(tmp_path / "index.mat", index=cells(pictured))
    write_v5(tmp_path / "caption.mat", caption=texts)
    write_v5(tmp_path / "label.mat", category=HOT)
    pairs = source(tmp_path, image_size=32)
    np.testing.assert_array_equal(pairs.texts, texts if texts.shape == TEXTS.shape else TEXTS)
    assert pairs.captions is None


@pytest.mark.parametrize("prefix", ["/home/x/", "C:\\Users\\x\\", "./", "../data/"])
def test_paths_of_another_machine(tmp_path, pictured, prefix):
    write_v5(tmp_path / "index.mat", index=cells([prefix + path for path in pictured]))
    write_v5(tmp_path / "caption.mat", caption=cells(CAPTIONS))
    write_v5(tmp_path / "label.mat", category=HOT)
    if prefix.startswith(".."):
        refused(r"path '../data/mirflickr/im0.png', expected one that stays in the folder", tmp_path)
        return
    assert_colours(source(tmp_path, image_size=32))
    for path in (tmp_path / "mirflickr").iterdir():  # All in one folder with the index.
        shutil.move(path, tmp_path)
    pairs = source(tmp_path, image_size=32)
    assert pairs.ids[3] == "im3.png"
    assert_colours(pairs)


# ---------------------------------------------------------------- what is missing


def touch(folder, *names):
    for name in names:
        write_hdf5(folder / name, X=np.ones((2, 2)))


def without_tags(folder):
    write_split_files(folder, PIXELS)
    (folder / "Tag.h5").unlink()


def without_query(folder):
    write_split_files(folder, PIXELS)
    with h5py.File(folder / "Tag.h5", "r+") as file:
        del file["TagQuery"]


def shorter_tags(folder):
    write_split_files(folder, PIXELS)
    with h5py.File(folder / "Tag.h5", "r+") as file:
        del file["TagQuery"]
        file["TagQuery"] = TEXTS[:5]


def other_columns(folder):
    write_split_files(folder, PIXELS)
    with h5py.File(folder / "Tag.h5", "r+") as file:
        del file["TagQuery"]
        file["TagQuery"] = TEXTS[QUERY][:, :7]


def other_size(folder):
    write_split_files(folder, PIXELS)
    with h5py.File(folder / "Img.h5", "r+") as file:
        del file["ImgQuery"]
        file["ImgQuery"] = PIXELS[QUERY][:, :7]


def other_dimensions(folder):
    write_split_files(folder, FEATURES)
    with h5py.File(folder / "Img.h5", "r+") as file:
        del file["ImgQuery"]
        file["ImgQuery"] = FEATURES[QUERY][:, :7]


def without_labels(folder):
    write_separate(folder, "mirflickr25k")
    (folder / "mirflickr25k-lall.mat").unlink()


def npy_without_tags(folder):
    save_npy(folder, XAll=FEATURES, LAll=HOT)


def twice(folder):
    write_separate(folder, "mirflickr25k")
    np.save(folder / "mirflickr25k-yall.npy", TEXTS)


def two_spellings(folder):
    write_separate(folder, "mirflickr25k")
    write_separate(folder, "flickr25k")


def shorter_labels(folder):
    write_separate(folder, "mirflickr25k")
    write_v5(folder / "mirflickr25k-lall.mat", LAll=HOT[:-1])


def several_arrays(folder):
    write_separate(folder, "mirflickr25k")
    write_v5(folder / "mirflickr25k-yall.mat", one=TEXTS, other=TEXTS)


def index_files(folder, leave_out="", **changed):
    names = [f"mirflickr/{name}" for name in write_pictures(folder / "mirflickr")]
    arrays = {"index": cells(names), "caption": cells(CAPTIONS), "label": HOT, **changed}
    for name, array in arrays.items():
        if name != leave_out:
            write_v5(folder / f"{name}.mat", **{name: array})


def latin_captions(folder):
    index_files(folder, "caption")
    (folder / "caption.txt").write_bytes(b"caf\xe9\n" * ITEMS)


def short_lines(folder):
    index_files(folder, "caption")
    (folder / "caption.txt").write_text("hello\n" * (ITEMS - 1))


def mixed_depth(folder):
    names = [f"/x/mirflickr/{name}" for name in write_pictures(folder / "mirflickr")]
    index_files(folder, index=cells([*names[:-1], "im39.png"]))


def split_paths_elsewhere(folder):
    write_split_files(folder, np.array([f"pics/{row}.png" for row in range(ITEMS)], "S"))


def two_sets(folder):
    touch(folder, "FLICKR-25K.mat", "mirflickr.mat")


MISSING = {
    "split files without one": (without_tags, "FLICKR", r"Tag.h5 not found; expected Img.h5, Tag.h5, Lab.h5"),
    "Img.h5 alone": (lambda f: touch(f, "Img.h5"), "FLICKR", "no data set found for FLICKR, .* holds Img.h5"),
    "Img.h5 alone, files": (lambda f: touch(f, "Img.h5"), "files", "Img.h5: images not found, .* holds X"),
    "index.mat alone": (lambda f: touch(f, "index.mat"), "files", "index.mat: images not found"),
    "no query": (
        without_query,
        "FLICKR",
        r"Tag.h5: TagQuery not found, the file holds TagDataBase, TagTrain",
    ),
    "shorter tags": (shorter_tags, "FLICKR", r"Tag.h5: TagQuery has shape \(5, 9\), expected 6 items"),
    "other columns": (other_columns, "FLICKR", r"Tag.h5: columns of the parts are .*'query': 7"),
    "other size": (other_size, "FLICKR", r"Img.h5: ImgQuery has pictures of 7 x 8, expected 10 x 8"),
    "other dimensions": (other_dimensions, "FLICKR", r"Img.h5: ImgQuery has 7 columns, expected 12"),
    "Tag and Lab swapped": (
        lambda f: write_split_files(f, PIXELS, texts=HOT, labels=TEXTS),
        "FLICKR",
        r"Lab.h5: LabDataBase has 9 columns, TagDataBase 4; .*swapped",
    ),
    "files swapped": (
        lambda f: (
            (
                write_split_files(f, PIXELS),
                (f / "Tag.h5").replace(f / "x"),
                (f / "Lab.h5").rename(f / "Tag.h5"),
            )
            and (f / "x").rename(f / "Lab.h5")
        ),
        "FLICKR",
        r"Tag.h5: TagTrain not found, the file holds LabDataBase",
    ),
    "split paths elsewhere": (split_paths_elsewhere, "FLICKR", r"'pics/0.png' not found in it"),
    "no -lall": (without_labels, "FLICKR", r"its labels not found, expected mirflickr25k-lall.mat beside it"),
    "no YAll": (npy_without_tags, "FLICKR", r"XAll.npy: its texts not found, expected yall.npy beside it"),
    "two suffixes": (twice, "FLICKR", r"mirflickr25k-yall.mat, mirflickr25k-yall.npy: expected one file"),
    "two spellings": (
        two_spellings,
        "FLICKR",
        r"flickr25k-iall.mat, mirflickr25k-iall.mat: expected one file",
    ),
    "two sets": (
        two_sets,
        "FLICKR",
        r"FLICKR-25K.mat, mirflickr.mat: expected one file; DATA_DIR may name it",
    ),
    "three files": (lambda f: touch(f, "a.mat", "b.h5"), "files", r"a.mat, b.h5: expected one file"),
    "shorter labels": (shorter_labels, "FLICKR", r"LAll has shape \(39, 4\), expected 40 items"),
    "several arrays": (several_arrays, "FLICKR", r"yall.mat: YAll not found, the file holds one, other"),
    "no caption": (
        lambda f: index_files(f, "caption"),
        "FLICKR",
        r"caption.mat not found, expected it or cap",
    ),
    "no label": (
        lambda f: index_files(f, "label"),
        "FLICKR",
        r"label.mat not found, expected it beside index",
    ),
    "fewer captions": (
        lambda f: index_files(f, caption=cells(CAPTIONS[:-2])),
        "files",
        r"caption.mat: 38 captions, expected 40, as many as index.mat has paths",
    ),
    "fewer lines": (short_lines, "files", r"caption.txt: 39 captions, expected 40"),
    "fewer labels": (
        lambda f: index_files(f, label=HOT[:-1]),
        "FLICKR",
        r"label.mat: label has shape \(39, 4\), expected 40",
    ),
    "shorter matrix": (
        lambda f: index_files(f, caption=TEXTS[1:]),
        "FLICKR",
        r"caption.mat: caption has shape \(39, 9\), expected 40",
    ),
    "caption and label swapped": (lambda f: index_files(f, caption=HOT, label=TEXTS), "FLICKR", "swapped"),
    "captions not UTF-8": (latin_captions, "FLICKR", r"caption.txt: cannot be read as UTF-8"),
    "index of numbers": (lambda f: index_files(f, index=TEXTS), "FLICKR", r"index.mat: index .*uint8"),
    "long path": (lambda f: index_files(f, index=cells(["x" * 5000] * 40)), "FLICKR", "not found in it"),
    "path of nothing": (lambda f: index_files(f, index=cells(["/"] * 40)), "FLICKR", "stays in the folder"),
    "mixed depth": (mixed_depth, "FLICKR", r"path 'im39.png', expected 1 folders before the file"),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_told_in_one_line(tmp_path, name):
    write, dataset, line = MISSING[name]
    write(tmp_path)
    refused(line, tmp_path, dataset)


def test_a_named_file_must_be_the_images(tmp_path):
    write_separate(tmp_path, "mirflickr25k")
    with pytest.raises(DataError, match="images not found, the file holds YAll"):
        source(tmp_path / "mirflickr25k-yall.mat")


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("FLICKR-25K.mat", "FLICKR"),
        ("mirflickr-25k-iall.mat", "FLICKR"),
        ("mirflickr25k-iall.npy", "FLICKR"),
        ("NUS-WIDE-TC21.mat", "NUS-WIDE-TC21"),
        ("nus-wide-iall.h5", "NUS-WIDE-TC21"),
        ("nus-wide-tc10-iall.mat", "NUS-WIDE-TC10"),
        ("MS-COCO.mat", "COCO"),
        ("coconut.mat", "files"),
        ("Img.h5", "files"),
        ("list.csv", "collection"),
        ("flickr25k.jsonl", "collection"),
        ("imagenet-vgg-f.mat", "files"),
    ],
)
def test_guesses_by_names(tmp_path, name, dataset):
    (tmp_path / name).touch()
    assert guess_dataset(tmp_path) == dataset
    assert guess_dataset(tmp_path / name) == dataset


def test_guesses_by_the_folder_or_what_it_holds(tmp_path, monkeypatch):
    folder = tmp_path / "nus-wide-tc10"
    folder.mkdir()
    (folder / "Img.h5").touch()
    assert guess_dataset(folder) == guess_dataset(tmp_path) == "NUS-WIDE-TC10"
    monkeypatch.chdir(folder)
    assert guess_dataset(Path()) == "NUS-WIDE-TC10"
    (folder / "Img.h5").rename(folder / "list.csv")
    (folder / "mirflickr").mkdir()
    assert guess_dataset(folder) == "collection"  # pictures of a known set, described anew
    assert guess_dataset(tmp_path / "nowhere") == "files"


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a b", 'DATA_DIR = "a b"'),
        ('it\'s "here"', 'DATA_DIR = "it\'s \\"here\\""'),
        ("C:\\new", 'DATA_DIR = "C:\\\\new"'),
    ],
)
def test_lines_to_set_are_python(path, line):
    lines = setting_lines(settings_of(path, "files"), {"image_size": 9})
    assert line in lines
    values = {}
    exec("\n".join(line.strip() for line in lines.splitlines()), values)
    assert (values["DATA_DIR"], values["dataset_dir"], values["image_size"]) == (path, "files", 9)


def test_every_layout_is_found_by_its_kind(tmp_path):
    kinds = {}
    for kind, write in {
        "one file": lambda folder: ONE_FILE["v5"](folder / "any.mat"),
        "separate files": lambda folder: write_separate(folder, "any"),
        "split files": lambda folder: write_split_files(folder, PIXELS),
        "index files": index_files,
        "collection": lambda folder: (folder / "list.csv").touch(),
        "prepared": lambda folder: (folder / "index.json").touch(),
    }.items():
        folder = tmp_path / kind
        folder.mkdir()
        write(folder)
        kinds[kind] = find_layout(folder, "files").kind
    assert kinds == {kind: kind for kind in kinds}


# ---------------------------------------------------------------- split


@pytest.fixture
def split_pairs(tmp_path):
    training = np.concatenate([AGAIN, FURTHER])
    write_split_files(tmp_path, FEATURES, training)
    return source(tmp_path)


def chosen(folder, pairs, **changes):
    return choose_split(settings_of(folder, "FLICKR", **{"batch_size": 2, **changes}), pairs)


def test_split_of_the_files(tmp_path, split_pairs):
    split = chosen(tmp_path, split_pairs)
    np.testing.assert_array_equal(split.query, np.arange(20, 26))
    np.testing.assert_array_equal(split.retrieval, DATABASE)
    np.testing.assert_array_equal(split.training, [*np.sort(AGAIN), 26, 27, 28])
    assert len(split.validation) == 0
    drawn = chosen(tmp_path, split_pairs, VERIFICATION_SIZE=4)
    assert len(drawn.validation) == 4
    np.testing.assert_array_equal(np.union1d(drawn.training, drawn.validation), split.training)
    assert drawn.digest == chosen(tmp_path, split_pairs, VERIFICATION_SIZE=4).digest
    assert drawn.digest != chosen(tmp_path, split_pairs, VERIFICATION_SIZE=4, seed=1).digest


def test_split_drawn_instead(tmp_path, split_pairs):
    split = chosen(tmp_path, split_pairs, split="random")
    assert split.sizes[:2] == (6, 20)
    assert split.digest == make_split(29, split.sizes, 0).digest
    sizes = {"QUERY_SIZE": 5, "DATABASE_SIZE": 24, "TRAINING_SIZE": 10, "VERIFICATION_SIZE": 3}
    split = chosen(tmp_path, split_pairs, split="sequential", **sizes)
    for part, rows in zip(
        (split.query, split.retrieval, split.training, split.validation),
        (range(5), range(5, 29), range(5, 15), range(15, 18)),
        strict=True,
    ):
        np.testing.assert_array_equal(part, rows)


@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_split_of_an_index_file(tmp_path, split_pairs, suffix):
    path = tmp_path / f"mine{suffix}"
    rows = {"query": np.arange(4), "retrieval": np.arange(4, 29), "training": np.arange(10, 20)}
    if suffix == ".npz":
        np.savez(path, **rows)
    else:
        write_v5(path, **{f"ind_{name}": numbers + 1.0 for name, numbers in rows.items()})
    split = chosen(tmp_path, split_pairs, split=str(path), VERIFICATION_SIZE=2)
    np.testing.assert_array_equal(split.query, rows["query"])
    np.testing.assert_array_equal(split.retrieval, rows["retrieval"])
    np.testing.assert_array_equal(np.union1d(split.training, split.validation), rows["training"])
    assert len(split.validation) == 2


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"QUERY_SIZE": 3},
            r"QUERY_SIZE, .* are 3, -1, -1, and the split is that of the data set's files; expected",
        ),
        (
            {"TRAINING_SIZE": 3, "split": "mine.npz"},
            r"are -1, -1, 3, and the split is that of mine.npz; expected -1",
        ),
        (
            {"VERIFICATION_SIZE": 11},
            "VERIFICATION_SIZE is 11, the files have 11 training items; expected fewer",
        ),
        ({"batch_size": 12}, "batch_size is 12, the training set has 11 items; expected a batch no larger"),
        ({"VERIFICATION_SIZE": 4, "batch_size": 8}, "batch_size is 8, the training set has 7 items"),
        ({"split": "random", "QUERY_SIZE": 29}, "QUERY_SIZE = 29, .*the data set has 29 items"),
        ({"split": "sequential", "TRAINING_SIZE": 24}, "TRAINING_SIZE = 24, .* leave 20 items to retrieve"),
    ],
)
def test_splits_that_cannot_be_are_told(tmp_path, split_pairs, changes, line):
    with pytest.raises(SettingError, match=line) as caught:
        chosen(tmp_path, split_pairs, **changes)
    assert "\n" not in str(caught.value)


def test_missing_index_file_is_told(tmp_path, split_pairs):
    with pytest.raises(DataError, match=r"mine.npz: not found"):
        chosen(tmp_path, split_pairs, split=str(tmp_path / "mine.npz"))


# ---------------------------------------------------------------- vocabulary


def write_collection(folder: Path) -> None:
    with open(folder / "list.csv", "w", newline="", encoding="utf-8") as file:
        rows = [[f"{row}.png", f"common only{row} only{row}", f"label {row % 3}"] for row in range(12)]
        csv.writer(file).writerows([["path", "text", "labels"], *rows])


def test_vocabulary_knows_the_training_items_only(tmp_path):
    write_collection(tmp_path)
    settings = settings_of(tmp_path, "collection", vocabulary_minimum=1)
    pairs, training, saved = open_source(settings), np.array([2, 5, 7]), tmp_path / "run" / "vocabulary.json"
    known = with_vocabulary(pairs, training, settings, saved, tmp_path / "cache")
    words = ["common", "only2", "only5", "only7"]
    assert list(known.tag_names) == words
    assert json.loads(saved.read_text())["words"] == words
    np.testing.assert_array_equal(known.texts[:, 0], 1)
    np.testing.assert_array_equal(known.texts[:, 1:], np.arange(12)[:, None] == training)
    np.testing.assert_array_equal(known.labels, pairs.labels)
    assert known.texts.dtype == np.uint8


def test_vocabulary_and_bags_are_used_again(tmp_path, monkeypatch):
    write_collection(tmp_path)
    settings = settings_of(tmp_path, "collection", vocabulary_minimum=1)
    pairs, saved, cache = open_source(settings), tmp_path / "vocabulary.json", tmp_path / "cache"
    known = with_vocabulary(pairs, np.array([2, 5, 7]), settings, saved, cache)
    (kept,) = cache.glob("texts-*.npy")
    # Tested again, the run's words count, whatever would be trained on now; no text is read anew.
    with monkeypatch.context() as patched:
        patched.setattr(vocabulary, "tokens", None)
        again = with_vocabulary(pairs, np.arange(12), settings, saved, cache)
    assert again.tag_names == known.tag_names
    np.testing.assert_array_equal(again.texts, known.texts)
    wanted = np.array(known.texts)
    kept.write_bytes(kept.read_bytes()[:-5])
    np.testing.assert_array_equal(with_vocabulary(pairs, np.arange(3), settings, saved, cache).texts, wanted)
    other = with_vocabulary(pairs, np.arange(12), settings, tmp_path / "other.json", cache)
    assert other.texts.shape == (12, 13)


def test_bags_of_words_need_no_vocabulary(tmp_path):
    write_v5(tmp_path / "FLICKR-25K.mat", images=FEATURES, YAll=TEXTS, LAll=HOT)
    pairs, saved = source(tmp_path), tmp_path / "vocabulary.json"
    settings = settings_of(tmp_path, "FLICKR")
    assert with_vocabulary(pairs, ALL, settings, saved, tmp_path) is pairs
    assert not saved.exists()


def test_a_cache_that_cannot_be_written_is_told(tmp_path):
    write_collection(tmp_path)
    (tmp_path / "cache").touch()  # a file where the folder would be
    settings = settings_of(tmp_path, "collection", vocabulary_minimum=1)
    pairs, saved = open_source(settings), tmp_path / "vocabulary.json"
    with pytest.raises(DataError, match=r"cache/texts-.*cannot be written, File exists"):
        with_vocabulary(pairs, np.arange(3), settings, saved, tmp_path / "cache")
    write_v5(tmp_path / "FLICKR-25K.mat", images=FEATURES, YAll=TEXTS, LAll=HOT)
    refused("cache/image-features-.*cannot be written, File exists", tmp_path)
