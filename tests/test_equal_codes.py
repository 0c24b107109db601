"""Equal codes are searched once, and all rows that have them are found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gch.errors import DataError
from gch.search.equal_codes import all_of, group_equal, read_equal, write_equal
from gch.search.found import Found, in_order


def test_groups_by_hand():
    equal = group_equal(np.array([[7, 1], [2, 9], [7, 1], [7, 0], [2, 9]], np.uint8))
    groups = np.split(equal.rows, equal.starts[1:-1])
    assert sorted(map(list, groups)) == [[0, 2], [1, 4], [3]]
    assert sorted(equal.distinct) == [0, 1, 3]


@given(st.integers(1, 60), st.integers(1, 17), st.integers(0, 99))
def test_groups_are_all_rows_of_a_code(items, width, seed):
    codes = np.random.default_rng(seed).integers(0, 2, (items, width), np.uint8)
    equal = group_equal(codes)
    assert sorted(equal.rows) == list(range(items))
    assert len(equal.distinct) == len(np.unique(codes, axis=0))
    for first, rows in zip(equal.distinct, np.split(equal.rows, equal.starts[1:-1]), strict=True):
        assert rows[0] == first
        assert (np.diff(rows) > 0).all()
        assert (codes[rows] == codes[first]).all()


def test_rows_of_codes_by_hand():
    equal = group_equal(np.array([[5], [3], [5], [4], [5], [3]], np.uint8))
    code_of = {int(row): number for number, row in enumerate(equal.distinct)}
    found = Found(
        np.array([[code_of[1], code_of[0], -1], [code_of[3], -1, -1]]), np.array([[0, 2, -1], [1, -1, -1]])
    )
    rows, distances = all_of(equal, found, 4)
    assert rows.tolist() == [[1, 5, 0, 2], [3, -1, -1, -1]]
    assert distances.tolist() == [[0, 0, 2, 2], [1, -1, -1, -1]]
    assert all_of(equal, found, 1).rows.tolist() == [[1], [3]]


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 99))
def test_the_nearest_distinct_codes_hold_the_nearest_rows(items, count, seed):
    random = np.random.default_rng(seed)
    codes, queries = (random.integers(0, 3, (number, 1), np.uint8) for number in (items, 3))
    count = min(count, items)
    equal = group_equal(codes)
    away = np.bitwise_count(queries ^ codes[equal.distinct].T).astype(np.int32)
    order = np.argsort(away, axis=1)[:, :count]
    found = all_of(equal, in_order(Found(order, np.take_along_axis(away, order, axis=1))), count)
    exact = np.sort(np.bitwise_count(queries ^ codes.T), axis=1)[:, :count]
    np.testing.assert_array_equal(found.distances, exact)
    np.testing.assert_array_equal(np.bitwise_count(queries ^ codes[:, 0][found.rows]), exact)
    assert all(len(set(rows)) == count for rows in found.rows)


def test_groups_are_kept_in_a_file(tmp_path):
    equal = group_equal(np.array([[1], [2], [1]], np.uint8))
    write_equal(tmp_path / "e", equal)
    for found, expected in zip(read_equal(tmp_path / "e", 3, 2), equal, strict=True):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(DataError, match="e: 48 bytes, expected 56; build the index again"):
        read_equal(tmp_path / "e", 3, 3)
    (tmp_path / "e").write_bytes(b"\1" * 48)
    with pytest.raises(DataError, match="damaged"):
        read_equal(tmp_path / "e", 3, 2)
