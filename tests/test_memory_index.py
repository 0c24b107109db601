"""Codes in memory: arrays in, the nearest out, with FAISS and without."""

import sys

import numpy as np
import pytest
from coded import nearest
from hypothesis import given
from hypothesis import strategies as st

from gch.errors import DataError, SettingError
from gch.search import hamming
from gch.search.memory_index import Index


@pytest.mark.parametrize("way", ["faiss", "numpy"])
@given(st.data())
def test_the_nearest_come_first_and_equal_distances_by_row(way, data):
    bits = 8 * data.draw(st.integers(1, 17), "bytes")
    items = data.draw(st.integers(0, 40), "items")
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    signs = np.where(random.random((items + 3, bits)) < 0.1, 1, -1)  # distances are few and repeat
    packed = np.packbits(signs > 0, axis=1)
    count = data.draw(st.integers(1, 50), "k")
    with pytest.MonkeyPatch.context() as patch:
        if way != "faiss":
            patch.setitem(sys.modules, "faiss", None)
            patch.setattr(hamming, "_PAIRS", 64 * bits)  # some blocks
        rows, distances = nearest(packed[3:], packed[:3], count)
        forms = [signs.astype(np.float32), signs > 0, (signs > 0).astype(np.uint8), packed]
        if items == 0:
            forms = [forms[0], packed]  # without codes, uint8 is packed
        elif np.isin(packed[3:], (0, 1, 255)).all():
            forms.pop()  # these bytes may be signs
        for form in forms:
            index = Index(form[3:])
            found = index.search(form[:3], count)
            assert (len(index), index.bits) == (items, bits)
            np.testing.assert_array_equal(found.ids, rows)
            np.testing.assert_array_equal(found.distances, distances)


def test_queries_and_codes_may_have_different_forms():
    signs = np.random.default_rng(0).choice([-1, 1], (20, 16))
    signs[0] = 1  # packed, its bytes are 255, which stands for a sign elsewhere
    forms = [signs, (signs > 0).astype(np.uint8), np.packbits(signs > 0, axis=1)]
    for codes in forms:
        for queries in forms:
            assert Index(codes).search(queries[:1], 1).distances.tolist() == [[0]]
    # The codes tell that 255 is +1, which the query alone would not.
    byte_signs = np.where(signs > 0, 255, 0).astype(np.uint8)
    assert Index(byte_signs).search(byte_signs[:1], 1).distances.tolist() == [[0]]


def test_codes_of_any_length_and_ids_of_any_type():
    codes = np.array([[1, 1, 1], [-1, -1, -1], [1, 1, -1]])
    index = Index(codes, ids=[30, 10, 20])
    found = index.search(codes[:2], k=5)
    assert index.bits == 3
    assert found.ids.tolist() == [[30, 20, 10], [10, 20, 30]]
    assert found.distances.tolist() == [[0, 1, 3], [0, 2, 3]]
    assert index.search(codes[:1], k=np.int64(2)).ids.tolist() == [[30, 20]]
    found = index.search(np.array([[0.5, 0.25, -0.5]]), 3)  # the bits that fill the last byte do not count
    assert found.ids.tolist() == [[20, 30, 10]]
    assert found.scores.tolist() == [[0.875, 1.375, 1.625]]
    for ids in ([b"a", b"a\0", b"b\0"], [1, "1", 1.5], [("a", 1), ("a", 2), ("b",)]):
        assert Index(codes, ids).search(codes[1:], 3).ids.tolist()[1] == [ids[2], ids[0], ids[1]]
    for ids in ([2**63, -1, 0], [1, 1.5, 2], [True, 2, 3]):
        found = Index(codes, ids).search(codes[1:], 3).ids.tolist()[1]
        assert repr(found) == repr([ids[2], ids[0], ids[1]])  # of the same types
    assert Index(codes, list(np.arange(3, dtype=np.int32))).search(codes).ids.dtype == np.int32


ONES = Index(np.ones((3, 8)))


def relaxed(last: float) -> np.ndarray:
    return np.array([[0.5] * 7 + [last]])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Index(np.full((3, 8), 2)), DataError, r"codes holds 2 \(item 0, bit 0\); expected -1 and"),
        (lambda: Index(np.zeros(3, np.uint8)), DataError, r"codes has shape \(3,\); expected packed codes"),
        (lambda: Index(np.zeros((3, 0))), DataError, r"codes has shape \(3, 0\); expected packed codes"),
        (lambda: Index([["a", "b"]]), DataError, "codes holds <U1; expected numbers"),
        (lambda: Index(np.ones((3, 8)), ids=[1, 2]), DataError, r"ids have shape \(2,\); expected one for"),
        (lambda: ONES.search(np.ones((1, 9))), DataError, "have 9 bits; expected 8, as in the index"),
        (lambda: ONES.search(np.ones((1, 9), int)), DataError, "have 9 bits; expected 8, as in the index"),
        (lambda: ONES.search(np.zeros(8, np.uint8)), DataError, "query_codes has shape"),
        (lambda: ONES.search(relaxed(-1.5)), DataError, r"holds -1.5 \(item 0, bit 7\); expected relaxed"),
        (lambda: ONES.search(relaxed(np.nan)), DataError, r"holds nan \(item 0, bit 7\); expected relaxed"),
        (lambda: ONES.search(relaxed(0.5), k=0), SettingError, "k is 0; expected a whole number, 1 or more"),
        (lambda: ONES.search(relaxed(0.5), k="5"), SettingError, "k is '5'; expected a whole number"),
        (
            lambda: ONES.search(relaxed(0.5), ranking="cosine"),
            SettingError,
            "'cosine'; expected one of asymmetric, hamming",
        ),
    ],
)
def test_other_arrays_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
