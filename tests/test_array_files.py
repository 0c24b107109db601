"""Files of arrays that anybody may have made: every format gives the same, and damage is one line."""

import contextlib
import struct
import zlib

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources import refusal
from written import write_cell

from gch.data.array_files import list_arrays
from gch.data.mat_file import load_here, load_mat5
from gch.errors import DataError

GRIDS = {"grid": [["a dog", "b"], ["c", ""], ["d e", "f"]], "across": [["a dog", "b", "c"]]}  # 3-D characters
MATRIX = np.arange(12, dtype=np.int16).reshape(4, 3)


def cell(*rows):
    cells = np.empty((len(rows), len(rows[0])), object)
    for row, column in np.ndindex(cells.shape):
        cells[row, column] = rows[row][column]
    return cells


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One file of each format with the same matrix, and texts."""
    folder = tmp_path_factory.mktemp("files")
    with h5py.File(folder / "hdf5", "w", userblock_size=512) as file:
        file.create_dataset("group/matrix", data=MATRIX, chunks=(2, 3), compression="gzip")
        write_cell(file, "cell", ["im1.jpg", "bücher 😀.jpg", ""])
        write_cell(file, "wide", [["a", "b"], ["c", ""], ["d", "e"]])
        file.create_dataset("strings", data=["one", "two"], dtype=h5py.string_dtype())
        file["letters"] = np.array([[ord(one) for one in text] for text in ("ab ", "cd ")], "u2").T
        for name, texts in GRIDS.items():
            file[name] = np.array([[[*map(ord, text.ljust(5))] for text in row] for row in texts], "u2").T
        for name in ("letters", *GRIDS):
            file[name].attrs["MATLAB_class"] = np.bytes_("char")
        file["numbers"] = np.array([[file["group/matrix"].ref]], h5py.ref_dtype)
    texts = {"strings": np.array(["one", "two"])} | {name: np.array(rows) for name, rows in GRIDS.items()}
    np.savez_compressed(folder / "npz.npz", matrix=MATRIX, **texts)
    np.save(folder / "matrix.npy", MATRIX)
    texts |= {"cell": cell(["im1.jpg"], ["bücher 犬.jpg"], [""]), "row": cell(["a", "", "b "])}
    texts |= {"wide": cell(["a", "b"], ["c", ""], ["d", "e"]), "empty": cell(["a", np.zeros((0, 0)), "b"])}
    texts |= {"nested": cell([cell(["x", "y"]), "z"]), "numbers": cell(["a"], [MATRIX])}
    for name in ("v5", "packed"):
        arrays = {"matrix": MATRIX} | texts
        scipy.io.savemat(folder / name, arrays, appendmat=False, do_compression=name == "packed")
    return folder


@pytest.mark.parametrize("file", ["hdf5", "npz.npz", "matrix.npy", "v5"])
@pytest.mark.usefixtures("v5_here")
def test_every_format_is_known_by_its_content(folder, tmp_path, file):
    (tmp_path / "matrix.dat").write_bytes((folder / file).read_bytes())
    stored = list_arrays(tmp_path / "matrix.dat")["group/matrix" if file == "hdf5" else "matrix"]
    assert (stored.shape, stored.dtype) == ((4, 3), np.int16)
    np.testing.assert_array_equal(stored.read(), MATRIX)
    np.testing.assert_array_equal(np.concatenate([part for _, part in stored.slabs()]), MATRIX)


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        ("hdf5", "cell", ["im1.jpg", "bücher 😀.jpg", ""]),
        ("hdf5", "wide", ["a\nb", "c", "d\ne"]),
        ("hdf5", "strings", ["one", "two"]),
        ("hdf5", "letters", ["ab", "cd"]),
        ("npz.npz", "strings", ["one", "two"]),
        ("v5", "cell", ["im1.jpg", "bücher 犬.jpg", ""]),
        ("packed", "row", ["a", "", "b"]),
        ("v5", "empty", ["a", "", "b"]),
        ("v5", "wide", ["a\nb", "c", "d\ne"]),
        ("packed", "nested", ["x\ny", "z"]),
        ("packed", "strings", ["one", "two"]),
        *((file, "grid", ["a dog\nb", "c", "d e\nf"]) for file in ("hdf5", "npz.npz", "v5", "packed")),
        *((file, "across", ["a dog", "b", "c"]) for file in ("hdf5", "npz.npz", "v5", "packed")),
    ],
)
@pytest.mark.usefixtures("v5_here")
def test_texts_one_for_each_item(folder, file, name, expected):
    stored = list_arrays(folder / file)[name]
    assert stored.dtype is None
    assert stored.strings() == expected
    with pytest.raises(DataError, match=f"{name} holds no numbers"):
        stored.read()


@pytest.mark.parametrize(
    ("file", "name", "line"),
    [
        ("npz.npz", "matrix", "matrix holds no texts"),
        ("v5", "numbers", "numbers unreadable, a cell that holds int16"),
        ("hdf5", "numbers", "numbers unreadable, a cell that holds int16"),
    ],
)
@pytest.mark.usefixtures("v5_here")
def test_numbers_are_no_texts(folder, file, name, line):
    with pytest.raises(DataError, match=line):
        list_arrays(folder / file)[name].strings()


def test_hdf5_is_read_by_its_chunks_without_matlabs_own_groups(folder, monkeypatch):
    monkeypatch.setattr("gch.data.array_files._SLAB_BYTES", 3 * 2 * 3)
    listed = list_arrays(folder / "hdf5")
    assert set(listed) == {"group/matrix", "cell", "wide", "strings", "letters", "numbers", *GRIDS}
    assert [start for start, _ in listed["group/matrix"].slabs()] == [0, 2]


def write_sparse(path, matrix, **changed):
    """As MATLAB's save(..., '-v7.3') does; None leaves an array out."""
    columns = scipy.sparse.csc_array(matrix)
    arrays = {"data": columns.data, "ir": columns.indices.astype("u8"), "jc": columns.indptr.astype("u8")}
    with h5py.File(path, "w") as file:
        group = file.create_group("group/sparse")
        group.attrs["MATLAB_class"], group.attrs["MATLAB_sparse"] = np.bytes_("double"), len(matrix)
        for name, array in (arrays | changed).items():
            if array is not None:
                group[name] = array
    return list_arrays(path)["group/sparse"]


