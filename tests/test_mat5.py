import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gch.mat5 import list_mat5

LIMIT = 2**24
NUMBERS = {
    "double": np.arange(12.0).reshape(3, 4) / 7,
    "single": np.arange(6, dtype=np.float32).reshape(2, 3),
    "whole_doubles": np.array([[1.0, 0.0, 300.0]]),
    "bytes": np.arange(60, dtype=np.uint8).reshape(3, 4, 5),
    "signed": np.array([[-1, 127]], np.int8),
    "words": np.array([[65535], [1]], np.uint16),
    "short": np.array([[-(2**15), 2**15 - 1]], np.int16),
    "int": np.array([[-(2**31)], [2**31 - 1]], np.int32),
    "unsigned": np.array([[2**32 - 1, 0]], np.uint32),
    "longest": np.array([[2**64 - 1]], np.uint64),
    "long": np.array([[2**40, -3]], np.int64),
    "four": np.arange(24, dtype=np.uint8).reshape(2, 1, 3, 4),
    "logical": np.array([[True, False, True]]),
    "empty": np.zeros((0, 3)),
    "one": np.array([[7.0]]),
    "sparse": scipy.sparse.csc_array(np.array([[0, 2.5, 0], [1, 0, 0]])),
}
CELL = np.empty((3, 1), object)
CELL[:, 0] = ["a dog", "", "Bücher 犬"]
WIDE = np.empty((2, 2), object)
WIDE[0], WIDE[1] = ["a", "b"], ["c", "d e"]
ROWS = np.array(["犬犬", "é"])
NESTED = np.empty((1, 2), object)
NESTED[0, 0], NESTED[0, 1] = np.array([["x", "y"]], object), "z"
TEXTS = {
    "column": (CELL, [["a dog"], [], ["Bücher 犬"]]),
    "row": (CELL.T, [["a dog"], [], ["Bücher 犬"]]),
    "wide": (WIDE, [["a", "b"], ["c", "d e"]]),
    "nested": (NESTED, [["x", "y"], ["z"]]),
    "characters": (np.array(["im1.jpg", "im22.jpg"]), [["im1.jpg"], ["im22.jpg"]]),
    "unicode rows": (ROWS, [["犬犬"], ["é"]]),
    "string": ("one text ", [["one text"]]),
}


def written(folder, name, value, compressed=True):
    path = folder / "file.mat"
    scipy.io.savemat(path, {"before": 1.0, name: value, "after": "text"}, do_compression=compressed)
    return path


def array(path, name):
    return next(found for found in list_mat5(path) if found.name == name)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_those_that_scipy_reads(tmp_path, name, compressed):
    path = written(tmp_path, name, NUMBERS[name], compressed)
    expected = scipy.io.loadmat(path)[name]
    expected = expected.toarray() if scipy.sparse.issparse(expected) else expected
    found = array(path, name)
    assert found.shape == expected.shape
    values = found.numbers(LIMIT)
    np.testing.assert_array_equal(values, expected)
    assert values.dtype == expected.dtype == found.dtype
    assert [one.name for one in list_mat5(path)] == ["before", name, "after"]


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("name", TEXTS)
def test_texts_of_cells_and_of_characters(tmp_path, name, compressed):
    value, expected = TEXTS[name]
    assert array(written(tmp_path, "texts", value, compressed), "texts").strings(LIMIT) == expected


def element(number, data, order=">"):
    return struct.pack(f"{order}II", number, len(data)) + data + bytes(-len(data) % 8)


def by_hand(shape=(2, 2), data=(1, 2, 3, 4), number=9, kind=6, flags=0, order=">", name=b"X"):
    """A file as MATLAB's documentation describes it, of the other byte order than this machine's."""
    content = element(6, struct.pack(f"{order}II", kind | flags, 0), order)
    content += element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    content += element(1, name, order)
    content += element(number, struct.pack(f"{order}{len(data)}d", *data), order)
    mark = b"\x01\x00MI" if order == ">" else b"\x00\x01IM"
    return b"MATLAB 5.0 MAT-file".ljust(124) + mark + element(14, content, order)


def test_the_other_byte_order(tmp_path):
    (tmp_path / "file.mat").write_bytes(by_hand())
    np.testing.assert_array_equal(array(tmp_path / "file.mat", "X").numbers(LIMIT), [[1, 3], [2, 4]])


def element_of(shape, kind, content, name=b"X"):
    """An array whose content is given as bytes, little endian."""
    flags = element(6, struct.pack("<II", kind, 0), "<")
    axes = element(5, struct.pack(f"<{len(shape)}i", *shape), "<")
    return element(14, flags + axes + element(1, name, "<") + content, "<")


def write_elements(path, *elements, packed=False):
    if packed:
        squeezed = [zlib.compress(one) for one in elements]
        elements = [struct.pack("<II", 15, len(one)) + one for one in squeezed]
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(elements))


@pytest.mark.parametrize(
    ("number", "data"),
    [
        (1, "a é".encode()),
        (2, "a é".encode()),
        (16, "a é".encode()),
        (4, "a é".encode("utf-16-le")),
        (17, "a é".encode("utf-16-le")),
    ],
)
def test_characters_of_every_storage_type(tmp_path, number, data):
    write_elements(tmp_path / "file.mat", element_of((1, 3), 4, element(number, data, "<")))
    assert array(tmp_path / "file.mat", "X").strings(LIMIT) == [["a é"]]


def nested_cell(depth):
    inner = element_of((1, 1), 4, element(16, b"x", "<"), b"")
    for _ in range(depth):
        inner = element_of((1, 1), 1, inner, b"")
    return element_of((1, 1), 1, inner)


