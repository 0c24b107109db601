import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gch.data.pairs import SplitSizes
from gch.data.split import default_sizes, make_split, resolve_sizes
from gch.data.split_file import load_split, save_split
from gch.errors import DataError, SettingError

DEFAULTS = SplitSizes(2000, 18_015, 10_000, 500)
TOTAL = 20_015


@st.composite
def totals_and_sizes(draw):
    total = draw(st.integers(2, 300))
    query = draw(st.integers(1, total - 1))
    retrieval = draw(st.integers(1, total - query))
    training = draw(st.integers(1, retrieval))
    return total, SplitSizes(query, retrieval, training, draw(st.integers(0, retrieval - training)))


@given(totals_and_sizes(), st.integers(0, 2**31))
def test_parts_keep_their_promises(case, seed):
    total, sizes = case
    split = make_split(total, sizes, seed)
    assert split.sizes == sizes
    for part in (split.query, split.retrieval, split.training, split.validation):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
        assert ((part >= 0) & (part < total)).all()
    assert not np.intersect1d(split.query, split.retrieval).size
    assert not np.intersect1d(split.training, split.validation).size
    assert np.isin(split.training, split.retrieval).all()
    assert np.isin(split.validation, split.retrieval).all()
    assert make_split(total, sizes, seed).digest == split.digest


def test_seeds_differ_and_smaller_training_sets_nest():
    large = make_split(100, SplitSizes(10, 90, 60, 10), 1)
    small = make_split(100, SplitSizes(10, 90, 30, 10), 1)
    other = make_split(100, SplitSizes(10, 90, 60, 10), 2)
    assert np.isin(small.training, large.training).all()
    np.testing.assert_array_equal(small.query, large.query)
    np.testing.assert_array_equal(small.validation, large.validation)
    assert other.digest != large.digest


def test_random_split_is_what_it_was():
    drawn = np.random.Generator(np.random.PCG64(3)).permutation(12)
    split = make_split(12, SplitSizes(3, 8, 4, 2), 3)
    np.testing.assert_array_equal(split.query, sorted(drawn[:3]))
    np.testing.assert_array_equal(split.retrieval, sorted(drawn[3:11]))
    np.testing.assert_array_equal(split.validation, sorted(drawn[3:5]))
    np.testing.assert_array_equal(split.training, sorted(drawn[5:9]))


@pytest.mark.parametrize("seed", [0, 7])
def test_sequential_split_takes_the_rows_in_order(seed):
    split = make_split(12, SplitSizes(3, 7, 4, 2), seed, "sequential")
    np.testing.assert_array_equal(split.query, [0, 1, 2])
    np.testing.assert_array_equal(split.retrieval, [3, 4, 5, 6, 7, 8, 9])
    np.testing.assert_array_equal(split.training, [3, 4, 5, 6])
    np.testing.assert_array_equal(split.validation, [7, 8])
    assert {part.dtype for part in vars(split).values()} == {np.dtype(np.int64)}


def test_unknown_order_is_told():
    with pytest.raises(ValueError, match="'shuffled', expected 'random' or 'sequential'"):
        make_split(12, SplitSizes(3, 7, 4, 2), 0, "shuffled")


@pytest.mark.parametrize(
    ("requested", "resolved"),
    [
        ((-1, -1, -1, -1), DEFAULTS),
        ((1000, -1, -1, -1), (1000, 19_015, 10_000, 500)),
        ((-1, 5000, -1, -1), (2000, 5000, 4862, 138)),
        ((-1, 19_000, -1, -1), (1015, 19_000, 10_000, 500)),
        ((-1, -1, 18_015, -1), (2000, 18_015, 18_015, 0)),
        ((-1, -1, 17_900, -1), (2000, 18_015, 17_900, 115)),
        ((-1, -1, -1, 0), (2000, 18_015, 10_000, 0)),
        ((-1, -1, -1, 9000), (2000, 18_015, 9015, 9000)),
        ((1, 2, 1, 1), (1, 2, 1, 1)),
    ],
)
def test_sizes_not_asked_for_adapt(requested, resolved):
    assert resolve_sizes(SplitSizes(*requested), DEFAULTS, TOTAL) == resolved


