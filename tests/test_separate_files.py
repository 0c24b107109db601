"""Images, words and labels in files of their own."""

import numpy as np
import pytest
from written import (
    ALL,
    FEATURES,
    HOT,
    MATLAB_PIXELS,
    PIXELS,
    TEXTS,
    assert_same,
    refused,
    save_npy,
    source,
    write_hdf5,
    write_mat73,
    write_separate,
    write_split_files,
    write_v5,
)


@pytest.mark.parametrize("name", ["FLICKR", "flickr-25k", "MIRFLICKR25K"])
def test_separate_files(tmp_path, name):
    write_separate(tmp_path, "mirflickr25k")
    assert_same(source(tmp_path, name))
    assert_same(source(tmp_path / "mirflickr25k-iall.mat", name))


def test_features_beside_pixels_are_taken_where_they_are_named(tmp_path):
    write_separate(tmp_path, "mirflickr25k")
    write_v5(tmp_path / "mirflickr25k-iall-vgg.mat", XAll=FEATURES)
    assert source(tmp_path).pictures is not None
    pairs = source(tmp_path / "mirflickr25k-iall-vgg.mat")
    assert pairs.pictures is None
    assert_same(pairs)


@pytest.mark.parametrize(
    ("prefix", "dataset", "name"),
    [
        ("nus-wide-tc21", "NUS-WIDE-TC21", "nus-wide-tc21"),
        ("nus-wide", "NUS-WIDE-TC21", "nus-wide-tc21"),
        ("NUS-WIDE-TC10", "NUS-WIDE-TC10", "nus-wide-tc10"),
        ("nuswide10", "nus-wide-tc10", "nus-wide-tc10"),
        ("MS-COCO", "COCO", "coco"),
        ("iaprtc12", "files", "files"),
        ("IAPRTC-12", "files", "files"),
    ],
)
def test_separate_files_of_other_sets(tmp_path, prefix, dataset, name):
    ends = ("IALL", "YALL", "LALL") if prefix.isupper() else ("iall", "yall", "lall")
    suffix = ".MAT" if prefix.isupper() else ".mat"
    arrays = {"IAll": PIXELS.transpose(0, 3, 2, 1), "YAll": TEXTS.T, "LAll": HOT.T}
    for end, (array, value) in zip(ends, arrays.items(), strict=True):
        write_hdf5(tmp_path / f"{prefix}-{end}{suffix}", **{array: value})
    pairs = source(tmp_path, dataset)
    assert_same(pairs)
    assert pairs.name == name


@pytest.mark.parametrize("names", [("XAll", "YAll", "LAll"), ("xall", "YALL", "lall")])
@pytest.mark.parametrize("dataset", ["FLICKR", "files"])
def test_npy_files(tmp_path, names, dataset):
    save_npy(tmp_path, **dict(zip(names, (FEATURES, TEXTS, HOT), strict=True)))
    pairs = source(tmp_path, dataset)
    assert_same(pairs)
    assert pairs.pictures is None
    assert not (tmp_path / "cache").exists()  # read where they lie


def test_pixels_of_npy(tmp_path):
    save_npy(tmp_path, IAll=PIXELS, YAll=TEXTS, LAll=HOT)
    assert_same(source(tmp_path))


@pytest.mark.parametrize("folder", ["nus-wide-tc21", "NUS-WIDE-TC21", "nuswide"])
def test_folder_in_the_folder_of_data(tmp_path, folder):
    # Beside it lies another set, in files that tell no name.
    write_split_files(tmp_path, PIXELS, training=np.arange(8))
    (tmp_path / folder).mkdir()
    write_separate(tmp_path / folder, "nus-wide-tc21")
    pairs = source(tmp_path, "NUS-WIDE-TC21")
    assert_same(pairs)
    assert pairs.own_split is None


def test_sets_side_by_side_are_told_apart(tmp_path):
    write_separate(tmp_path, "mirflickr25k")
    write_mat73(
        tmp_path / "nus-wide-tc10.mat", images=MATLAB_PIXELS[..., ::-1], YAll=TEXTS[::-1], LAll=HOT[::-1]
    )
    write_v5(tmp_path / "imagenet-vgg-f.mat", layers=np.zeros(3))
    assert_same(source(tmp_path, "FLICKR"))
    assert_same(source(tmp_path, "NUS-WIDE-TC10"), ALL[::-1])
    refused("no data set found for COCO, the folder holds imagenet-vgg-f.mat, mirf", tmp_path, "COCO")
