"""The sharded form of a data set: what goes in comes out, kills and damage are survived."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gch.data.array_pictures import ArrayPictures
from gch.data.generated import generate
from gch.data.pairs import OwnSplit, Pairs
from gch.data.picture_files import PictureFiles
from gch.data.prepare import prepare
from gch.data.prepared import open_prepared
from gch.errors import DataError

ITEMS, SHARD = 50, 16
SOURCE = generate(items=ITEMS, image_size=16)


def described() -> Pairs:
    """With all that a data set may have."""
    return dataclasses.replace(
        SOURCE,
        captions=tuple(("tag", f"number {row}") if row % 2 else f"Bücher {row}" for row in range(ITEMS)),
        ids=tuple(f"folder/{row}.png" for row in range(ITEMS)),
        own_split=OwnSplit(np.arange(10), np.arange(10, ITEMS), np.arange(20, 30)),
    )


def write(folder: Path, pairs: Pairs = SOURCE, **options) -> Path:
    prepare(pairs, folder, **{"encoding": "raw", "shard_items": SHARD, **options})
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_everything_comes_back(tmp_path):
    source = described()
    pairs = open_prepared(write(tmp_path / "set", source))
    rows = np.array([49, 0, 17, 17, 31])
    np.testing.assert_array_equal(pairs.pictures.read(rows), SOURCE.pictures.array[rows])
    assert pairs.pictures.read(np.zeros(0, np.int64)).shape == (0, 16, 16, 3)
    np.testing.assert_array_equal(pairs.texts, SOURCE.texts)
    np.testing.assert_array_equal(pairs.labels, SOURCE.labels)
    for field in ("name", "tag_names", "label_names", "captions", "ids", "default_sizes"):
        assert getattr(pairs, field) == getattr(source, field)
    for part, expected in zip(pairs.own_split, source.own_split, strict=True):
        np.testing.assert_array_equal(part, expected)


def test_jpeg_is_close_and_smaller(tmp_path):
    smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    source = dataclasses.replace(SOURCE, pictures=ArrayPictures(np.repeat(smooth[None], ITEMS, axis=0)))
    folder = write(tmp_path / "set", source, encoding="jpeg")
    found = open_prepared(folder).pictures.read(np.arange(3)).astype(int)
    assert np.abs(found - smooth).mean() < 3
    assert sum(path.stat().st_size for path in folder.glob("*.tfrecord")) < ITEMS * smooth.size / 2


def test_png_loses_nothing_and_is_smaller(tmp_path):
    flat = np.arange(ITEMS, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 3), np.uint8)
    source = dataclasses.replace(SOURCE, pictures=ArrayPictures(flat))
    folder = write(tmp_path / "set", source, encoding="png")
    np.testing.assert_array_equal(open_prepared(folder).pictures.read(np.arange(ITEMS)), flat)
    assert sum(path.stat().st_size for path in folder.glob("*.tfrecord")) < flat.size / 2


def test_shards_are_plain_tfrecords(tmp_path):
    folder = write(tmp_path / "set")
    shards = sorted(str(path) for path in folder.glob("*.tfrecord"))
    assert len(shards) == 4  # 16, 16, 16 and 2
    records = [record.numpy() for record in tf.data.TFRecordDataset(shards)]
    assert records == [picture.tobytes() for picture in SOURCE.pictures.array]


def test_jobs_do_not_change_what_is_written(tmp_path):
    assert files(write(tmp_path / "one", jobs=1)) == files(write(tmp_path / "four", jobs=4))


def test_many_threads_may_read(tmp_path):
    pictures = open_prepared(write(tmp_path / "set")).pictures
    right = []

    def read(seed: int) -> None:
        rows = np.random.default_rng(seed).integers(0, ITEMS, 200)
        right.append(np.array_equal(pictures.read(rows), SOURCE.pictures.array[rows]))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 6


SLOW = """
import sys, time, numpy as np
from pathlib import Path
from gch.data.array_pictures import ArrayPictures
from gch.data.generated import generate
from gch.data.prepare import prepare
import dataclasses
class Slow(ArrayPictures):
    def read(self, rows):
        time.sleep(float(sys.argv[2]))
        return super().read(rows)
