"""Prepared folders that nobody should trust: every answer is pictures or one line."""

import json
import shutil
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from preparing import ITEMS, SIDE, SOURCE, described, write
from sources import refusal
from written import encoded

from gch.data.prepared import open_prepared


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    return write(tmp_path_factory.mktemp("healthy") / "set", described(), encoding="jpeg")


@pytest.fixture
def copied(healthy, tmp_path) -> Path:
    return shutil.copytree(healthy, tmp_path / "set")


def test_many_threads_may_read(tmp_path):
    pictures = open_prepared(write(tmp_path / "set")).pictures

    def right(seed: int) -> bool:
        rows = np.random.default_rng(seed).integers(0, ITEMS, 200)
        return np.array_equal(pictures.read(rows), SOURCE.pictures.array[rows])

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(right, range(6)))


NESTED = json.loads("[" * 900 + "]" * 900)
SPLIT = described().own_split._asdict()
VALUES = {
    "format": ["other", None],
    "name": ["", "a/b", "a\0", "--", 1],
    "items": [0, True, 50.0, 10**30, "50"],
    "size": [[16], [16, -16], [True, 16], [7, 16], [4097, 16], 16],
    "encoding": ["gif", []],
    "bytes": [-1, None, "1"],
    "default_sizes": [[8, 42, 38], [8, 0, 0, 0], [-1, 9, 1, 1], [2**70] * 4, "8888"],
    "tag_names": [[1], "word", None],
    "label_names": [[None], NESTED],
    "plan": [1],
    "left_out": [[1], "a"],
    "ids": [["a"], [1] * ITEMS, {}],
    "captions": [["a"], [1] * ITEMS, [[1]] * ITEMS, [NESTED] * ITEMS],
    "split": [
        *(0, {}, {"query": [0], "retrieval": [1]}),
        SPLIT | {"query": [3, 2, 1]},
        SPLIT | {"query": [9, 10]},  # 10 is retrieved
        SPLIT | {"validation": [3, 40]},  # 3 is a query
        SPLIT | {"validation": [5, 5]},
        SPLIT | {"validation": "all"},
        SPLIT | {"training": [-1, 2]},
        SPLIT | {"training": [ITEMS]},
        SPLIT | {"retrieval": []},
        SPLIT | {"retrieval": [[1, 2]]},
    ],
}


@pytest.mark.parametrize("field", VALUES)
def test_every_field_of_the_index_is_checked(copied, field):
    path = copied / "index.json"
    index = json.loads(path.read_text())
    for value in VALUES[field]:
        path.write_text(json.dumps(index | {field: value}, default=np.ndarray.tolist))
        with refusal(r"index\.json: ") as error:
            open_prepared(copied)
        assert len(str(error.value)) < len(str(path)) + 200
    path.write_text(json.dumps({name: value for name, value in index.items() if name != field}))
    with refusal(f"{field} is missing"):
        open_prepared(copied)


NONE = {"ids": None, "captions": None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"default_sizes": [10, 41, 1, 1], "split": None}, "default_sizes are of 51 items, expected 50 at"),
        ({"items": 51, **NONE}, r"places.npy: int64 \(50, 3\), expected int64 \(51, 3\)"),
        ({"items": 49, "left_out": ["one"], **NONE}, "places.npy: 50 pictures, expected 49"),
        ({"bytes": 7}, "pictures.bin: .* bytes, expected 7 bytes"),
    ],
)
def test_fields_must_agree(copied, changes, message):
    path = copied / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with refusal(message):
        open_prepared(copied)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[]", b"[" * 100_000, b"1" * 10_000])
def test_an_index_that_is_none(copied, data):
    (copied / "index.json").write_bytes(data)
    with refusal(r"index\.json: "):
        open_prepared(copied)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("places.npy", np.zeros((ITEMS, 3), np.int32)),
        ("places.npy", np.zeros((ITEMS, 3), object)),
        ("places.npy", np.zeros((ITEMS, 3), np.int64)),
        ("texts.npy", np.zeros((ITEMS, 39), np.uint8)),  # of 40 words
        ("labels.npy", np.zeros((ITEMS, 0), np.uint8)),
        ("labels.npy", np.full((ITEMS, 8), 2, np.uint8)),
    ],
)
def test_arrays_of_another_shape_type_or_content(copied, name, array):
    np.save(copied / name, array)
    with refusal(f"{name}: "):
        open_prepared(copied)


def even(width: int, height: int, kind: str = "JPEG", mode: str = "RGB") -> bytes:
    return encoded(Image.new(mode, (width, height), 90 if mode == "L" else 0), kind)


def declared(width: int, height: int) -> bytes:
    """A small JPEG that says it is of another size."""
    data = bytearray(even(SIDE, SIDE))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


def forge(folder: Path, data: bytes, **place: int) -> None:
    """Puts other bytes in place of the first picture, with the right checksum."""
    places = np.load(folder / "places.npy")
    with open(folder / "pictures.bin", "r+b") as file:
        file.write(data)
    columns = {"offset": 0, "length": len(data), "checksum": zlib.crc32(data)} | place
    places[0] = [columns[name] for name in ("offset", "length", "checksum")]
    np.save(folder / "places.npy", places)


FORGED = {
    "turned": (even(16, 17), {}, "16 x 17, expected 16 x 16"),
    "huge": (declared(65500, 65500), {}, "expected"),
    "large": (declared(10_000, 9_500), {}, "10000 x 9500, expected 16 x 16"),
    "cut": (even(SIDE, SIDE)[:-60], {}, "cannot be decoded"),
    "PNG": (even(SIDE, SIDE, "PNG"), {}, "cannot be decoded, expected JPEG"),
    "zeros": (bytes(500), {}, "cannot be decoded"),
    "no length": (b"", {}, "places.npy: 49 pictures, expected 50"),
}
PLACES = [("offset", -1), ("offset", 2**63 - 1), ("length", -1), ("length", 2**62), ("checksum", -1)]
for column, value in PLACES:
    of = f"{column} {value}"
    FORGED[of] = (even(SIDE, SIDE), {column: value}, "expected a picture|checksum differs")


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_picture_is_refused_and_takes_no_memory(copied, name):
    data, place, message = FORGED[name]
    forge(copied, data, **place)
    tracemalloc.start()
    try:
        with refusal(message):
            open_prepared(copied).pictures.read(np.arange(3))
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


def test_grey_jpegs_are_rgb(copied):
    forge(copied, even(SIDE, SIDE, mode="L"))
    assert (open_prepared(copied).pictures.read(np.array([0])) == 90).all()
