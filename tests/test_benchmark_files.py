import h5py
import numpy as np
import pytest
import scipy.io
from gch.data.benchmark_files import open_benchmark_files

from gch.array_files import list_arrays
from gch.data.layouts import find_layout
from gch.data.pairs import Pairs
from gch.data.pixels import Hdf5Pictures, open_pixels, pixel_layout
from gch.data.split import default_sizes
from gch.errors import DataError

ITEMS, WORDS, LABELS, HEIGHT, WIDTH = 45, 11, 5, 6, 9
STORAGE = {
    "chunked": {"chunks": (8, 3, WIDTH, HEIGHT)},
    "contiguous": {},
    "gzip": {"chunks": (8, 3, WIDTH, HEIGHT), "compression": "gzip"},
    "cut across": {"chunks": (20, 1, 4, 4), "compression": "gzip"},
}


def content():
    random = np.random.default_rng(0)
    return {
        "images": random.integers(0, 256, (ITEMS, 3, WIDTH, HEIGHT), np.uint8),
        "YAll": random.integers(0, 2, (WORDS, ITEMS), np.uint8),
        "LAll": random.integers(0, 2, (LABELS, ITEMS), np.uint8),
    }


def write(path, arrays, **storage):
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **(storage if name == "images" else {}))
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


def open_flickr25k(path, axes="auto"):
    folder = path if path.is_dir() else path.parent
    return open_benchmark_files(find_layout(path, "FLICKR"), "flickr25k", "FLICKR", axes, folder / "cache")


@pytest.fixture(params=STORAGE)
def path(request, tmp_path):
    return write(tmp_path / "FLICKR-25K.mat", content(), **STORAGE[request.param])