def test_cells_within_cells_are_read_to_a_depth(tmp_path):
    write_elements(tmp_path / "file.mat", nested_cell(3))
    assert array(tmp_path / "file.mat", "X").strings(LIMIT) == [["x"]]
    write_elements(tmp_path / "file.mat", nested_cell(4))
    with pytest.raises(ValueError, match="a cell that holds no text"):
        array(tmp_path / "file.mat", "X").strings(LIMIT)


MIB = 2**20
SMALL_CELL = struct.pack("<II", 14, 0)
GREEDY = {
    "rows of no characters": ("strings", element_of((2**31 - 1, 0), 4, element(4, b"", "<"))),
    "many empty cells": ("strings", element_of((MIB, 1), 1, SMALL_CELL * MIB)),
    "more cells than are there": ("strings", element_of((2**31 - 1, 2**31 - 1), 1, SMALL_CELL)),
    "rows of one character": ("strings", element_of((MIB, 1), 4, element(2, b"a" * MIB, "<"))),
    "one long text": ("strings", element_of((1, 8 * MIB), 4, element(2, b"a" * 8 * MIB, "<"))),
    "more text than allowed": ("strings", element_of((1, 64 * MIB), 4, element(2, b"a" * 64 * MIB, "<"))),
    "bytes as doubles": ("numbers", element_of((8 * MIB, 1), 9, element(9, bytes(64 * MIB), "<"))),
    "wide sparse": ("numbers", element_of((2**15, 2**15), 5, element(5, bytes(8), "<") * 3)),
    "long sparse": ("numbers", element_of((2, 2), 5, element(5, bytes(8 * MIB), "<") * 3)),
}


@pytest.mark.parametrize("name", GREEDY)
@pytest.mark.parametrize("packed", [True, False])
def test_small_files_that_would_take_much_are_refused(tmp_path, name, packed):
    how, content = GREEDY[name]
    write_elements(tmp_path / "file.mat", content, packed=packed)
    found = array(tmp_path / "file.mat", "X")
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="would take more than 16777216 bytes"):
            getattr(found, how)(LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (tmp_path / "file.mat").stat().st_size + 1.5 * LIMIT


def test_a_damaged_stream_is_told_by_its_checksum(tmp_path):
    path = tmp_path / "file.mat"
    write_elements(path, element_of((1, 3), 9, element(2, b"abc", "<")), packed=True)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged, .*incorrect data check"):
        array(path, "X").numbers(LIMIT)


def test_names_that_would_break_a_message_are_refused(tmp_path):
    write_elements(tmp_path / "file.mat", element_of((1, 1), 9, element(2, b"a", "<"), b"a\nb"))
    with pytest.raises(ValueError, match=r"an array of the name 'a\\nb'"):
        list_mat5(tmp_path / "file.mat")


DAMAGED = {
    "type that does not exist": by_hand(number=200),
    "type of a matrix among numbers": by_hand(number=14),
    "fewer numbers than its shape": by_hand(shape=(3, 2)),
    "negative shape": by_hand(shape=(-2, -2)),
    "one axis": by_hand(shape=(4,)),
    "larger than allowed": by_hand(shape=(2**15, 2**15)),
    "complex": by_hand(flags=0x800),
    "cell of no arrays": by_hand(kind=1),
    "cut off": by_hand()[:-8],
    "no element": by_hand()[:130],
    "header only, of HDF5": b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM",
    "description of another program": by_hand().replace(b"MATLAB", b"Fooool", 1),
    "version and byte order that differ": by_hand().replace(b"\x01\x00MI", b"\x00\x01MI", 1),
    "text": b"hello",
    "nothing": b"",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused(tmp_path, name):
    path = tmp_path / "file.mat"
    path.write_bytes(DAMAGED[name])
    with pytest.raises(ValueError, match=r"\w"):
        array(path, "X").numbers(LIMIT)


def test_expands_no_more_than_the_shape_needs(tmp_path):
    path = tmp_path / "file.mat"
    whole = by_hand(order="<")
    packed = zlib.compress(whole[128:] + bytes(2**26))
    path.write_bytes(whole[:128] + struct.pack("<II", 15, len(packed)) + packed)
    tracemalloc.start()
    try:
        np.testing.assert_array_equal(array(path, "X").numbers(LIMIT), [[1, 3], [2, 4]])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("level", [0, 1, 9])
def test_large_arrays_take_their_own_size(tmp_path, level):
    path = tmp_path / "file.mat"
    values = np.random.default_rng(0).integers(0, 4, (3001, 1386), dtype=np.uint8)
    packed = zlib.compress(element_of(values.shape, 9, element(2, values.tobytes("F"), "<")), level)
    path.write_bytes(by_hand(order="<")[:128] + struct.pack("<II", 15, len(packed)) + packed)
    tracemalloc.start()
    try:
        found = array(path, "X").numbers(values.nbytes)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found, values)
    assert peak < 1.6 * values.nbytes


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("healthy")
    everything = NUMBERS | {f"text_{name}": value for name, (value, _) in TEXTS.items()}
    for compressed in (True, False):
        scipy.io.savemat(folder / f"{compressed}.mat", everything, do_compression=compressed)
    return folder, [(folder / f"{compressed}.mat").read_bytes() for compressed in (True, False)]


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.data())
def test_any_bytes_give_arrays_or_a_value_error(healthy, data):
    folder, files = healthy
    content = bytearray(data.draw(st.sampled_from(files)))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    path = folder / "mutated.mat"
    path.write_bytes(content)
    try:
        found = list_mat5(path)
    except ValueError:
        return
    for one in found:
        for read in (one.numbers, one.strings):
            message = ""
            try:
                read(2**20)
            except ValueError as error:
                message = str(error)
            assert "\n" not in message