def test_sparse_matrices_of_v73(tmp_path, monkeypatch):
    monkeypatch.setattr("gch.data.array_files._SLAB_BYTES", 2 * 4 * 8)
    matrix = np.array([[0, 2.5, 0], [1, 0, 0], [0, 0, 0], [7, 1, 1]])
    stored = write_sparse(tmp_path / "a.mat", matrix)
    assert (stored.shape, stored.dtype, stored.reversed) == ((3, 4), np.float64, True)
    np.testing.assert_array_equal(stored.read(), matrix.T)
    assert [start for start, _ in stored.slabs()] == [0, 2]
    np.testing.assert_array_equal(np.concatenate([part for _, part in stored.slabs()]), matrix.T)
    empty = write_sparse(tmp_path / "b.mat", 0 * matrix, data=None, ir=None)
    np.testing.assert_array_equal(empty.read(), 0 * matrix.T)


def test_sparse_logical_matrices_of_v5_may_be_much_larger_than_their_file(tmp_path, monkeypatch, v5_here):
    monkeypatch.setattr("gch.data.text_files._SMALL_BYTES", 0)
    matrix = np.zeros((900, 900), bool)
    matrix[2, 1] = True
    scipy.io.savemat(tmp_path / "a.mat", {"tags": scipy.sparse.csc_array(matrix)}, do_compression=True)
    stored = list_arrays(tmp_path / "a.mat")["tags"]
    assert (stored.kind, stored.dtype) == ("logical", bool)
    np.testing.assert_array_equal(stored.read(), matrix)
    monkeypatch.setattr("gch.data.array_files.MAX_BYTES", matrix.nbytes - 1)
    monkeypatch.setattr("gch.data.array_files._SLAB_BYTES", 450 * 900)
    with pytest.raises(DataError, match="expected at most"):
        stored.read()
    starts, slabs = zip(*stored.slabs(), strict=True)
    assert starts == (0, 450)
    np.testing.assert_array_equal(np.concatenate(slabs), matrix)


