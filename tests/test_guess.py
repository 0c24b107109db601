"""Which data set a folder seems to be."""

from pathlib import Path

import numpy as np
import pytest
from sources import settings_of

from gch.commands.source import guess_dataset, setting_lines


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("FLICKR-25K.mat", "FLICKR"),
        ("mirflickr-25k-iall.mat", "FLICKR"),
        ("NUS-WIDE-TC21.mat", "NUS-WIDE-TC21"),
        ("nus-wide-tc10-iall.mat", "NUS-WIDE-TC10"),
        ("MS-COCO.mat", "COCO"),
        ("coconut.mat", "files"),
        ("Img.h5", "files"),
        ("list.csv", "collection"),
        ("flickr25k.jsonl", "collection"),
    ],
)
def test_guesses_by_names(tmp_path, name, dataset):
    (tmp_path / name).touch()
    assert guess_dataset(tmp_path) == dataset
    assert guess_dataset(tmp_path / name) == dataset


def test_guesses_by_the_folder_or_what_it_holds(tmp_path, monkeypatch):
    folder = tmp_path / "nus-wide-tc10"
    folder.mkdir()
    (folder / "Img.h5").touch()
    assert guess_dataset(folder) == guess_dataset(tmp_path) == "NUS-WIDE-TC10"
    monkeypatch.chdir(folder)
    assert guess_dataset(Path()) == "NUS-WIDE-TC10"
    (folder / "Img.h5").rename(folder / "list.csv")
    (folder / "mirflickr").mkdir()
    assert guess_dataset(folder) == "collection"  # pictures of a known set, described anew
    assert guess_dataset(tmp_path / "nowhere") == "files"


@pytest.mark.parametrize(
    ("arrays", "dataset"),
    [
        (["split"], "collection"),
        (["features"], "collection"),
        (["features", "texts"], "files"),
    ],
)
def test_arrays_beside_a_table_count_where_they_are_a_data_set(tmp_path, arrays, dataset):
    (tmp_path / "list.csv").touch()
    for name in arrays:
        np.save(tmp_path / f"{name}.npy", np.ones((3, 4)))
    assert guess_dataset(tmp_path) == dataset


@pytest.mark.parametrize("path", ["a b", 'it\'s "here"', "C:\\new"])
def test_lines_to_set_are_python(path):
    lines = setting_lines(settings_of(path, "files"), {"image_size": 9})
    values = {}
    exec("\n".join(line.strip() for line in lines.splitlines()), values)
    assert (values["DATA_DIR"], values["dataset_dir"], values["image_size"]) == (path, "files", 9)
