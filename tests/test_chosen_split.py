"""The split that a run takes."""

import numpy as np
import pytest
from sources import settings_of
from written import AGAIN, DATABASE, FEATURES, FURTHER, source, write_split_files, write_v5

from gch.data.catalog import choose_split
from gch.data.split import make_split
from gch.errors import DataError, SettingError


@pytest.fixture
def split_pairs(tmp_path):
    training = np.concatenate([AGAIN, FURTHER])
    write_split_files(tmp_path, FEATURES, training)
    return source(tmp_path)


def chosen(folder, pairs, **changes):
    return choose_split(settings_of(folder, "FLICKR", **{"batch_size": 2, **changes}), pairs)


def test_split_of_the_files(tmp_path, split_pairs):
    split = chosen(tmp_path, split_pairs)
    np.testing.assert_array_equal(split.query, np.arange(20, 26))
    np.testing.assert_array_equal(split.retrieval, DATABASE)
    np.testing.assert_array_equal(split.training, [*np.sort(AGAIN), 26, 27, 28])
    assert len(split.validation) == 0
    drawn = chosen(tmp_path, split_pairs, VERIFICATION_SIZE=4)
    assert len(drawn.validation) == 4
    np.testing.assert_array_equal(np.union1d(drawn.training, drawn.validation), split.training)
    assert drawn.digest == chosen(tmp_path, split_pairs, VERIFICATION_SIZE=4).digest
    assert drawn.digest != chosen(tmp_path, split_pairs, VERIFICATION_SIZE=4, seed=1).digest


def test_split_drawn_instead(tmp_path, split_pairs):
    split = chosen(tmp_path, split_pairs, split="random")
    assert split.sizes[:2] == (6, 20)
    assert split.digest == make_split(29, split.sizes, 0).digest
    sizes = {"QUERY_SIZE": 5, "DATABASE_SIZE": 24, "TRAINING_SIZE": 10, "VERIFICATION_SIZE": 3}
    split = chosen(tmp_path, split_pairs, split="sequential", **sizes)
    for part, rows in zip(
        (split.query, split.retrieval, split.training, split.validation),
        (range(5), range(5, 29), range(5, 15), range(15, 18)),
        strict=True,
    ):
        np.testing.assert_array_equal(part, rows)


@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_split_of_an_index_file(tmp_path, split_pairs, suffix):
    path = tmp_path / f"mine{suffix}"
    rows = {"query": np.arange(4), "retrieval": np.arange(4, 29), "training": np.arange(10, 20)}
    if suffix == ".npz":
        np.savez(path, **rows)
    else:
        write_v5(path, **{f"ind_{name}": numbers + 1.0 for name, numbers in rows.items()})
    split = chosen(tmp_path, split_pairs, split=str(path), VERIFICATION_SIZE=2)
    np.testing.assert_array_equal(split.query, rows["query"])
    np.testing.assert_array_equal(split.retrieval, rows["retrieval"])
    np.testing.assert_array_equal(np.union1d(split.training, split.validation), rows["training"])
    assert len(split.validation) == 2


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"QUERY_SIZE": 3},
            r"QUERY_SIZE, .* are 3, -1, -1, and the split is that of the data set's files; expected",
        ),
        (
            {"TRAINING_SIZE": 3, "split": "mine.npz"},
            r"are -1, -1, 3, and the split is that of mine.npz; expected -1",
        ),
        (
            {"VERIFICATION_SIZE": 11},
            "VERIFICATION_SIZE is 11, the files have 11 training items; expected fewer",
        ),
        ({"batch_size": 12}, "batch_size is 12, the training set has 11 items; expected a batch no larger"),
        ({"VERIFICATION_SIZE": 4, "batch_size": 8}, "batch_size is 8, the training set has 7 items"),
        ({"split": "random", "QUERY_SIZE": 29}, "QUERY_SIZE = 29, .*the data set has 29 items"),
        ({"split": "sequential", "TRAINING_SIZE": 24}, "TRAINING_SIZE = 24, .* leave 20 items to retrieve"),
    ],
)
def test_splits_that_cannot_be_are_told(tmp_path, split_pairs, changes, line):
    with pytest.raises(SettingError, match=line) as caught:
        chosen(tmp_path, split_pairs, **changes)
    assert "\n" not in str(caught.value)


def test_missing_index_file_is_told(tmp_path, split_pairs):
    with pytest.raises(DataError, match=r"mine.npz: not found"):
        chosen(tmp_path, split_pairs, split=str(tmp_path / "mine.npz"))
