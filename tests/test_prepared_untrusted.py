"""Folders that nobody should trust."""

import io
import json
import shutil
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from preparing import FIRST, ITEMS, SIDE, described, write

from gch.data.prepared import open_prepared
from gch.errors import DataError


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    return write(tmp_path_factory.mktemp("healthy") / "set", described(), encoding="jpeg")


@pytest.fixture
def copied(healthy, tmp_path) -> Path:
    return shutil.copytree(healthy, tmp_path / "set")


def nested(depth: int) -> list:
    value = []
    for _ in range(depth):
        value = [value]
    return value


SHARD_FIELDS = {"file": "a", "records": ITEMS, "bytes": 1, "sha256": ""}


VALUES = {
    "name": ["", "..", "a/b", "a\0", "--", 1, None, []],
    "items": [0, -1, 51, True, 50.0, 10**30, "50", None],
    "size": [[16], [16, -16], [16, 16, 3], [True, 16], [7, 16], [4097, 16], 16, {"16": 16}],
    "encoding": ["gif", None, [], {}],
    "default_sizes": [[8, 42, 38], [8, 0, 0, 0], [0, 8, 1, 1], [-1, 9, 1, 1], [2**70] * 4, "8888"],
    "tag_names": [[1], "word", {"a": 1}, None],
    "label_names": [[None], "label", 8, nested(900)],
    "described": [1, "true", None],
    "split": [0, [], None],
    "plan": [1, None, ["a"]],
    "left_out": [[1], "a", None],
    "files": [["records.npy"], {"../a": ""}, {"a": 1}, {"": ""}, {".": ""}],
    "shards": [
        *([], {}, [[]], [1], None),
        *(
            [SHARD_FIELDS | {field: value}]
            for field, value in [
                *(
                    ("file", name)
                    for name in ("..", ".", "", "../a", "a/b", "/etc/passwd", "a\0b", "a\nb", 1)
                ),
                *(("records", value) for value in (-1, 49, True, 50.0, "50", 10**30)),
                *(("bytes", value) for value in (-1, True, None, 10**30)),
                *(("sha256", value) for value in (1, None)),
            ]
        ),
    ],
}


@pytest.mark.parametrize("field", VALUES)
def test_every_field_of_the_index_is_checked(copied, field):
    path = copied / "index.json"
    index = json.loads(path.read_text())
    for value in VALUES[field]:
        path.write_text(json.dumps(index | {field: value}))
        with pytest.raises(DataError, match=r"index\.json: ") as error:
            open_prepared(copied)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < len(str(path)) + 200
    path.write_text(json.dumps({name: value for name, value in index.items() if name != field}))
    with pytest.raises(DataError, match=f"{field} is missing"):
        open_prepared(copied)


def test_sizes_of_more_items_than_there_are(tmp_path):
    path = write(tmp_path / "set") / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"default_sizes": [10, 41, 1, 1]}))
    with pytest.raises(DataError, match="default_sizes are of 51 items, expected 50 at most"):
        open_prepared(path.parent)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"format":' * 5000,
        b"1" * 10_000,
        b'{"format": NaN}',
    ],
)
def test_an_index_that_is_none(copied, data):
    (copied / "index.json").write_bytes(data)
    with pytest.raises(DataError, match=r"index\.json: ") as error:
        open_prepared(copied)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("records.npy", np.zeros((ITEMS, 2), np.int64)),
        ("records.npy", np.zeros((ITEMS, 3), np.int32)),
        ("records.npy", np.zeros((ITEMS, 3), object)),
        ("texts.npy", np.zeros((ITEMS, 39), np.uint8)),  # of 40 words
        ("texts.npy", np.zeros((ITEMS - 1, 40), np.uint8)),
        ("labels.npy", np.zeros((ITEMS, 0), np.uint8)),
        ("labels.npy", np.full((ITEMS, 8), 2, np.uint8)),
        ("labels.npy", np.zeros(ITEMS, np.uint8)),
    ],
)
def test_arrays_of_another_shape_type_or_content(copied, name, array):
    np.save(copied / name, array)
    with pytest.raises(DataError, match=f"{name}: "):
        open_prepared(copied)


