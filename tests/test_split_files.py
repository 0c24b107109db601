"""Files of a training, a database and a query part."""

import itertools

import numpy as np
import pytest
from written import (
    AGAIN,
    DATABASE,
    FEATURES,
    FURTHER,
    HOT,
    PARTS,
    PIXELS,
    QUERY,
    TEXTS,
    assert_colours,
    assert_same,
    source,
    write_hdf5,
    write_pictures,
    write_split_files,
    write_v5,
)

from gch.data.catalog import is_of_files

SHORT = {"Train": "tr", "DataBase": "db", "Query": "te"}


IMAGES = {
    "pixels": PIXELS,
    "pixels, channels first": PIXELS.transpose(0, 3, 2, 1),
    "features": FEATURES,
    "features of doubles": FEATURES.astype(float),
}


@pytest.mark.parametrize("name", IMAGES)
def test_split_files(tmp_path, name):
    write_split_files(tmp_path, IMAGES[name])
    pairs = source(tmp_path)
    assert_same(pairs, np.concatenate([DATABASE, QUERY]))
    np.testing.assert_array_equal(pairs.own_split.retrieval, DATABASE)
    np.testing.assert_array_equal(pairs.own_split.query, QUERY)
    np.testing.assert_array_equal(pairs.own_split.training, np.sort(AGAIN))
    assert pairs.default_sizes == (6, 20, 8, 0)
    assert "8 of 8 training items are found again" in pairs.found[-1]
    assert source(tmp_path / "Img.h5", "files").digest != pairs.digest  # of another name
    assert_same(source(tmp_path / "Tag.h5"), np.concatenate([DATABASE, QUERY]))


@pytest.mark.parametrize("name", IMAGES)
def test_training_items_that_the_database_lacks(tmp_path, name):
    training = np.concatenate([AGAIN[:4], FURTHER, AGAIN[4:]])
    write_split_files(tmp_path, IMAGES[name], training)
    pairs = source(tmp_path)
    assert_same(pairs, np.concatenate([DATABASE, QUERY, FURTHER]))
    np.testing.assert_array_equal(pairs.own_split.training, [*np.sort(AGAIN), 26, 27, 28])
    assert "8 of 11" in pairs.found[-1]


@pytest.mark.parametrize("name", ["pixels", "features"])
def test_no_training_item_in_the_database(tmp_path, name):
    write_split_files(tmp_path, IMAGES[name], FURTHER)
    pairs = source(tmp_path)
    assert_same(pairs, np.concatenate([DATABASE, QUERY, FURTHER]))
    np.testing.assert_array_equal(pairs.own_split.training, [26, 27, 28])


@pytest.mark.parametrize("changed", ["images", "texts", "labels"])
def test_an_item_is_the_same_only_in_all_it_has(tmp_path, changed):
    values = {"images": PIXELS.copy(), "texts": TEXTS.copy(), "labels": HOT.copy()}
    values[changed][30] = values[changed][3]
    for name, array in values.items():
        if name != changed:
            array[30] = array[3]
    values[changed][30, ..., 0] ^= 1  # Row 30 is row 3, but for a little.
    write_split_files(
        tmp_path, values["images"], np.array([3, 30]), texts=values["texts"], labels=values["labels"]
    )
    np.testing.assert_array_equal(source(tmp_path).own_split.training, [3, 26])


@pytest.mark.parametrize("name", ["pixels", "features"])
def test_items_that_are_twice_in_the_database(tmp_path, name):
    def doubled(array):
        array = array.copy()
        array[[5, 9]] = array[2]  # Three alike.
        return array

    images, texts, labels = map(doubled, (IMAGES[name], TEXTS, HOT))
    write_split_files(tmp_path, images, np.array([9, 2]), texts=texts, labels=labels)
    first = source(tmp_path)
    assert len(first.labels) == 26
    np.testing.assert_array_equal(first.own_split.training, [2, 5])
    (tmp_path / "more").mkdir()
    training = np.array([9, 2, 5, 2, 13])  # Four alike: one more than the database has.
    write_split_files(tmp_path / "more", images, training, texts=texts, labels=labels)
    more = source(tmp_path / "more")
    assert len(more.labels) == 27
    np.testing.assert_array_equal(more.own_split.training, [2, 5, 9, 13, 26])
    np.testing.assert_array_equal(more.texts[26], texts[2])


@pytest.mark.parametrize("writer", [write_v5, write_hdf5])
@pytest.mark.parametrize("dataset", ["FLICKR", "files"])
def test_one_file_of_all_nine(tmp_path, writer, dataset):
    names = {"I": PIXELS, "T": TEXTS, "L": HOT}
    arrays = {
        f"{letter}_{SHORT[part]}": names[letter][rows]
        for letter, (part, rows) in itertools.product(names, PARTS.items())
    }
    writer(tmp_path / "FLICKR-25K.mat", **arrays)
    pairs = source(tmp_path, dataset)
    assert_same(pairs, np.concatenate([DATABASE, QUERY]))
    np.testing.assert_array_equal(pairs.own_split.training, np.sort(AGAIN))


def test_split_files_of_paths(tmp_path):
    paths = np.array([f"/data/mirflickr/{name}" for name in write_pictures(tmp_path / "mirflickr")], "S")
    training = np.concatenate([AGAIN, FURTHER])
    write_split_files(tmp_path, paths, training)
    pairs, rows = source(tmp_path, image_size=32), np.concatenate([DATABASE, QUERY, FURTHER])
    np.testing.assert_array_equal(pairs.texts, TEXTS[rows])
    np.testing.assert_array_equal(pairs.labels, HOT[rows])
    assert_colours(pairs, rows)
    np.testing.assert_array_equal(pairs.own_split.training, [*np.sort(AGAIN), 26, 27, 28])
    assert list(pairs.ids) == [f"mirflickr/im{row}.png" for row in rows]
    assert is_of_files(pairs)
    write_split_files(tmp_path, paths, np.concatenate([AGAIN[:-1], FURTHER]))
    assert source(tmp_path, image_size=32).digest != pairs.digest  # What is prepared holds the split as well.
