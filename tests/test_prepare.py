"""Writing a prepared data set: what goes in comes out, and kills, damage and full disks are survived."""

import contextlib
import json
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from preparing import ITEMS, SIDE, SOURCE, changed, dates, described, files, watched, write
from sources import refusal, settings_of

from gch.data.catalog import choose_split
from gch.data.generated import generate
from gch.data.pairs import Pairs, Split, oddities
from gch.data.pictures import PictureFiles
from gch.data.pixels import ArrayPictures
from gch.data.prepared import open_prepared
from gch.errors import DataError, GCHError

ALL = np.arange(ITEMS)


ODD = ("", "two\nlines \u2028 and half \ud800", *map(str, range(2, ITEMS)))
NONE = np.zeros((ITEMS, 0), np.uint8)
SOURCES = {
    "all that there may be": described(),
    "texts that await a vocabulary": changed(texts=NONE, tag_names=(), captions=ODD),
    "no labels": changed(labels=NONE, label_names=()),
    "vectors of texts": changed(texts=np.eye(ITEMS, dtype=np.float32), tag_names=(), single_vectors=True),
}


@pytest.mark.parametrize("name", SOURCES)
def test_everything_comes_back_and_nothing_is_written_twice(tmp_path, name):
    source = SOURCES[name]
    folder = write(tmp_path / "set", source)
    pairs = open_prepared(folder)
    rows = np.array([49, 0, 17, 17, 31])
    np.testing.assert_array_equal(pairs.pictures.read(rows), SOURCE.pictures.array[rows])
    assert pairs.pictures.read(np.zeros(0, np.int64)).shape == (0, SIDE, SIDE, 3)
    for field in ("texts", "labels"):
        found, wanted = getattr(pairs, field), getattr(source, field)
        assert (found.dtype, found.shape, found.tolist()) == (wanted.dtype, wanted.shape, wanted.tolist())
    for field in ("name", "tag_names", "label_names", "captions", "ids", "default_sizes", "single_vectors"):
        assert getattr(pairs, field) == getattr(source, field)
    for part, expected in zip(pairs.own_split or (), source.own_split or (), strict=True):
        np.testing.assert_array_equal(part, expected)
    assert oddities(pairs) == []
    before, again = files(folder), watched(pairs=source)
    write(folder, again)
    assert files(folder) == before
    assert again.pictures.reads == []


def test_a_split_that_validates_is_used(tmp_path):
    folder = write(tmp_path / "set", described())
    pairs, settings = open_prepared(folder), settings_of(folder, "files", batch_size=2)
    for part, rows in choose_split(settings, pairs)._asdict().items():
        np.testing.assert_array_equal(rows, getattr(described().own_split, part))
    drawn = choose_split(settings.replace(VERIFICATION_SIZE=3), pairs)
    assert len(drawn.validation) == 3
    np.testing.assert_array_equal(np.union1d(drawn.training, drawn.validation), np.arange(20, 30))


@pytest.mark.parametrize(("encoding", "most"), [("jpeg", 12), ("png", 0), ("raw", 0)])
def test_jobs_do_not_change_what_is_written_and_colours_stay(tmp_path, encoding, most):
    pixels = np.full((ITEMS, 8, 24, 3), (200, 60, 20), np.uint8)
    pixels[:, :, 12:] = 20, 60, 200
    source = changed(pictures=ArrayPictures(pixels))
    one, five = (write(tmp_path / f"{jobs}", source, encoding=encoding, jobs=jobs) for jobs in (1, 5))
    assert files(one) == files(five)
    found = open_prepared(one).pictures
    assert found.size == (8, 24)
    assert np.abs(found.read(ALL[::-1]).astype(int) - pixels).max() <= most
    if encoding == "png":
        assert (one / "pictures.bin").stat().st_size < pixels.size / 2


