"""The command prepare."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from preparing import FLICKR, ITEMS, files, flickr

from gch.data.prepared import open_prepared


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
        (["--out=new", "--encoding=gif"], "encoding is 'gif'; expected jpeg, png, raw"),
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