source = generate(items=50, image_size=16)
source = dataclasses.replace(source, pictures=Slow(source.pictures.array))
prepare(source, Path(sys.argv[1]), encoding="raw", shard_items=16, jobs=1)
"""


def test_a_killed_one_goes_on_to_the_same_files(tmp_path, repository):
    folder = tmp_path / "killed"
    environment = os.environ | {"PYTHONPATH": str(repository)}
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(folder), "0.5"], env=environment)
    while not list(folder.glob("images-00001-*.json")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "index.json").exists()
    finished = {path.name: path.stat().st_mtime_ns for path in folder.glob("images-*.tfrecord")}
    assert {"images-00000-of-00004.tfrecord", "images-00001-of-00004.tfrecord"} <= set(finished)
    write(folder)
    for name in ("images-00000-of-00004.tfrecord", "images-00001-of-00004.tfrecord"):
        assert (folder / name).stat().st_mtime_ns == finished[name]
    left = {name: data for name, data in files(folder).items() if not name.startswith(".")}
    assert left == files(write(tmp_path / "whole"))


@pytest.mark.parametrize(
    "other",
    [
        lambda folder: write(folder, generate(items=ITEMS, image_size=16, seed=1)),
        lambda folder: write(folder, encoding="jpeg"),
        lambda folder: write(folder, shard_items=8),
    ],
)
@pytest.mark.parametrize("begun", [True, False])
def test_other_data_or_options_need_another_folder(tmp_path, other, begun):
    folder = write(tmp_path / "set")
    if begun:
        (folder / "index.json").unlink()
    before = files(folder)
    with pytest.raises(DataError, match="other data or"):
        other(folder)
    assert files(folder) == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty, expected a new folder"):
        write(tmp_path)
    assert files(tmp_path) == {"notes.txt": b"mine"}


def flip(path: Path, at: int = 200) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "flipped bit": (lambda folder: flip(folder / "images-00001-of-00004.tfrecord"), "picture 16: damaged"),
    "short shard": (lambda folder: halve(folder / "images-00001-of-00004.tfrecord"), "bytes, expected"),
    "missing shard": (
        lambda folder: (folder / "images-00000-of-00004.tfrecord").unlink(),
        "not found, expected",
    ),
    "short records": (lambda folder: halve(folder / "records.npy"), "records.npy: cannot be read"),
    "missing texts": (lambda folder: (folder / "texts.npy").unlink(), "texts.npy: cannot be read"),
    "short labels": (lambda folder: halve(folder / "labels.npy"), "labels.npy: cannot be read"),
    "short items": (lambda folder: halve(folder / "items.jsonl"), "items.jsonl: "),
    "missing split": (lambda folder: (folder / "split.npz").unlink(), "split.npz: cannot be read"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_told_and_mended(tmp_path, name):
    folder = write(tmp_path / "set", described())
    before, dates = files(folder), {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    damage, line = DAMAGE[name]
    damage(folder)
    with pytest.raises(DataError, match=line) as error:
        open_prepared(folder).pictures.read(np.arange(ITEMS))
    assert "\n" not in str(error.value)
    write(folder, described())
    assert files(folder) == before
    untouched = "images-00003-of-00004.tfrecord"
    assert (folder / untouched).stat().st_mtime_ns == dates[untouched]
    np.testing.assert_array_equal(
        open_prepared(folder).pictures.read(np.arange(ITEMS)), SOURCE.pictures.array
    )


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import tensorflow
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
from pathlib import Path
from gch.data.generated import generate
from gch.data.prepare import prepare
from gch.errors import DataError
try:
    prepare(generate(items=50, image_size=16), Path(sys.argv[1]), encoding="raw", shard_items=16)
except DataError as error:
    print(error)
"""


def test_a_full_disk_is_told_and_can_be_gone_on_from(tmp_path, repository):
    folder = tmp_path / "set"
    environment = os.environ | {"PYTHONPATH": str(repository), "TF_CPP_MIN_LOG_LEVEL": "2"}
    told = subprocess.run(
        [sys.executable, "-c", FULL, str(folder)], env=environment, capture_output=True, text=True
    )
    assert told.stdout.count("\n") == 1, told.stdout + told.stderr
    assert "cannot be written" in told.stdout
    assert not list(folder.glob("*.tfrecord"))[1:]  # the last shard, of 2 pictures, is small enough
    assert not (folder / "index.json").exists()
    write(folder)
    assert files(folder) == files(write(tmp_path / "whole"))


