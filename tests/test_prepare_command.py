"""The command prepare."""

from pathlib import Path

import numpy as np
import pytest
from preparing import FLICKR, ITEMS, flickr
from sources import opened

from gch.data.prepared import open_prepared


@pytest.fixture
def data(tmp_path) -> Path:
    return flickr(tmp_path / "data")


def test_the_command_writes_what_its_lines_open(command, data, tmp_path):
    out = tmp_path / "out"
    status, output, error = command("prepare", data, f"--out={out}", "--encoding=raw")
    assert (status, error) == (0, "")
    assert f"{out}: 50 pictures 32 x 32 as raw, of flickr25k" in output
    lines = [line.strip() for line in output.partition("flags of train:\n")[2].splitlines()]
    assert lines == ['dataset_dir = "FLICKR"', f'DATA_DIR = "{out}"', "image_size = 32"]
    pairs = opened(out, "FLICKR", image_size=32)
    np.testing.assert_array_equal(pairs.pictures.read(np.arange(ITEMS)), FLICKR.pictures.array)
    np.testing.assert_array_equal(pairs.texts, FLICKR.texts)


def test_the_command_takes_its_settings_and_what_is_prepared_already(command, data, tmp_path):
    out = tmp_path / "out"
    words = ("prepare", f"--DATA_DIR={data}", "--dataset_dir=FLICKR", "--image_size=32", f"--out={out}")
    status, output, _ = command(*words)
    assert status == 0
    assert "image_size" not in output
    again = tmp_path / "again"
    assert command("prepare", out, f"--out={again}", "--encoding=raw")[0] == 0
    rows = np.arange(ITEMS)
    first, second = (open_prepared(folder).pictures.read(rows) for folder in (out, again))
    np.testing.assert_array_equal(first, second)