@pytest.mark.parametrize(
    "wrong",
    [
        {"query": [3, 2, 1]},
        {"query": [1, 1]},
        {"query": [9, 10]},  # 10 is retrieved
        {"training": [-1, 2]},
        {"training": [ITEMS]},
        {"retrieval": []},
        {"retrieval": [[1, 2]]},
        {"retrieval": ["one"]},
    ],
)
def test_a_split_that_is_none(copied, wrong):
    np.savez(copied / "split.npz", **described().own_split._asdict() | wrong)
    with pytest.raises(DataError, match=r"split\.npz: "):
        open_prepared(copied)


@pytest.mark.parametrize(
    "line", ["{}", "[]", "1", '"id"', '{"id": 1, "tags": 1}', "{" * 5000, '{"id": ' + "[" * 100_000]
)
def test_items_that_are_none(copied, line):
    lines = (copied / "items.jsonl").read_text().splitlines()
    (copied / "items.jsonl").write_text("\n".join([line, *lines[1:]]))
    with pytest.raises(DataError, match=r"items\.jsonl: ") as error:
        open_prepared(copied)
    assert "\n" not in str(error.value)


def jpeg(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height)).save(stream, "JPEG")
    return stream.getvalue()


def declared(width: int, height: int) -> bytes:
    """A small JPEG that says it is of another size."""
    data = bytearray(jpeg(SIDE, SIDE))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE)).save(stream, "PNG")
    return stream.getvalue()


FORGED = {
    "smaller": (jpeg(8, 8), "8 x 8, expected 16 x 16"),
    "turned": (jpeg(16, 17), "16 x 17, expected 16 x 16"),
    "huge": (declared(65500, 65500), "expected"),
    "large": (declared(10_000, 9_500), "10000 x 9500, expected 16 x 16"),
    "cut": (jpeg(SIDE, SIDE)[:-60], "cannot be decoded"),
    "PNG": (png(), "cannot be decoded, expected JPEG"),
    "zeros": (bytes(500), "cannot be decoded"),
}


def forge(folder: Path, data: bytes, **record: int) -> None:
    """Puts other bytes in place of the first picture, with the right checksum."""
    records = np.load(folder / "records.npy")
    content = bytearray((folder / FIRST).read_bytes())
    content[records[0, 0] : records[0, 0] + len(data)] = data
    (folder / FIRST).write_bytes(content)
    columns = {"offset": int(records[0, 0]), "length": len(data), "checksum": zlib.crc32(data)} | record
    records[0] = [columns[name] for name in ("offset", "length", "checksum")]
    np.save(folder / "records.npy", records)
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0]["bytes"] = len(content)
    (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_picture_is_told_and_takes_no_memory(copied, name):
    data, told = FORGED[name]
    forge(copied, data)
    pictures = open_prepared(copied).pictures
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=f"{FIRST}: picture 0: .*{told}"):
            pictures.read(np.arange(3))
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "record",
    [
        *({"offset": value} for value in (-1, 2**40, 2**63 - 1)),
        *({"length": value} for value in (0, -1, 2**27, 2**62)),
        *({"checksum": value} for value in (0, -1, 2**40)),
    ],
)
def test_a_forged_record(copied, record):
    forge(copied, jpeg(SIDE, SIDE), **record)
    pictures = open_prepared(copied).pictures
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="picture 0: "):
            pictures.read(np.array([0]))
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


def test_grey_jpegs_are_rgb(copied):
    stream = io.BytesIO()
    Image.new("L", (SIDE, SIDE), 90).save(stream, "JPEG")
    forge(copied, stream.getvalue())
    assert (open_prepared(copied).pictures.read(np.array([0])) == 90).all()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=9,
)


@settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.sampled_from([*VALUES, "format", "version", "more"]), JSON)
def test_any_value_of_a_field_gives_pictures_or_a_data_error(healthy, field, value):
    path = healthy / "index.json"
    whole = path.read_bytes()
    try:
        path.write_text(json.dumps(json.loads(whole) | {field: value}))
        pairs = open_prepared(healthy)
        assert pairs.pictures.read(np.arange(ITEMS)).shape == (ITEMS, SIDE, SIDE, 3)
    except DataError:
        return
    finally:
        path.write_bytes(whole)