@pytest.mark.parametrize("block", [1, 12, 40, 1000])
def test_blocks_of_the_source_are_read_once(tmp_path, block):
    source, counted = watched(block), []
    write(tmp_path / "set", source, jobs=1, progress=lambda *counts: counted.append(counts))
    reads = source.pictures.reads
    np.testing.assert_array_equal(np.concatenate(reads), ALL)
    assert all(rows[0] % block == 0 for rows in reads)
    assert len(reads) <= -(-ITEMS // max(block, 16)) + 1
    assert counted[-1] == (ITEMS, ITEMS)


def test_a_source_that_fails_ends_it_and_what_is_finished_stays(tmp_path):
    with refusal("row 40 unreadable"):
        write(tmp_path / "set", watched(broken=40), jobs=4)
    assert not (tmp_path / "set" / "index.json").exists()
    source = watched()
    write(tmp_path / "set", source)
    assert min(map(min, source.pictures.reads)) == 32
    assert files(tmp_path / "set") == files(write(tmp_path / "whole"))


STUCK = """
import sys, time
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from sources import settings_of
from preparing import Watched, watched, write
read, begun = Watched.read, []
Watched.read = lambda self, rows: (begun.append(0), time.sleep(600 * (len(begun) > 1)), read(self, rows))[2]
write(Path(sys.argv[1]), watched(), jobs=1)
"""


def test_a_killed_one_goes_on_to_the_same_files(tmp_path, repository):
    folder = tmp_path / "killed"
    paths = [str(repository), str(repository / "tests")]
    process = subprocess.Popen([sys.executable, "-c", STUCK, str(folder), *paths])
    begun = False
    try:
        while not begun:
            assert process.poll() is None
            time.sleep(0.02)
            with contextlib.suppress(OSError, ValueError, EOFError):  # not there yet, or not whole
                begun = np.load(folder / "places.npy")[15, 1] > 0
    finally:
        process.kill()
        process.wait()
    assert not (folder / "index.json").exists()
    source = watched()
    write(folder, source)
    assert min(map(min, source.pictures.reads)) == 16
    assert files(folder) == files(write(tmp_path / "whole"))


def test_a_second_one_waits_and_finds_all_done(tmp_path, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    class Slow(ArrayPictures):
        def read(self, rows):
            begun.set()
            go_on.wait(20)
            return super().read(rows)

    def said(line, **options):
        go_on.set()
        lines.append(line)

    lines, source = [], watched()
    monkeypatch.setattr("builtins.print", said)
    first = threading.Thread(target=write, args=(tmp_path, changed(pictures=Slow(SOURCE.pictures.array))))
    first.start()
    begun.wait()
    write(tmp_path, source)
    first.join()
    assert lines == [f"{tmp_path}: another process is preparing it; waiting for it"]
    assert source.pictures.reads == []


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"own_split": Split(np.arange(9), np.arange(9, ITEMS), np.arange(20, 30))}, {}),
        ({"ids": tuple(f"{row}.jpg" for row in range(ITEMS))}, {}),
        ({"digest": "other"}, {}),
        ({}, {"encoding": "jpeg"}),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_other_data_or_options_need_another_folder(tmp_path, fields, options, finished):
    folder = write(tmp_path / "set", changed())
    if not finished:
        (folder / "index.json").unlink()
    before = files(folder), dates(folder)
    with refusal("begun with other data or other options"):
        write(folder, changed(**fields), **options)
    assert (files(folder), dates(folder)) == before
    write(folder, quality=50)  # of JPEG only


@pytest.mark.parametrize("name", ["notes.txt", "index.json", ".images"])
def test_a_folder_of_something_else_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text('{"format": "other"}')
    with refusal("not empty, expected a new folder"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_of_the_earlier_format_has_to_be_prepared_again(tmp_path):
    index = {"format": "gch-prepared", "version": 1, "plan": "abc", "shards": []}
    (tmp_path / "index.json").write_text(json.dumps(index))
    for call in (open_prepared, write):
        with refusal("index.json: version is 1, expected 2; run prepare again, into a new folder"):
            call(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pictures": None, "features": np.zeros((ITEMS, 4))}, "generated: has features in place of pixels"),
        ({"pictures": ArrayPictures(SOURCE.pictures.array[:, :7])}, "are 7 x 16, expected sides of 8 to 4"),
    ],
)
def test_what_cannot_be_prepared_is_refused(tmp_path, fields, message):
    with refusal(message):
        write(tmp_path / "set", changed(**fields))
    assert not (tmp_path / "set").exists()