def test_reads_every_storage(path):
    pairs, stored = open_flickr25k(path), content()
    assert isinstance(pairs, Pairs)
    np.testing.assert_array_equal(pairs.texts, stored["YAll"].T)
    np.testing.assert_array_equal(pairs.labels, stored["LAll"].T)
    assert pairs.texts.dtype == pairs.labels.dtype == np.uint8
    rows = np.array([44, 0, 7, 8, 7, 31, 30])
    np.testing.assert_array_equal(pairs.pictures.read(rows), stored["images"][rows].transpose(0, 3, 2, 1))
    assert pairs.pictures.read(np.zeros(0, np.int64)).shape == (0, HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(
    "names",
    [
        {"images": "IAll", "YAll": "YAll", "LAll": "LAll"},
        {"images": "images/IAll", "YAll": "YAll/YAll", "LAll": "LAll/LAll"},
        {"images": "IAll/IAll", "YAll": "YAll", "LAll": "LAll/LAll"},
    ],
)
def test_other_names_that_go_round_are_known(tmp_path, names):
    stored = content()
    path = write(tmp_path / "FLICKR-25K.mat", {names[name]: array for name, array in stored.items()})
    pairs = open_flickr25k(path)
    np.testing.assert_array_equal(pairs.texts, stored["YAll"].T)
    np.testing.assert_array_equal(pairs.labels, stored["LAll"].T)
    rows = np.array([44, 3, 17])
    np.testing.assert_array_equal(pairs.pictures.read(rows), stored["images"][rows].transpose(0, 3, 2, 1))
    plain = open_flickr25k(write(tmp_path / "plain.mat", stored))
    assert pairs.digest == plain.digest


def test_rows_and_columns_are_not_swapped(tmp_path):
    arrays = content()
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[0, :, 0] = 255  # A red line along the top.
    picture[:, 0, 2] = 255  # A blue line down the left.
    arrays["images"][3] = picture.transpose(2, 1, 0)
    pairs = open_flickr25k(write(tmp_path / "FLICKR-25K.mat", arrays))
    np.testing.assert_array_equal(pairs.pictures.read(np.array([3]))[0], picture)


def test_takes_the_folder_and_tells_the_block(tmp_path):
    write(tmp_path / "FLICKR-25K.mat", content(), chunks=(8, 3, WIDTH, HEIGHT))
    assert open_flickr25k(tmp_path).pictures.block == 8


def test_takes_arrays_the_other_way_round_and_as_doubles(tmp_path):
    stored = content()
    arrays = {**stored, "YAll": stored["YAll"].T.astype(np.float64), "LAll": stored["LAll"].T.astype(bool)}
    pairs = open_flickr25k(write(tmp_path / "FLICKR-25K.mat", arrays))
    np.testing.assert_array_equal(pairs.texts, stored["YAll"].T)
    np.testing.assert_array_equal(pairs.labels, stored["LAll"].T)


def test_digest_names_the_content(tmp_path):
    def digest(name, **changed):
        return open_flickr25k(write(tmp_path / name, {**content(), **changed})).digest

    first = digest("first.mat")
    assert digest("second.mat") == first
    for name in ("images", "YAll", "LAll"):
        array = content()[name]
        array[-1, -1] ^= 1
        assert digest("other.mat", **{name: array}) != first


def test_block_is_read_once(tmp_path, monkeypatch):
    pairs = open_flickr25k(write(tmp_path / "FLICKR-25K.mat", content(), chunks=(8, 3, WIDTH, HEIGHT)))
    reads = []
    whole = Hdf5Pictures._read
    monkeypatch.setattr(
        Hdf5Pictures, "_read", lambda self, first, end: reads.append(first // 8) or whole(self, first, end)
    )
    pairs.pictures.read(np.random.default_rng(0).permutation(ITEMS))
    assert reads == [0, 1, 2, 3, 4, 5]


def truncated(path):
    write(path, content())
    path.write_bytes(path.read_bytes()[:-2000])


def group(path):
    with h5py.File(path, "w") as file:
        for name in ("images", "YAll", "LAll"):
            file[f"{name}/IAll"] = np.zeros(3)


def nan_labels(path):
    labels = content()["LAll"].astype(np.float32)
    labels[2, 7] = np.nan
    write(path, {**content(), "LAll": labels})


def linked(path):
    write(path, {name: array for name, array in content().items() if name != "YAll"})
    other = write(path.with_name("other.h5"), {"YAll": content()["YAll"]})
    with h5py.File(path, "r+") as file:
        file["YAll"] = h5py.ExternalLink(other.name, "YAll")


def external(path):
    stored = content()
    write(path, {name: array for name, array in stored.items() if name != "LAll"})
    secret = path.with_name("secret")
    secret.write_bytes(bytes(LABELS * ITEMS))
    with h5py.File(path, "r+") as file:
        file.create_dataset("LAll", (LABELS, ITEMS), np.uint8, external=[(str(secret), 0, LABELS * ITEMS)])


def enormous(path):
    write(path, {name: array for name, array in content().items() if name != "YAll"})
    with h5py.File(path, "r+") as file:
        file.create_dataset("YAll", (10**9, ITEMS), np.float64, chunks=(1000, ITEMS))


def changed(**arrays):
    return lambda path: write(path, {**content(), **arrays})


BROKEN = {
    "missing": (
        lambda path: None,
        "not found, expected a folder of data files or a data file",
    ),
    "version 5": (
        lambda path: scipy.io.savemat(path, {"X": np.zeros(3)}),
        "images not found, .* holds X",
    ),
    "text": (lambda path: path.write_text("hello"), "begins with b'hello'; expected MATLAB v5 or v7.3"),
    "empty": (lambda path: path.write_bytes(b""), "empty; expected a file of arrays"),
    "truncated": (truncated, "cannot be opened as HDF5, .*truncated"),
    "no images": (
        lambda path: write(path, {"YAll": np.ones((2, 3)), "Z": np.ones(1)}),
        "images not .*YAll, Z",
    ),
    "no labels": (
        lambda path: write(path, {k: v for k, v in content().items() if k != "LAll"}),
        "labels not found, the file holds YAll, images; expected an array LAll",
    ),
    "groups": (group, "texts not found, the file holds LAll/IAll, YAll/IAll, images/IAll"),
    "no channels": (changed(images=np.zeros((ITEMS, 4, 9, 6), np.uint8)), "expected pictures \\(N, 3, W, H"),
    "no items": (changed(images=np.zeros((0, 3, 9, 6), np.uint8)), "images has shape \\(0,"),
    "float images": (changed(images=np.zeros((ITEMS, 3, 9, 6))), "images is float64, expected uint8"),
    "other length": (changed(YAll=np.ones((WORDS, ITEMS - 1), np.uint8)), "YAll has shape .* 45 items"),
    "flat labels": (changed(LAll=np.ones(ITEMS, np.uint8)), "LAll has shape"),
    "counts in labels": (
        changed(LAll=np.full((LABELS, ITEMS), 2, np.uint8)),
        "LAll holds 2 .*0 or 1$",
    ),
    "negative tags": (changed(YAll=np.full((WORDS, ITEMS), -1)), "YAll holds -1 .*or a count up to 255"),
    "fractions": (changed(YAll=np.full((WORDS, ITEMS), 0.5)), "YAll holds 0.5 .*item 0, column 0"),
    "zeros": (changed(LAll=np.zeros((LABELS, ITEMS), np.uint8)), "LAll holds zeros only"),
    "swapped": (changed(YAll=content()["LAll"], LAll=content()["YAll"]), "are the two swapped"),
    "nan": (nan_labels, r"LAll holds nan \(item 7, column 2\)"),
    "strings": (changed(YAll=np.full((WORDS, ITEMS), b"a")), "YAll holds no numbers"),
    "link": (linked, "YAll is a link; expected an array of this file"),
    "external": (external, "LAll lies in another file"),
    "enormous": (enormous, "YAll .* would be .* GiB in memory"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file_is_told_in_one_line(tmp_path, name):
    path = tmp_path / "FLICKR-25K.mat"
    write_broken, line = BROKEN[name]
    write_broken(path)
    with pytest.raises(DataError, match=line) as caught:
        open_flickr25k(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_chunk_is_told_when_it_is_read(tmp_path):
    path = write(tmp_path / "FLICKR-25K.mat", content(), chunks=(8, 3, WIDTH, HEIGHT), compression="gzip")
    with h5py.File(path) as file:
        chunk = file["images"].id.get_chunk_info(2)
    with open(path, "r+b") as file:
        file.seek(chunk.byte_offset + 512)
        file.write(bytes(chunk.size // 2))
    pictures = open_pixels(array := list_arrays(path)["images"], pixel_layout(array, "auto"))
    pictures.read(np.arange(16))
    with pytest.raises(DataError, match=r"images: rows 16 to 18 unreadable"):
        pictures.read(np.array([18, 3, 16]))


@pytest.mark.parametrize(
    ("total", "sizes"),
    [
        (20_015, (2000, 18_015, 10_000, 500)),
        (15_580, (2000, 13_580, 7500, 500)),
        (2000, (200, 1800, 999, 50)),
        (40, (4, 36, 19, 1)),
    ],
)
def test_default_sizes(total, sizes):
    assert default_sizes("FLICKR", total) == sizes