def broken_files(folder: Path) -> Pairs:
    from PIL import Image

    folder.mkdir()
    for row, pixels in enumerate(SOURCE.pictures.array):
        Image.fromarray(pixels).save(folder / f"{row}.png")
    halve(folder / "3.png")
    (folder / "20.png").unlink()
    paths = [f"{row}.png" for row in range(ITEMS)]
    split = OwnSplit(np.arange(4), np.arange(4, ITEMS), np.arange(18, 30))
    return dataclasses.replace(
        SOURCE, pictures=PictureFiles(folder, paths, 16, "crop"), ids=paths, own_split=split
    )


def test_pictures_that_cannot_be_read_are_left_out(tmp_path, capsys):
    source = broken_files(tmp_path / "pictures")
    pairs = open_prepared(write(tmp_path / "set", source))
    kept = np.delete(np.arange(ITEMS), [3, 20])
    np.testing.assert_array_equal(pairs.pictures.read(np.arange(48)), SOURCE.pictures.array[kept])
    np.testing.assert_array_equal(pairs.labels, SOURCE.labels[kept])
    assert pairs.ids == tuple(f"{row}.png" for row in kept)
    np.testing.assert_array_equal(kept[pairs.own_split.query], [0, 1, 2])
    np.testing.assert_array_equal(kept[pairs.own_split.training], [18, 19, *range(21, 30)])
    told = capsys.readouterr().out
    assert "2 pictures" in told
    assert "3.png" in told
    assert "20.png" in told
    left_out = json.loads((tmp_path / "set" / "index.json").read_text())["left_out"]
    assert len(left_out) == 2


def test_a_picture_that_cannot_be_read_ends_it_where_asked(tmp_path):
    with pytest.raises(DataError, match=r"(3|20)\.png"):
        write(tmp_path / "set", broken_files(tmp_path / "pictures"), broken="stop")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    return write(tmp_path_factory.mktemp("healthy") / "set", described(), encoding="jpeg")


WRONG = {
    "format": {"format": "other"},
    "version": {"version": 2},
    "name": {"name": "../other"},
    "items": {"items": -1},
    "more items": {"items": 51},
    "items as text": {"items": "50"},
    "size": {"size": [16]},
    "huge": {"size": [10**6, 10**6]},
    "encoding": {"encoding": "gif"},
    "sizes": {"default_sizes": [1, 2, 3, "4"]},
    "names": {"label_names": [1]},
    "shards": {"shards": []},
    "a shard elsewhere": {"shards": [{"file": "../secret", "records": 50, "bytes": 1, "sha256": ""}]},
    "a shard of minus one": {"shards": [{"file": "a", "records": 51, "bytes": -1, "sha256": ""}]},
    "files elsewhere": {"files": {"/etc/passwd": ""}},
}


@pytest.mark.parametrize("name", WRONG)
def test_an_index_is_not_trusted(healthy, tmp_path, name):
    folder = shutil.copytree(healthy, tmp_path / "set")
    index = json.loads((folder / "index.json").read_text()) | WRONG[name]
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"index.json: ") as error:
        open_prepared(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"", b"garbage", b"\xff\xd8\xff\xe0" + bytes(100)])
def test_a_picture_with_a_right_checksum_may_still_be_wrong(healthy, tmp_path, data):
    folder = shutil.copytree(healthy, tmp_path / "set")
    records = np.load(folder / "records.npy")
    shard = folder / "images-00000-of-00004.tfrecord"
    content = bytearray(shard.read_bytes())
    content[records[0, 0] : records[0, 0] + len(data)] = data
    shard.write_bytes(content)
    records[0, 1:] = len(data), zlib.crc32(data)
    np.save(folder / "records.npy", records)
    with pytest.raises(DataError, match="picture 0: "):
        open_prepared(folder).pictures.read(np.array([0]))


@settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.data())
def test_any_bytes_give_pictures_or_a_data_error(healthy, data):
    name = data.draw(st.sampled_from(["index.json", "records.npy", "items.jsonl", "labels.npy", "split.npz"]))
    whole = (healthy / name).read_bytes()
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        (healthy / name).write_bytes(content)
        read = open_prepared(healthy).pictures.read(np.arange(ITEMS))
    except DataError:
        return
    finally:
        (healthy / name).write_bytes(whole)
    assert (read.dtype, read.shape) == (np.uint8, (ITEMS, 16, 16, 3))
