"""One folder, several processes and plans."""

import dataclasses
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from preparing import FIRST, ITEMS, SECOND, SOURCE, changed, dates, described, files, watched, write

from gch.data.array_pictures import ArrayPictures
from gch.data.pairs import OwnSplit
from gch.errors import DataError

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
