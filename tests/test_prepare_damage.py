"""Preparing again mends; a full disk is told and gone on from."""

import errno
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from preparing import ITEMS, SECOND, SIDE, SOURCE, changed, dates, described, files, write

from gch.data.array_pictures import ArrayPictures
from gch.data.generated import generate
from gch.errors import DataError


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
