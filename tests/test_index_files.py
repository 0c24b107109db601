"""Paths, captions and labels: the CLIP family."""

import shutil

import numpy as np
import pytest
from written import (
    CAPTIONS,
    HOT,
    ITEMS,
    TEXTS,
    assert_colours,
    cells,
    refused,
    source,
    write_char73,
    write_mat73,
    write_pictures,
    write_v5,
)

from gch.data.catalog import is_of_files


@pytest.fixture
def pictured(tmp_path):
    """A folder with pictures in mirflickr/, and their paths."""
    return [f"mirflickr/{name}" for name in write_pictures(tmp_path / "mirflickr")]


INDEX_WRITERS = {
    "v5 cells": lambda path, name, texts: write_v5(path, **{name: cells(texts)}),
    "v5 cells in a row": lambda path, name, texts: write_v5(path, **{name: cells(texts).T}),
    "v5 characters": lambda path, name, texts: write_v5(path, **{name: np.array(texts)}),
    "v7.3 cells": lambda path, name, texts: write_mat73(path, **{name: texts}),
    "v7.3 characters": write_char73,
    "npz": lambda path, name, texts: np.savez(open(path, "wb"), **{name: np.array(texts)}),  # noqa: SIM115
}


@pytest.mark.parametrize("name", INDEX_WRITERS)
@pytest.mark.parametrize("label", ["category", "label"])
def test_index_files(tmp_path, pictured, name, label):
    write = INDEX_WRITERS[name]
    write(tmp_path / "index.mat", "index", pictured)
    write(tmp_path / "caption.mat", "caption", CAPTIONS)
    write_v5(tmp_path / "label.mat", **{label: HOT})
    for given in (tmp_path, tmp_path / "index.mat"):
        pairs = source(given, image_size=32)
        assert list(pairs.ids) == pictured
        assert list(pairs.captions) == CAPTIONS
        assert pairs.texts.shape == (ITEMS, 0)
        np.testing.assert_array_equal(pairs.labels, HOT)
        assert_colours(pairs)
        assert is_of_files(pairs)


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_captions_line_by_line(tmp_path, pictured, ending):
    write_v5(tmp_path / "index.mat", index=cells(pictured))
    lines = (ending or "\n").join(CAPTIONS) + ending
    (tmp_path / "Caption.TXT").write_bytes(lines.encode("utf-8-sig"))
    write_mat73(tmp_path / "label.mat", category=HOT)
    pairs = source(tmp_path, "files", image_size=32)
    assert list(pairs.captions) == CAPTIONS
    np.testing.assert_array_equal(pairs.labels, HOT)


@pytest.mark.parametrize("texts", [TEXTS, TEXTS.T, TEXTS.astype(float), 3 * TEXTS])
def test_captions_as_a_bag_of_words(tmp_path, pictured, texts):
    write_v5(tmp_path / "index.mat", index=cells(pictured))
    write_v5(tmp_path / "caption.mat", caption=texts)
    write_v5(tmp_path / "label.mat", category=HOT)
    pairs = source(tmp_path, image_size=32)
    np.testing.assert_array_equal(pairs.texts, texts if texts.shape == TEXTS.shape else TEXTS)
    assert pairs.captions is None


@pytest.mark.parametrize("prefix", ["/home/x/", "C:\\Users\\x\\", "./", "../data/"])
def test_paths_of_another_machine(tmp_path, pictured, prefix):
    write_v5(tmp_path / "index.mat", index=cells([prefix + path for path in pictured]))
    write_v5(tmp_path / "caption.mat", caption=cells(CAPTIONS))
    write_v5(tmp_path / "label.mat", category=HOT)
    if prefix.startswith(".."):
        refused(r"path '../data/mirflickr/im0.png', expected one that stays in the folder", tmp_path)
        return
    assert_colours(source(tmp_path, image_size=32))
    for path in (tmp_path / "mirflickr").iterdir():  # All in one folder with the index.
        shutil.move(path, tmp_path)
    pairs = source(tmp_path, image_size=32)
    assert pairs.ids[3] == "im3.png"
    assert_colours(pairs)