@pytest.mark.parametrize(
    "changed",
    [
        {"jc": None},
        {"ir": np.array([9, 9], "u8")},
        {"jc": np.array([0, 1, 9, 2], "u8")},
        {"jc": np.array([0, 1, 2, 99], "u8")},
        {"data": np.zeros(1)},
    ],
)
def test_damaged_sparse_matrices_are_refused(tmp_path, changed):
    with refusal("group/sparse (is sparse and has no jc|unreadable, )"):
        write_sparse(tmp_path / "a.mat", np.array([[0, 2.5, 0], [1, 0, 0]]), **changed).read()


# ---------------------------------------------------------------- MATLAB v5

NUMBERS = {
    **{f"{kind}_numbers": np.array([[1, 0, 100]], kind) for kind in ("i1", "u1", "i2", "u2", "i4", "u4")},
    **{f"{kind}_numbers": np.array([[1, 0, 100]], kind) for kind in ("i8", "u8", "f4", "f8")},
    "largest": np.array([[2**64 - 1]], np.uint64),
    "four": np.arange(24, dtype=np.uint8).reshape(2, 1, 3, 4),
    "logical": np.array([[True, False, True]]),
    "empty": np.zeros((0, 3)),
    "sparse": scipy.sparse.csc_array(np.array([[0, 2.5, 0], [1, 0, 0]])),
}


def test_v5_numbers_are_those_that_were_written(tmp_path):
    path = tmp_path / "file.mat"
    scipy.io.savemat(path, NUMBERS)
    listed, loaded = list_arrays(path), load_mat5(path, [*NUMBERS, "other"])
    assert list(listed) == list(loaded) == list(NUMBERS)
    for name, value in NUMBERS.items():
        value, found = (one.toarray() if scipy.sparse.issparse(one) else one for one in (value, loaded[name]))
        np.testing.assert_array_equal(found, value)
        assert found.dtype == listed[name].dtype == value.dtype
        assert listed[name].shape == value.shape


def test_small_v5_arrays_are_read_together(tmp_path, monkeypatch):
    path, read = tmp_path / "file.mat", []
    scipy.io.savemat(path, {"one": MATRIX, "text": "a", "two": MATRIX + 1})
    load = "gch.data.array_files.load_mat5"
    monkeypatch.setattr(load, lambda *given: read.append(given[1]) or load_here(*given))
    for limit, wanted in ((2**20, [["one", "two"]]), (20, [["one"], ["two"]])):
        monkeypatch.setattr("gch.data.array_files._SLAB_BYTES", limit)
        listed = list_arrays(path)
        np.testing.assert_array_equal(listed["one"].read(), MATRIX)
        np.testing.assert_array_equal(listed["two"].read(), MATRIX + 1)
        assert read == wanted
        read.clear()


def test_a_sound_array_beside_a_damaged_one_is_read(tmp_path):
    path = tmp_path / "file.mat"
    path.write_bytes(by_hand(shape=(3, 2), name=b"Y") + by_hand()[128:])
    listed = list_arrays(path)
    np.testing.assert_array_equal(listed["X"].read(), [[1, 3], [2, 4]])
    with refusal("cannot reshape", path):
        listed["Y"].read()


