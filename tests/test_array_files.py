"""Files of arrays that anybody may have made; MATLAB v5 has tests of its own."""

import contextlib
import itertools

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gch.array_files import MAX_BYTES, list_arrays
from gch.errors import DataError


def cell_of(file: h5py.File, name: str, rows: list[list[str]]) -> None:
    """A cell array as MATLAB v7.3 writes it: references to characters, axes reversed."""
    held = file.require_group("#refs#")
    cells = file.create_dataset(name, (len(rows[0]), len(rows)), h5py.ref_dtype)
    cells.attrs["MATLAB_class"] = np.bytes_("cell")
    for row, column in itertools.product(range(len(rows)), range(len(rows[0]))):
        text = rows[row][column]
        if text:
            content = held.create_dataset(
                f"{name}{row}_{column}", data=[[ord(letter)] for letter in text], dtype="u2"
            )
        else:
            content = held.create_dataset(f"{name}{row}_{column}", data=np.zeros(2, np.uint64))
            content.attrs["MATLAB_empty"] = np.uint8(1)
        content.attrs["MATLAB_class"] = np.bytes_("char")
        cells[column, row] = content.ref


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One file of each format with the same matrix, and texts."""
    folder = tmp_path_factory.mktemp("files")
    matrix = np.arange(12, dtype=np.int16).reshape(4, 3)
    with h5py.File(folder / "hdf5", "w", userblock_size=512) as file:
        file.create_dataset("group/matrix", data=matrix, chunks=(2, 3), compression="gzip")
        cell_of(file, "cell", [["im1.jpg"], ["bücher.jpg"], [""]])
        cell_of(file, "wide", [["a", "b"], ["c", ""], ["d", "e"]])
        file.create_dataset("strings", data=["one", "two"], dtype=h5py.string_dtype())
        letters = file.create_dataset(
            "letters", data=np.array([[ord(one) for one in "ab "], [ord(one) for one in "cd "]], "u2").T
        )
        letters.attrs["MATLAB_class"] = np.bytes_("char")
    np.savez_compressed(folder / "npz.npz", matrix=matrix, strings=np.array(["one", "two"]))
    np.save(folder / "matrix.npy", matrix)
    return folder


@pytest.mark.parametrize(
    ("file", "name"), [("hdf5", "group/matrix"), ("npz.npz", "matrix"), ("matrix.npy", "matrix")]
)
def test_every_format_is_known_by_its_content(folder, tmp_path, file, name):
    (tmp_path / "matrix.dat").write_bytes((folder / file).read_bytes())
    stored = list_arrays(tmp_path / "matrix.dat")[name]
    assert (stored.shape, stored.dtype) == ((4, 3), np.int16)
    np.testing.assert_array_equal(stored.read(), np.arange(12).reshape(4, 3))
    parts = list(stored.slabs())
    np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), stored.read())


def test_slabs_follow_the_chunks_of_the_file(folder, monkeypatch):
    monkeypatch.setattr("gch.array_files._SLAB_BYTES", 3 * 2 * 3)
    starts = [start for start, _ in list_arrays(folder / "hdf5")["group/matrix"].slabs()]
    assert starts == [0, 2]


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        ("hdf5", "cell", ["im1.jpg", "bücher.jpg", ""]),
        ("hdf5", "wide", ["a\nb", "c", "d\ne"]),
        ("hdf5", "strings", ["one", "two"]),
        ("hdf5", "letters", ["ab", "cd"]),
        ("npz.npz", "strings", ["one", "two"]),
    ],
)
def test_texts_one_for_each_item(folder, file, name, expected):
    stored = list_arrays(folder / file)[name]
    assert stored.dtype is None
    assert stored.strings() == expected
    with pytest.raises(DataError, match=f"{name} holds no numbers"):
        stored.read()


def test_numbers_are_no_texts(folder):
    with pytest.raises(DataError, match="matrix holds no texts"):
        list_arrays(folder / "npz.npz")["matrix"].strings()


def test_matlabs_own_groups_are_passed_over(folder):
    assert set(list_arrays(folder / "hdf5")) == {"group/matrix", "cell", "wide", "strings", "letters"}


def test_an_array_that_is_too_large_is_refused_before_it_is_read(tmp_path):
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("huge", (MAX_BYTES + 1,), np.uint8, chunks=(2**20,))
    with pytest.raises(DataError, match=r"huge \(4294967297,\) would be 4.0 GiB in memory"):
        list_arrays(tmp_path / "large.h5")["huge"].read()


@settings(max_examples=250, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.data())
def test_any_bytes_give_arrays_or_a_data_error(folder, data):
    """Every try has a file of its own: the HDF5 library remembers files that are open."""
    source = folder / data.draw(st.sampled_from(["hdf5", "npz.npz", "matrix.npy"]))
    content = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    path = folder / f"mutated-{len(list(folder.iterdir()))}"
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        for stored in list_arrays(path).values():
            for read in (stored.read, stored.strings):
                with contextlib.suppress(DataError):
                    read()
