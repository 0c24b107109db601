"""Asymmetric ranking: the same as comparing all items with NumPy, in every kind of index."""

import contextlib
import sys

import numpy as np
import pytest
from coded import nearest, nearest_to_relaxed, saved
from hypothesis import given
from hypothesis import strategies as st

import gch
from gch.search import asymmetric
from gch.search.asymmetric import asymmetric_search
from gch.search.hamming import exact_search
from gch.search.index import build_index, open_index


def some(seed: int, items: int, width: int, queries: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Codes of few different bytes, many of them equal, and relaxed queries with few different values."""
    random = np.random.default_rng(seed)
    codes = random.integers(4, 8, (items, width), np.uint8)  # not read as signs
    relaxed = random.choice([-1, -0.75, -0.25, 0, 0.25, 0.5, 1], (queries, 8 * width)).astype(np.float32)
    relaxed[:1] = np.tanh(random.normal(size=8 * width))
    return codes, relaxed


@pytest.mark.parametrize("way", ["faiss", "numpy"])
@given(st.data())
def test_the_order_is_that_of_all_asymmetric_distances(way, data):
    width, items = data.draw(st.integers(1, 9), "bytes"), data.draw(st.integers(0, 40), "items")
    codes, relaxed = some(data.draw(st.integers(0, 99)), items, width)
    count = data.draw(st.integers(1, 50), "count")
    rows, scores = nearest_to_relaxed(codes, relaxed, count)
    with pytest.MonkeyPatch.context() as patch:
        if way != "faiss":
            patch.setitem(sys.modules, "faiss", None)
        index = gch.Index(codes)
        found = index.search(relaxed, count)
        packed = np.packbits(relaxed >= 0, axis=1)
        away = np.bitwise_count(packed[:, None] ^ codes[found.ids]).sum(axis=2)
        np.testing.assert_array_equal(found.ids, rows)
        np.testing.assert_array_equal(found.scores, scores)
        np.testing.assert_array_equal(found.distances, away)
        assert (found.ids.dtype, found.distances.dtype) == (np.int64, np.int32)
        for hamming in (index.search(packed, count), index.search(relaxed, count, ranking="hamming")):
            np.testing.assert_array_equal(tuple(hamming), nearest(codes, packed, count))
            assert hamming.scores is None
        hard = index.search(np.where(relaxed >= 0, 1.0, -1.0), count)
        np.testing.assert_array_equal(tuple(hard), nearest(codes, packed, count))
        np.testing.assert_array_equal(hard.scores, hard.distances)


@given(st.integers(0, 999), st.integers(1, 12), st.integers(8, 200))
def test_no_item_as_near_as_the_last_result_is_missed(seed, count, items):
    codes, relaxed = some(seed, items, 2)
    packed = np.packbits(relaxed >= 0, axis=1)
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asymmetric, "CANDIDATES", 8)
        patch.setattr(asymmetric, "FACTOR", 2)
        patch.setattr(asymmetric, "_AT_ONCE", 16)

        def search(queries, number):
            asked.append(number)
            return exact_search(codes)(queries, number)

        found = asymmetric_search(search, codes.__getitem__, packed, relaxed, count)
    away = np.bitwise_count(packed[:, None] ^ codes).sum(axis=2)
    last = np.sort(away, axis=1)[:, min(count, items) - 1]
    for query in range(len(relaxed)):
        near = np.flatnonzero(away[query] <= last[query])
        ranked = np.union1d(near, found.rows[query])
        rows, scores = nearest_to_relaxed(codes[ranked], relaxed[query : query + 1], count)
        np.testing.assert_array_equal(found.rows[query], ranked[rows[0]])
        np.testing.assert_array_equal(found.scores[query], scores[0])
    assert min(asked) == max(8, 2 * count)


def test_more_equal_distances_than_the_most_candidates_are_cut_by_row(monkeypatch):
    for name, value in (("CANDIDATES", 4), ("FACTOR", 2), ("MOST", 16)):
        monkeypatch.setattr(asymmetric, name, value)
    codes = np.tile(np.array([[1], [2]], np.uint8), (20, 1))  # all at distance 1 from 0
    relaxed = -np.ones((1, 8), np.float32)
    relaxed[0, 6] = -0.5  # the bit of 2
    found = asymmetric_search(exact_search(codes), codes.__getitem__, np.zeros((1, 1), np.uint8), relaxed, 9)
    assert found.rows.tolist() == [[1, 3, 5, 7, 9, 11, 13, 15, 0]]
    assert found.scores.tolist() == [[0.75] * 8 + [1.25]]
    # All that are asked for are found, though they are more than the most candidates.
    found = asymmetric_search(exact_search(codes), codes.__getitem__, np.zeros((1, 1), np.uint8), relaxed, 40)
    assert found.rows.tolist() == [[*range(1, 40, 2), *range(0, 40, 2)]]


@pytest.mark.parametrize("kind", ["codes", "flat", "hash", "hnsw", "engine"])
def test_every_kind_of_index(tmp_path, kind):
    codes, relaxed = some(1, 700, 4, queries=5)
    source, place = saved(tmp_path / "codes", codes, "pair"), tmp_path / kind
    if kind == "engine":
        pytest.importorskip("chdb")
        from gch.search.engine.loading import load_into_engine

        place = f"chdb://{place}"
        load_into_engine([source], place)
    elif kind != "codes":
        build_index([source], place, kind)
    with contextlib.closing(open_index(place)) as index:
        part, packed = index.parts["pair"], np.packbits(relaxed >= 0, axis=1)
        found = asymmetric_search(part.search, part.read_codes, packed, relaxed, 20)
        assert part.items(found.rows[0, :1].tolist())[0]["text"] == "a text"
        none = asymmetric_search(part.search, part.read_codes, packed[:0], relaxed[:0], 20)
    rows, scores = nearest_to_relaxed(codes, relaxed, 20)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.scores, scores)
    assert [values.shape for values in none] == [(0, 20)] * 3