def test_v5_structs_keep_their_fields(tmp_path):
    layers = cell([{"name": "conv1", "weights": cell([MATRIX, MATRIX[:, :1]])}])
    scipy.io.savemat(tmp_path / "net.mat", {"net": {"layers": layers, "pad": 2.0}})
    net = load_mat5(tmp_path / "net.mat", ["net"])["net"]
    (layer,) = net["layers"][0, 0].flat
    assert net.dtype.names == ("layers", "pad")
    assert layer["name"][0, 0].tolist() == ["conv1"]
    np.testing.assert_array_equal(layer["weights"][0, 0][0, 0], MATRIX)


def element(number, data, order="<"):
    return struct.pack(f"{order}II", number, len(data)) + data + bytes(-len(data) % 8)


def by_hand(content=None, shape=(2, 2), kind=6, flags=0, order="<", name=b"X", packed=False):
    """A file as MATLAB's documentation describes it, of one array; by default of the doubles 1 to 4."""
    data = content or element(9, struct.pack(f"{order}4d", 1, 2, 3, 4), order)
    array = element(6, struct.pack(f"{order}II", kind | flags, 0), order)
    array += element(5, struct.pack(f"{order}{len(shape)}i", *shape), order) + element(1, name, order)
    array = element(14, array + data, order)
    if packed:
        squeezed = zlib.compress(array)
        array = struct.pack(f"{order}II", 15, len(squeezed)) + squeezed
    return b"MATLAB 5.0 MAT-file".ljust(124) + (b"\x01\x00MI" if order == ">" else b"\x00\x01IM") + array


@pytest.mark.usefixtures("v5_here")
def test_v5_of_another_byte_order_and_of_smaller_storage(tmp_path):
    path = tmp_path / "file.mat"
    for content in (by_hand(order=">"), by_hand(element(2, bytes([1, 2, 3, 4]))), by_hand(packed=True)):
        path.write_bytes(content)
        values = list_arrays(path)["X"].read()
        np.testing.assert_array_equal(values, [[1, 3], [2, 4]])
        assert values.dtype == np.float64


def opaque(name, newer, order="<"):
    """A variable of a newer class of MATLAB's, such as string, as v5 files hold it."""
    head = element(6, struct.pack(f"{order}II", 17, 0), order) + element(1, name, order)
    data = element(13, struct.pack(f"{order}6I", 0xDD000000, 2, 1, 1, 1, 1), order)
    head += element(1, b"MCOS", order) + element(1, newer, order)
    return element(14, head + element(14, data, order), order)


NEWER = "captions holds objects of MATLAB's class string, which are not read; .* strings as cellstr"


@pytest.mark.parametrize("order", "<>")
@pytest.mark.usefixtures("v5_here")
def test_v5_arrays_beside_a_newer_class_of_matlab_are_read(tmp_path, order):
    path = tmp_path / "file.mat"
    content = by_hand(order=order)
    path.write_bytes(content[:128] + opaque(b"captions", b"string", order) + content[128:])
    listed = list_arrays(path)
    np.testing.assert_array_equal(listed["X"].read(), [[1, 3], [2, 4]])
    with refusal(NEWER, path):
        listed["captions"].strings()


def test_newer_classes_of_matlab_in_v73_are_no_numbers(tmp_path):
    path = tmp_path / "file.mat"
    with h5py.File(path, "w") as file:
        file["captions"] = np.array([[0xDD000000, 2, 1, 1, 1, 1]], np.uint32)
        file["captions"].attrs["MATLAB_class"] = np.bytes_("string")
        file["captions"].attrs["MATLAB_object_decode"] = np.int32(3)
    stored = list_arrays(path)["captions"]
    assert stored.dtype is None
    with refusal(NEWER, path):
        stored.strings()


def test_cells_of_v73_are_read_without_their_names(folder, monkeypatch):
    """HDF5 searches the whole file for a name: 20,000 captions took longer than ten minutes."""
    stored = list_arrays(folder / "hdf5")["cell"]
    monkeypatch.delattr(h5py.h5i, "get_name")
    assert stored.strings() == ["im1.jpg", "bücher 😀.jpg", ""]