# Damage


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {  # what is damaged, how, and what reading says; None where it cannot know
    "picture": ("pictures.bin", lambda path: flip(path, 20 * 3 * SIDE**2), "picture 20: damaged"),
    "no pictures": ("pictures.bin", Path.unlink, "not found, expected"),
    "place": ("places.npy", lambda path: flip(path, 128 + 24 * 20), "picture 20: "),
    "short places": ("places.npy", halve, "places.npy: cannot be read"),
    "another text": ("texts.npy", flip, None),
    "index is garbage": ("index.json", lambda path: path.write_bytes(b"\xff{"), "index.json: cannot be read"),
    "plan is garbage": ("plan.json", lambda path: path.write_text("{"), None),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_reported_and_mended(tmp_path, name):
    folder = write(tmp_path / "set", described())
    before = files(folder)
    file, damage, line = DAMAGE[name]
    damage(folder / file)
    if line:
        with refusal(line):
            open_prepared(folder).pictures.read(ALL)
    source = watched(pairs=described())
    write(folder, source)
    if "pl" not in file and name != "picture":
        assert files(folder) == before
    elif name in ("picture", "place"):
        np.testing.assert_array_equal(np.concatenate(source.pictures.reads), [20])
    pairs = open_prepared(folder)
    np.testing.assert_array_equal(pairs.pictures.read(ALL), SOURCE.pictures.array)
    assert pairs.digest == open_prepared(write(tmp_path / "whole", described())).digest


@settings(max_examples=15, database=None)
@given(st.data())
def test_any_state_of_the_files_is_mended_or_refused(tmp_path_factory, data):
    folder = write(tmp_path_factory.mktemp("any") / "set", encoding="png")
    for path in data.draw(st.lists(st.sampled_from(sorted(folder.iterdir())), min_size=1, max_size=3)):
        content = bytearray(path.read_bytes() if path.exists() else b"")
        kept = data.draw(st.just(len(content)) | st.integers(0, len(content)))
        content = content[:kept] + data.draw(st.binary(max_size=40))
        for place in data.draw(st.lists(st.integers(0, max(0, len(content) - 1)), max_size=3)):
            content[place : place + 1] = bytes([data.draw(st.integers(0, 255))])
        path.write_bytes(content)
    try:
        write(folder, encoding="png")
    except DataError:
        return
    read = open_prepared(folder)
    np.testing.assert_array_equal(read.pictures.read(ALL), SOURCE.pictures.array)
    np.testing.assert_array_equal(read.texts, SOURCE.texts)


@contextlib.contextmanager
def limited(most: int):
    """Files cannot grow beyond a number of bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


SMALL = {"pictures": ArrayPictures(SOURCE.pictures.array[:, :8, :8])}
NOISE = np.random.default_rng(0).integers(0, 256, (ITEMS, 64, 64, 3), np.uint8)
FULL = {
    "pictures": (9000, SOURCE, {}),
    "texts": (12_000, changed(texts=generate(items=ITEMS, words=400).texts, tag_names=(), **SMALL), {}),
    "JPEG": (5000, changed(pictures=ArrayPictures(NOISE)), {"encoding": "jpeg", "quality": 100}),
}


@pytest.mark.parametrize("name", FULL)
def test_a_full_disk_is_reported_and_gone_on_from(tmp_path, name):
    most, source, options = FULL[name]
    folder = tmp_path / "set"
    with refusal("make room, and run the same command to resume"), limited(most):
        write(folder, source, jobs=1, **options)
    assert not (folder / "index.json").exists()
    assert {path.name for path in folder.iterdir() if path.name.startswith(".")} == {".lock"}
    again = watched(pairs=source)
    write(folder, again, **options)
    if name == "texts":
        assert again.pictures.reads == []
    assert files(folder) == files(write(tmp_path / "whole", source, **options))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with refusal("cannot be written(?!.*make room)", fault=GCHError):
        write(tmp_path / "file" / "set")


# Pictures that cannot be read


def of_files(folder: Path, broken: list[int], **fields) -> Pairs:
    folder.mkdir()
    for row in set(range(ITEMS)) - set(broken):
        Image.fromarray(SOURCE.pictures.array[row]).save(folder / f"{row}.png")
    paths = [f"{row}.png" for row in range(ITEMS)]
    return changed(pictures=PictureFiles(folder, paths, SIDE, "crop"), ids=paths, **fields)


def test_pictures_that_cannot_be_read_are_left_out(tmp_path):
    split = Split(np.arange(4), np.arange(4, ITEMS), np.arange(18, 30))
    source = of_files(tmp_path / "pictures", [20], own_split=split)
    halve(tmp_path / "pictures" / "3.png")
    folder = write(tmp_path / "set", source)
    pairs, kept = open_prepared(folder), np.delete(ALL, [3, 20])
    np.testing.assert_array_equal(pairs.pictures.read(np.arange(48)), SOURCE.pictures.array[kept])
    np.testing.assert_array_equal(kept[pairs.own_split.query], [0, 1, 2])
    np.testing.assert_array_equal(kept[pairs.own_split.training], [18, 19, *range(21, 30)])
    before = files(folder)
    with refusal(r"/3\.png: cannot be decoded"):
        write(folder, source, broken="stop")
    assert files(folder) == before
    shutil.copy(tmp_path / "pictures" / "19.png", tmp_path / "pictures" / "20.png")
    assert len(open_prepared(write(folder, source)).labels) == 49  # it can be read now


def test_default_sizes_fit_what_is_left(tmp_path):
    for left_out, wanted in ((5, (8, 37, 33, 4)), (46, (2, 2, 1, 1))):
        source = of_files(tmp_path / f"files {left_out}", list(range(left_out)))
        assert open_prepared(write(tmp_path / f"set {left_out}", source)).default_sizes == wanted


def test_a_part_of_which_no_picture_can_be_read_is_refused(tmp_path):
    split = Split(np.array([3, 4]), np.arange(5, ITEMS), np.arange(5, 9))
    with refusal("query: no picture of it can be read"):
        write(tmp_path / "set", of_files(tmp_path / "files", list(range(5)), own_split=split))
