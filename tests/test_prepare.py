"""prepare: what it shares out, waits for, mends and distrusts; `test_prepared.py` has the plain way there
and back."""

import dataclasses
import errno
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gch.cli import main
from gch.data.array_pictures import ArrayPictures
from gch.data.generated import generate
from gch.data.pairs import OwnSplit, Pairs
from gch.data.picture_files import PictureFiles
from gch.data.prepare import prepare
from gch.data.prepared import open_prepared
from gch.errors import DataError

ITEMS, SHARD, SIDE = 50, 16, 16
SOURCE = generate(items=ITEMS, image_size=SIDE)
FIRST, SECOND = "images-00000-of-00004.tfrecord", "images-00001-of-00004.tfrecord"


def changed(**fields) -> Pairs:
    return dataclasses.replace(SOURCE, **fields)


def described() -> Pairs:
    return changed(
        captions=tuple(f"number {row}" for row in range(ITEMS)),
        ids=tuple(f"{row}.png" for row in range(ITEMS)),
        own_split=OwnSplit(np.arange(10), np.arange(10, ITEMS), np.arange(20, 30)),
    )


def write(folder: Path, pairs: Pairs = SOURCE, **options) -> Path:
    prepare(pairs, folder, **{"encoding": "raw", "shard_items": SHARD, **options})
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def dates(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


class Watched(ArrayPictures):
    """Remembers what is read together, and may fail."""

    def read(self, rows):
        self.reads.append(np.array(rows))
        if self.broken in rows:
            raise DataError(f"photos.mat: images: row {self.broken} unreadable")
        return super().read(rows)


def watched(block: int = 1, broken: int = -1) -> Pairs:
    pictures = Watched(SOURCE.pictures.array, block)
    object.__setattr__(pictures, "reads", [])
    object.__setattr__(pictures, "broken", broken)
    return changed(pictures=pictures)


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize("shard_items", [1, 7, 49, 50, 1000])
@pytest.mark.parametrize("jobs", [1, 5])
def test_any_size_of_shards(tmp_path, shard_items, jobs):
    pairs = open_prepared(write(tmp_path / "set", shard_items=shard_items, jobs=jobs))
    rows = np.random.default_rng(0).permutation(ITEMS)
    np.testing.assert_array_equal(pairs.pictures.read(rows), SOURCE.pictures.array[rows])
    assert len(list((tmp_path / "set").glob("*.tfrecord"))) == -(-ITEMS // shard_items)


def test_jobs_do_not_change_jpeg(tmp_path):
    one, five = (write(tmp_path / f"{jobs}", encoding="jpeg", jobs=jobs) for jobs in (1, 5))
    assert files(one) == files(five)


def test_jpeg_has_the_colours_of_its_source(tmp_path):
    pixels = np.full((ITEMS, 8, 24, 3), (200, 60, 20), np.uint8)
    pixels[:, :, 12:] = 20, 60, 200
    folder = write(tmp_path / "set", changed(pictures=ArrayPictures(pixels)), encoding="jpeg")
    found = open_prepared(folder).pictures
    assert found.size == (8, 24)
    assert np.abs(found.read(np.array([49, 3])).astype(int) - pixels[:2]).max() < 12


def test_texts_that_await_a_vocabulary_come_back(tmp_path):
    odd = ("", "two\nlines \u2028 and half \ud800", *map(str, range(2, ITEMS)))
    source = changed(texts=np.zeros((ITEMS, 0), np.uint8), tag_names=(), captions=odd)
    pairs = open_prepared(write(tmp_path / "set", source))
    assert pairs.texts.shape == (ITEMS, 0)
    assert pairs.captions == odd
    assert pairs.ids == tuple(map(str, range(ITEMS)))
    assert pairs.own_split is None


@pytest.mark.parametrize("block", [1, 5, 12, 40, 1000])
@pytest.mark.parametrize("shard_items", [16, 50])
def test_blocks_of_the_source_are_cut_at_the_ends_of_shards_only(tmp_path, block, shard_items):
    source = watched(block)
    write(tmp_path / "set", source, shard_items=shard_items, jobs=1)
    reads = source.pictures.reads
    np.testing.assert_array_equal(np.concatenate(reads), np.arange(ITEMS))
    for rows in reads:
        assert rows[0] % block == 0 or rows[0] % shard_items == 0
    assert len(reads) <= -(-ITEMS // max(block, 16)) + -(-ITEMS // shard_items) + 1


def test_progress_counts_up_to_all(tmp_path):
    told = []
    write(tmp_path / "set", watched(), progress=lambda *counts: told.append(counts))
    assert told[-1] == (ITEMS, ITEMS)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_a_source_that_fails_ends_it_and_what_is_finished_stays(tmp_path):
    with pytest.raises(DataError, match="row 40 unreadable"):
        write(tmp_path / "set", watched(broken=40), jobs=4)
    before = dates(tmp_path / "set")
    assert {FIRST, SECOND} < set(before)
    assert "index.json" not in before
    source = watched()
    write(tmp_path / "set", source)
    assert min(map(min, source.pictures.reads)) == 32
    assert before.items() <= dates(tmp_path / "set").items()
    assert files(tmp_path / "set") == files(write(tmp_path / "whole"))


# ---------------------------------------------------------------- pictures that are left out


def of_files(folder: Path, broken: list[int], **fields) -> Pairs:
    folder.mkdir()
    for row in set(range(ITEMS)) - set(broken):
        Image.fromarray(SOURCE.pictures.array[row]).save(folder / f"{row}.png")
    paths = [f"{row}.png" for row in range(ITEMS)]
    return changed(pictures=PictureFiles(folder, paths, SIDE, "crop"), **fields)


def test_default_sizes_fit_what_is_left(tmp_path):
    found = open_prepared(write(tmp_path / "a", of_files(tmp_path / "files", list(range(5)))))
    query, retrieval, training, validation = SOURCE.default_sizes
    assert found.default_sizes == (query, retrieval - 5, training - 5, validation)
    found = open_prepared(write(tmp_path / "b", of_files(tmp_path / "few", list(range(46)))))
    query, retrieval, training, validation = found.default_sizes
    assert (query, retrieval) == (2, 2)
    assert 1 <= training <= retrieval - validation


@pytest.mark.parametrize(("left", "told"), [([], "no picture can be read"), ([7], "one picture can be read")])
def test_nothing_to_prepare(tmp_path, left, told):
    source = of_files(tmp_path / "files", sorted(set(range(ITEMS)) - set(left)))
    with pytest.raises(DataError, match=rf"{told}.*0\.png: not found"):
        write(tmp_path / "set", source)


def test_a_part_of_the_split_that_is_lost_is_told(tmp_path):
    split = OwnSplit(np.array([3, 4]), np.arange(5, ITEMS), np.arange(5, 9))
    with pytest.raises(DataError, match="query: no picture of it can be read"):
        write(tmp_path / "set", of_files(tmp_path / "files", [3, 4], own_split=split))


def test_stop_after_skip_tells_the_first(tmp_path, capsys):
    source = of_files(tmp_path / "files", [30, 9])
    write(tmp_path / "set", source)
    assert "2 pictures" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"/9\.png: not found.*broken is 'stop' \(all 2 in"):
        write(tmp_path / "set", source, broken="stop")


# ---------------------------------------------------------------- one folder, several processes and plans


SLOW = """
import sys, time, dataclasses
from pathlib import Path
from gch.data.array_pictures import ArrayPictures
from gch.data.generated import generate
from gch.data.prepare import prepare
class Slow(ArrayPictures):
    def read(self, rows):
        time.sleep(0.2)
        return super().read(rows)
source = generate(items=50, image_size=16)
source = dataclasses.replace(source, pictures=Slow(source.pictures.array))
prepare(source, Path(sys.argv[1]), encoding="raw", shard_items=16, jobs=1)
"""


def test_a_second_process_waits_and_finds_all_done(tmp_path, repository, capsys):
    folder = tmp_path / "set"
    environment = os.environ | {"PYTHONPATH": str(repository)}
    first = subprocess.Popen([sys.executable, "-c", SLOW, str(folder)], env=environment)
    while not (folder / FIRST).exists():
        assert first.poll() is None
        time.sleep(0.02)
    source = watched()
    write(folder, source)
    assert "waiting for it" in capsys.readouterr().out
    assert source.pictures.reads == []
    assert first.wait() == 0
    assert files(folder) == files(write(tmp_path / "whole"))


def test_what_a_killed_process_left_goes_away(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / ".plan-abc123.json").touch()  # killed before it had begun
    write(folder)
    (folder / f".{SECOND.replace('.', '-x1y2.')}").write_bytes(b"half")
    write(folder)
    assert files(folder) == files(write(tmp_path / "whole"))


@pytest.mark.parametrize(
    "other",
    [
        {"own_split": OwnSplit(np.arange(9), np.arange(9, ITEMS), np.arange(20, 30))},
        {"ids": tuple(f"{row}.jpg" for row in range(ITEMS))},
        {"captions": tuple(f"other {row}" for row in range(ITEMS))},
        {"label_names": tuple("abcdefgh")},
        {"texts": 1 - SOURCE.texts, "digest": "other"},
    ],
)
def test_other_data_need_another_folder(tmp_path, other):
    folder = write(tmp_path / "set", described())
    before, then = files(folder), dates(folder)
    with pytest.raises(DataError, match="other data or other options"):
        write(folder, dataclasses.replace(described(), **other))
    assert (files(folder), dates(folder)) == (before, then)


def test_quality_does_not_matter_to_raw_pictures(tmp_path):
    write(write(tmp_path / "set", quality=95), quality=50)


@pytest.mark.parametrize("name", ["index.json", "plan.json", ".hidden", ".images"])
def test_a_folder_of_something_else_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text('{"format": "other"}')
    before = files(tmp_path)
    with pytest.raises(DataError, match="not empty, expected a new folder"):
        write(tmp_path)
    assert files(tmp_path) == before


def test_features_have_no_pictures_to_prepare(tmp_path):
    with pytest.raises(DataError, match="generated: has features in place of pixels"):
        write(tmp_path / "set", changed(pictures=None, features=np.zeros((ITEMS, 4), np.float32)))
    assert not (tmp_path / "set").exists()


def test_pictures_of_no_size_that_can_be_opened_again(tmp_path):
    with pytest.raises(DataError, match="generated: pictures are 7 x 16, expected sides of 8 to 4096 pixels"):
        write(tmp_path / "set", changed(pictures=ArrayPictures(SOURCE.pictures.array[:, :7])))
    assert not (tmp_path / "set").exists()


# ---------------------------------------------------------------- damage


def change(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


DAMAGE = {
    "index is garbage": lambda folder: (folder / "index.json").write_bytes(b"\xff{"),
    "index is another": lambda folder: change(folder / "index.json", b"label 3", b"label 4"),
    "index is missing": lambda folder: (folder / "index.json").unlink(),
    "plan is garbage": lambda folder: (folder / "plan.json").write_text("{"),
    "plan is missing": lambda folder: (folder / "plan.json").unlink(),
    "note is garbage": lambda folder: (folder / SECOND).with_suffix(".json").write_text("[]"),
    "note is another": lambda folder: change((folder / SECOND).with_suffix(".json"), b"12", b"13"),
    "shard, no index": lambda folder: (
        (folder / "index.json").unlink(),
        (folder / SECOND).write_bytes(bytes((folder / SECOND).stat().st_size)),
    ),
    "texts are others": lambda folder: change(folder / "texts.npy", b"\1\0", b"\0\1"),
    "ids are others": lambda folder: change(folder / "items.jsonl", b"7.png", b"8.png"),
    "split is garbage": lambda folder: (folder / "split.npz").write_bytes(b"PK"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_preparing_again_mends(tmp_path, name):
    folder = write(tmp_path / "set", described())
    before, then = files(folder), dates(folder)
    DAMAGE[name](folder)
    write(folder, described())
    assert files(folder) == before
    rewritten = {file for file, date in dates(folder).items() if date != then[file]}
    touched = {SECOND} if name.startswith(("note", "shard")) else set()
    assert {file for file in rewritten if file.endswith(".tfrecord")} == touched


def test_nothing_is_written_where_nothing_is_damaged(tmp_path):
    folder = write(tmp_path / "set", described())
    then = dates(folder)
    write(folder, described())
    assert dates(folder) == then


# ---------------------------------------------------------------- a disk that is full


class Limited:
    """Files cannot grow beyond a number of bytes, as on a full disk."""

    def __init__(self, most: int):
        self._most = most

    def __enter__(self):
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._most, self._before[1]))

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


NOISE = np.random.default_rng(0).integers(0, 256, (ITEMS, 64, 64, 3), np.uint8)
FULL = {
    "shard": (9000, SOURCE, {}),
    "note": (800, changed(pictures=ArrayPictures(SOURCE.pictures.array[:, :8, :8])), {"shard_items": 3}),
    "texts": (9000, generate(items=ITEMS, image_size=SIDE, words=400), {"shard_items": 4}),
    "JPEG": (5000, changed(pictures=ArrayPictures(NOISE)), {"encoding": "jpeg", "quality": 100}),
}


@pytest.mark.parametrize("name", FULL)
def test_a_full_disk_is_told_and_gone_on_from(tmp_path, name):
    most, source, options = FULL[name]
    folder = tmp_path / "set"
    with pytest.raises(DataError) as error, Limited(most):
        write(folder, source, **options)
    assert "make room, and the same command goes on" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (folder / "index.json").exists()
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    finished = {file: date for file, date in dates(folder).items() if file.startswith("images-")}
    write(folder, source, **options)
    if name != "note":
        assert finished.items() <= dates(folder).items()
    assert files(folder) == files(write(tmp_path / "whole", source, **options))


def test_a_disk_that_fills_up_when_all_is_flushed(tmp_path, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="set: cannot be written, No space left on device; make room"):
        write(tmp_path / "set")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "set"):
        with pytest.raises(DataError, match="cannot be written") as error:
            write(folder)
        assert "make room" not in str(error.value)


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    def denied(self, *_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(DataError, match="cannot be written, Permission denied") as error:
        write(tmp_path / "set")
    assert "make room" not in str(error.value)


# ---------------------------------------------------------------- folders that nobody should trust


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
    "encoding": ["png", None, [], {}],
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


# ---------------------------------------------------------------- the command


@pytest.fixture
def command(repository, capsys, monkeypatch) -> Callable:
    """Runs the command line in this process."""
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")

    def run(*arguments):
        status = main(["main_itpair.py", *map(str, arguments)], repository / "setting.py")
        return status, *capsys.readouterr()

    return run


FLICKR = generate(items=ITEMS, image_size=32, labels=3, words=9)


def flickr(folder: Path, images: np.ndarray | None = None) -> Path:
    folder.mkdir()
    pixels = FLICKR.pictures.array.transpose(0, 3, 2, 1)
    with h5py.File(folder / "FLICKR-25K.mat", "w") as file:
        file.create_dataset("images", data=pixels if images is None else images)
        file["YAll"], file["LAll"] = FLICKR.texts.T, FLICKR.labels.T
    return folder


@pytest.fixture
def data(tmp_path) -> Path:
    return flickr(tmp_path / "data")


def test_the_command_writes_what_its_lines_train_on(command, data, tmp_path, repository):
    out = tmp_path / "out"
    status, output, error = command("prepare", data, f"--out={out}", "--encoding=raw", "--shard_items=20")
    assert (status, error) == (0, "")
    assert f"{out}: 50 pictures 32 x 32 as raw in 3 shards, of flickr25k" in output
    lines = [line.strip() for line in output.partition("setting.py:\n")[2].splitlines()]
    assert lines == ['dataset_dir = "FLICKR"', f'DATA_DIR = "{out}"', "image_size = 32"]
    pairs = open_prepared(out)
    np.testing.assert_array_equal(pairs.pictures.read(np.arange(ITEMS)), FLICKR.pictures.array)
    np.testing.assert_array_equal(pairs.texts, FLICKR.texts)
    flags = ["--" + line.replace(" = ", "=").replace('"', "") for line in lines]
    places = [f"--checkpoint_dir={tmp_path / 'runs'}", f"--log_dir={tmp_path / 'logs'}"]
    short = (
        "--netStr=efficientnet-lite0 --backbone_start=random --Epoch=1 --MAX_ITER=2 --batch_size=8 --bit=16"
    )
    steps = "--k_lab=1 --k_gph=1 --k_txt=1 --k_img=1 --k_txt_g=0 --k_img_g=0"
    plain = "--panel_queries=0 --plots=False --histograms=False"
    words = [*flags, *places, *short.split(), *steps.split(), *plain.split()]
    process = [sys.executable, "main_itpair.py", *words]
    trained = subprocess.run(process, cwd=repository, capture_output=True, text=True)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert list((tmp_path / "runs").glob("*/results.json"))


def test_the_command_goes_on_mends_and_takes_its_settings(command, data, tmp_path):
    out = tmp_path / "out"
    words = ("prepare", f"--DATA_DIR={data}", "--dataset_dir=FLICKR", "--image_size=32", f"--out={out}")
    status, output, _ = command(*words)
    assert status == 0
    assert "image_size" not in output
    before = files(out)
    (out / "texts.npy").unlink()
    assert command(*words)[0] == 0
    assert files(out) == before
    again = tmp_path / "again"  # from what is prepared already
    assert command("prepare", out, f"--out={again}", "--encoding=raw")[0] == 0
    rows = np.arange(ITEMS)
    first, second = (open_prepared(folder).pictures.read(rows) for folder in (out, again))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "out is missing; expected --out=FOLDER"),
        (["--out=new", "--encoding=gif"], "encoding is 'gif'; expected jpeg or raw"),
        (["--out=new", "--quality=0"], "quality is 0; expected 1 to 100"),
        (["--out=new", "--shard_items=0"], "shard_items is 0"),
        (["--out=new", "--jobs=-1"], "jobs is -1"),
    ],
)
def test_wrong_options_are_told(command, data, tmp_path, monkeypatch, flags, told):
    monkeypatch.chdir(tmp_path)
    status, output, error = command("prepare", data, *flags)
    assert (status, output) == (2, "")
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_features_cannot_be_prepared(command, tmp_path):
    folder = flickr(tmp_path / "features", np.ones((64, ITEMS), np.float32))
    status, _, error = command("prepare", folder, f"--out={tmp_path / 'out'}")
    assert status == 1
    assert "features in place of pixels; expected pictures to prepare" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_left_alone_by_the_command(command, data):
    before = files(data)
    status, _, error = command("prepare", data, f"--out={data}")
    assert status == 1
    assert "not empty, expected a new folder" in error
    assert files(data) == before