def test_a_cut_off_npz_file_is_told_as_damaged(folder, tmp_path):
    path = tmp_path / "npz.npz"
    path.write_bytes((folder / "npz.npz").read_bytes()[:-30])
    with refusal("damaged file of arrays", path):
        list_arrays(path)


@pytest.mark.parametrize(
    ("number", "data", "shape"),
    [
        (2, b"a e", (1, 3)),
        (16, "a é".encode(), (1, 3)),
        (17, "a é".encode("utf-16-le"), (1, 3)),
        (4, "a 😀é".encode("utf-16-le"), (1, 5)),  # a pair of surrogates, which MATLAB counts as two
    ],
)
@pytest.mark.usefixtures("v5_here")
def test_v5_characters_of_every_storage_type(tmp_path, number, data, shape):
    (tmp_path / "file.mat").write_bytes(by_hand(element(number, data), shape, kind=4))
    wanted = data.decode("utf-16-le" if number in (4, 17) else "utf-8")
    assert list_arrays(tmp_path / "file.mat")["X"].strings() == [wanted]


DAMAGED = {
    "type that does not exist": (by_hand(element(200, bytes(32))), "ended the process that read it"),
    "fewer numbers than its shape": (by_hand(shape=(3, 2)), "cannot reshape"),
    "negative shape": (by_hand(shape=(-2, -2)), r"holds an array 'X' of shape \(-2, -2\)"),
    "larger than allowed": (by_hand(shape=(2**15, 2**15)), "would be 8.0 GiB in memory"),
    "sparse, larger than allowed": (by_hand(element(5, bytes(8)) * 3, (2**16, 2**16), 5), "32.0 GiB"),
    "complex": (by_hand(element(9, bytes(32)) * 2, flags=0x800), "complex values"),
    "cut off": (by_hand()[:-8], "cut off at 216 bytes"),
    "no element": (by_hand()[:130], "cut off at 130 bytes"),
    "line break in a name": (by_hand(name=b"a\nb"), r"holds an array 'a\\nb'"),
    "wrong checksum": (by_hand(packed=True)[:-1] + b"\1", "incorrect data check"),
    "more than the array in a stream": (
        by_hand(element(9, struct.pack("<4d", 1, 2, 3, 4)) + bytes(2**26), packed=True),
        "Did not fully consume compressed contents",
    ),
    "another program's": (by_hand().replace(b"MATLAB", b"Fooool", 1), "begins with b'Fooool"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_v5_files_are_refused_in_one_line(tmp_path, name):
    content, line = DAMAGED[name]
    path = tmp_path / "file.mat"
    path.write_bytes(content)
    with refusal(line, path):
        list_arrays(path)["X"].read()


def test_a_v5_file_that_takes_much_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("gch.data.mat_file.MAX_BYTES", 2**20)
    path = tmp_path / "file.mat"
    cell = np.empty(1, object)
    cell[0] = scipy.sparse.csc_array((2**14, 2**14))  # filled up in a cell
    scipy.io.savemat(path, {"X": cell})
    with pytest.raises(DataError, match="needs more memory"):
        load_mat5(path, ["X"])
    with pytest.raises(DataError, match="No such file"):
        load_mat5(tmp_path / "other.mat", ["X"])


# ---------------------------------------------------------------- any bytes


@settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.data())
def test_any_bytes_give_arrays_or_a_data_error(folder, data):
    """Every try has a file of its own: the HDF5 library remembers files that are open."""
    file = data.draw(st.sampled_from(["hdf5", "npz.npz", "matrix.npy", "v5", "packed"]))
    content = bytearray((folder / file).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    path = folder / f"mutated-{len(list(folder.iterdir()))}"
    path.write_bytes(content)
    in_a_process, line = file in ("v5", "packed"), ""  # which takes 0.3 s
    try:
        for stored in list_arrays(path).values():
            for read in (stored.read, stored.strings):
                if not in_a_process or data.draw(st.integers(0, 200)) == 100:
                    with contextlib.suppress(DataError):
                        read()
    except DataError as error:
        line = str(error)
    assert "\n" not in line