@pytest.mark.parametrize(
    ("requested", "line"),
    [
        ((0, -1, -1, -1), "QUERY_SIZE = 0, expected 1 or more"),
        ((-1, 0, -1, -1), "DATABASE_SIZE = 0"),
        ((-1, -1, -2, -1), "TRAINING_SIZE = -2"),
        ((-1, -1, -1, -5), "VERIFICATION_SIZE = -5, expected 0 or more"),
        (
            (20_015, -1, -1, -1),
            r"QUERY_SIZE = 20015, DATABASE_SIZE = -1 \(default\): the data set has 20015 items",
        ),
        ((2000, 18_016, -1, -1), "QUERY_SIZE = 2000, DATABASE_SIZE = 18016: the data set has 20015 items"),
        ((-1, 20_015, -1, -1), "DATABASE_SIZE = 20015"),
        (
            (-1, 5000, 5001, -1),
            r"TRAINING_SIZE = 5001, VERIFICATION_SIZE = -1 \(default\): .*leave 5000 items",
        ),
        (
            (-1, -1, 18_000, 16),
            "TRAINING_SIZE = 18000, VERIFICATION_SIZE = 16: .*leave 18015 items",
        ),
        ((-1, -1, -1, 18_015), "VERIFICATION_SIZE = 18015"),
    ],
)
def test_impossible_sizes_are_told_with_their_numbers(requested, line):
    with pytest.raises(SettingError, match=line) as caught:
        resolve_sizes(SplitSizes(*requested), DEFAULTS, TOTAL)
    assert "\n" not in str(caught.value)


@given(st.integers(10, 300), st.tuples(*[st.just(-1) | st.floats(0, 0.6)] * 4))
def test_resolved_sizes_can_always_be_served(total, shares):
    requested = SplitSizes(*(-1 if share == -1 else int(share * total) for share in shares))
    try:
        sizes = resolve_sizes(requested, default_sizes("FLICKR", total), total)
    except SettingError:
        assume(False)
    assert make_split(total, sizes, 0).sizes == sizes
    assert all(got == asked for got, asked in zip(sizes, requested, strict=True) if asked != -1)


def test_comes_back_from_its_file(tmp_path):
    split = make_split(50, SplitSizes(10, 40, 20, 0), 0)
    save_split(tmp_path / "split.npz", split)
    assert load_split(tmp_path / "split.npz", 50).digest == split.digest
    assert [path.name for path in tmp_path.iterdir()] == ["split.npz"]


def rows(*numbers):
    return np.array(numbers, np.int64)


GOOD = {"query": rows(0, 1), "retrieval": rows(2, 3, 4), "training": rows(2, 3), "validation": rows(4)}
BROKEN = {
    "field missing": ({"query": None}, "query"),
    "of another type": ({"query": np.array([0.0])}, "query is float64"),
    "objects": ({"query": np.array([None])}, "expected a saved split"),
    "out of range": ({"query": rows(0, 5)}, "query: expected ascending row numbers from 0 to 4"),
    "negative": ({"query": rows(-1, 0)}, "query: expected ascending"),
    "not ascending": ({"retrieval": rows(3, 2, 4)}, "retrieval: expected ascending"),
    "twice": ({"training": rows(2, 2)}, "training: expected ascending"),
    "trains on a query": ({"training": rows(1, 2)}, "query and training share row 1"),
    "validates on a query": ({"validation": rows(0)}, "query and validation share row 0"),
    "retrieves a query": ({"retrieval": rows(1, 2, 3, 4)}, "query and retrieval share row 1"),
    "validates on training": ({"validation": rows(3)}, "training and validation share row 3"),
}


def test_training_and_validation_items_may_lie_outside_of_the_retrieval_set(tmp_path):
    parts = GOOD | {"retrieval": rows(2)}
    np.savez(tmp_path / "split.npz", **parts)
    split = load_split(tmp_path / "split.npz", 5)
    for name, part in parts.items():
        np.testing.assert_array_equal(getattr(split, name), part)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_split_is_told_in_one_line(tmp_path, name):
    change, line = BROKEN[name]
    parts = {key: part for key, part in (GOOD | change).items() if part is not None}
    path = tmp_path / "split.npz"
    np.savez(path, **parts)
    with pytest.raises(DataError, match=line) as caught:
        load_split(path, 5)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("written", [None, b"", b"hello", b"PK\x03\x04 cut"])
def test_file_that_is_no_split_is_told(tmp_path, written):
    path = tmp_path / "split.npz"
    if written is not None:
        path.write_bytes(written)
    with pytest.raises(DataError, match="expected a saved split"):
        load_split(path, 5)
