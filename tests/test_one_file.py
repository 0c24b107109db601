"""Images, words and labels in one file."""

import numpy as np
import pytest
from written import (
    ALL,
    FEATURES,
    HOT,
    ONE_FILE,
    PIXELS,
    TEXTS,
    assert_same,
    refused,
    source,
    write_hdf5,
    write_v5,
)


@pytest.mark.parametrize("name", ONE_FILE)
def test_one_file(tmp_path, name):
    path = tmp_path / "FLICKR-25K.mat"
    ONE_FILE[name](path)
    before = path.read_bytes()
    for given in (tmp_path, path):
        pairs = source(given)
        assert_same(pairs)
        assert (pairs.pictures is None) == ("features" in name or "across" in name)
    assert pairs.name == "flickr25k"
    assert pairs.own_split is None
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", [".npz", ".mat", ".h5"])
def test_one_npz_whatever_it_is_called(tmp_path, suffix):
    with open(tmp_path / f"coco{suffix}", "wb") as file:
        np.savez(file, IAll=PIXELS, tags=TEXTS, labels=HOT)
    pairs = source(tmp_path, "COCO")
    assert_same(pairs)
    assert pairs.name == "coco"


@pytest.mark.parametrize("axes", ["auto", "WH", "HW"])
@pytest.mark.parametrize("first", ["WH", "HW"])
@pytest.mark.parametrize("channels", ["first", "last"])
def test_image_axes(tmp_path, axes, first, channels):
    stored = PIXELS if first == "HW" else PIXELS.transpose(0, 2, 1, 3)
    stored = stored.transpose(0, 3, 1, 2) if channels == "first" else stored
    write_hdf5(tmp_path / "FLICKR-25K.mat", images=stored, YAll=TEXTS, LAll=HOT)
    pairs = source(tmp_path, image_axes=axes)
    taken = axes if axes != "auto" else ("WH" if channels == "first" else "HW")
    wanted = PIXELS if taken == first else PIXELS.transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(pairs.pictures.read(ALL), wanted)


def test_features_are_copied_once_and_again_when_they_change(tmp_path):
    path = tmp_path / "FLICKR-25K.mat"
    write_v5(path, images=FEATURES, YAll=TEXTS, LAll=HOT)
    first = source(tmp_path)
    (kept,) = (tmp_path / "cache").glob("image-features-*.npy")
    state = kept.stat().st_mtime_ns, kept.stat().st_ino
    assert source(tmp_path).digest == first.digest
    assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == state
    kept.write_bytes(kept.read_bytes()[:-8])
    assert_same(source(tmp_path))
    write_v5(path, images=FEATURES + 1, YAll=TEXTS, LAll=HOT)
    again = source(tmp_path)
    np.testing.assert_array_equal(again.features, FEATURES + 1)
    assert again.digest != first.digest


@pytest.mark.parametrize(
    ("features", "line"),
    [
        (np.where(np.arange(12) == 5, np.nan, FEATURES), r"images holds nan \(at 0, 5\)"),
        (FEATURES.astype(float) * 1e300, "expected finite numbers"),
        (np.zeros_like(FEATURES), "images holds zeros only"),
        (FEATURES[:-1], "have no number of items in common"),
    ],
)
def test_bad_features_are_told(tmp_path, features, line):
    write_v5(tmp_path / "FLICKR-25K.mat", images=features, YAll=TEXTS, LAll=HOT)
    refused(line, tmp_path)
