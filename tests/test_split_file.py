import io
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from gch.data.pairs import SplitSizes
from gch.data.split import Split, make_split
from gch.data.split_file import export_split, load_split, save_split
from gch.errors import DataError

TOTAL = 10
PARTS = {"query": [4, 1], "retrieval": [9, 2, 3, 5], "training": [3, 8, 2], "validation": [5]}


def counted(base: int = 0, /, **changes) -> dict:
    """Arrays of a good file that counts from `base`, with changes; None leaves an array out."""
    arrays = {part: np.array(rows) + base for part, rows in PARTS.items()} | changes
    return {name: array for name, array in arrays.items() if array is not None}


def mask(*rows: int) -> np.ndarray:
    return np.isin(np.arange(TOTAL), rows)


def write_npz(path, arrays):
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def write_v5(path, arrays):
    scipy.io.savemat(path, arrays, appendmat=False)


def write_hdf5(path, arrays):
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = np.atleast_2d(array).T


def write_v73(path, arrays):
    """As MATLAB does: axes reversed, logical as uint8, an empty array as its shape."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            array = np.atleast_2d(array)
            if array.size == 0:
                file[name] = np.array(array.shape[::-1], np.uint64)
                file[name].attrs["MATLAB_empty"] = np.uint8(1)
            else:
                file[name] = array.T.astype(np.uint8 if array.dtype == bool else np.float64)
            kind = b"logical" if array.dtype == bool else b"double"
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)


WRITERS = {"npz": (write_npz, 0), "v5": (write_v5, 1), "hdf5": (write_hdf5, 1), "v73": (write_v73, 1)}


def read(path, seed=0, validation_size=0):
    return load_split(path, TOTAL, seed, validation_size)


def assert_parts(split: Split, **changes):
    for part, rows in (PARTS | changes).items():
        found = getattr(split, part)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, sorted(rows), err_msg=part)


@pytest.fixture(params=WRITERS)
def written(request, tmp_path):
    """Writes arrays to a file whose suffix does not tell what it is: (path of the file, its usual base)."""
    write, base = WRITERS[request.param]

    def write_arrays(arrays):
        write(tmp_path / "index.dat", arrays)
        return tmp_path / "index.dat"

    return write_arrays, base


def test_parts_are_read_from_every_kind_of_file(written):
    write, base = written
    assert_parts(read(write(counted(base))))


@pytest.mark.parametrize(
    "shape", [lambda rows: rows[:, None], lambda rows: rows[None], lambda rows: rows.astype(np.float64)]
)
def test_vectors_may_be_columns_or_rows_or_doubles(written, shape):
    write, base = written
    assert_parts(read(write({name: shape(rows) for name, rows in counted(base).items()})))


def test_masks_are_read(written):
    write, base = written
    assert_parts(read(write({part: mask(*rows) for part, rows in PARTS.items()})))
    assert_parts(read(write(counted(base, query=mask(*PARTS["query"])))))


@pytest.mark.parametrize(
    "names",
    [
        ("test", "database", "train", "val"),
        ("indQuery", "indDatabase", "indTrain", "indVal"),
        ("query_index", "db", "training_idx", "valid"),
        ("idx_query", "idx_retrieval", "idx_train", "idx_val"),
        ("TestIdx", "indRetrieval", "TRAIN", "validIndices"),
    ],
)
def test_parts_have_other_names(written, names):
    write, base = written
    own = counted(base)
    other = {name: own[part] for part, name in zip(PARTS, names, strict=True)}
    assert_parts(read(write(other | {"labels": np.zeros((3, 4)), "trainer": np.zeros(2)})))


MOVED = [0, 8, 3]  # for the training part: holds the first item
LAST = [9, 8, 3]  # holds the last item


@pytest.mark.parametrize(
    ("counts_from", "change", "training"),
    [
        (0, {"training": MOVED}, MOVED),
        (1, {"training": [row + 1 for row in LAST]}, LAST),
        (0, {"base": 0}, PARTS["training"]),
        (1, {"base": np.array([[1.0]])}, PARTS["training"]),
        (0, {"base": 0, "training": LAST}, LAST),
        (1, {"base": 1, "training": [row + 1 for row in MOVED]}, MOVED),
    ],
)
def test_file_tells_what_it_counts_from(written, counts_from, change, training):
    write, _ = written
    changes = {"retrieval": np.array([2, 3, 5]) + counts_from}
    changes |= {name: np.array(value) for name, value in change.items()}
    split = read(write(counted(counts_from, **changes)))
    assert_parts(split, retrieval=[2, 3, 5], training=training)


def test_file_that_does_not_tell_counts_as_its_kind_does(written):
    write, base = written
    arrays = {"query": np.array([4]), "retrieval": np.array([5, 6]), "training": np.array([6])}
    split = read(write(arrays))
    assert_parts(split, query=[4 - base], retrieval=[5 - base, 6 - base], training=[6 - base], validation=[])


def test_validation_set_is_drawn_where_the_file_has_none(written):
    write, base = written
    many = {"query": [0], "retrieval": [1, 2], "training": list(range(1, 10))}
    path = write({name: np.array(rows) + base for name, rows in many.items()})
    split = read(path, seed=3, validation_size=4)
    assert len(split.validation) == 4
    assert sorted([*split.training, *split.validation]) == many["training"]
    assert read(path, seed=3, validation_size=4).digest == split.digest
    assert read(path, seed=4, validation_size=4).digest != split.digest
    assert_parts(read(path), **many, validation=[])
    with pytest.raises(DataError, match="training has 9 items, expected more than the 9 that leave it"):
        read(path, validation_size=9)


def test_validation_set_of_the_file_stands(written):
    write, base = written
    assert_parts(read(write(counted(base)), validation_size=2))
    empty = counted(base, validation=np.zeros((1, 0)))
    assert_parts(read(write(empty), validation_size=2), validation=[])


@pytest.mark.parametrize("sizes", [SplitSizes(3, 7, 4, 2), SplitSizes(1, 5, 5, 0)])
@pytest.mark.parametrize(
    ("write", "name"), [(save_split, "split.npz"), (export_split, "split.mat"), (export_split, "split")]
)
def test_split_of_a_run_comes_back(tmp_path, write, name, sizes):
    path = tmp_path / name
    for seed in range(5):
        split = make_split(TOTAL, sizes, seed)
        write(path, split)
        assert read(path, validation_size=2).digest == split.digest


def test_exported_split_indexes_arrays_of_matlab(tmp_path):
    export_split(tmp_path / "split.mat", Split(*(np.array(rows) for rows in PARTS.values())))
    assert [path.name for path in tmp_path.iterdir()] == ["split.mat"]
    found = scipy.io.loadmat(tmp_path / "split.mat")
    np.testing.assert_array_equal(found["query"], [[5.0], [2.0]])
    assert found["validation"].tolist() == [[6.0]]
    assert found["base"].tolist() == [[1]]
    assert found["training"].dtype == np.float64


def element(order: str, number: int, data: bytes) -> bytes:
    """An element of a MATLAB v5 file; up to 4 bytes share the tag."""
    if 0 < len(data) <= 4:
        tag = struct.pack(order + "I", len(data) << 16 | number)
        return tag + data.ljust(4, b"\0")
    return struct.pack(order + "II", number, len(data)) + data + bytes(-len(data) % 8)


def matrix(order: str, name: str, kind: int, flags: int, number: int, values: np.ndarray) -> bytes:
    content = (
        element(order, 6, struct.pack(order + "II", flags << 8 | kind, 0))
        + element(order, 5, struct.pack(order + "ii", len(values), 1))
        + element(order, 1, name.encode())
        + element(order, number, values.tobytes())
    )
    return element(order, 14, content)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_v5_file_of_another_writer_is_read(tmp_path, order, packed):
    # MATLAB stores doubles in the smallest type that holds them: here bytes (2) and 16 bit integers (4).
    matrices = [
        matrix(order, "query", 6, 0, 2, np.array([5, 2], np.uint8)),
        matrix(order, "retrieval", 6, 0, 4, np.array([10, 3, 4, 6], order + "u2")),
        matrix(order, "labels", 6, 0, 9, np.zeros(10_000)),
        matrix(order, "db_names", 4, 0, 4, np.array([97, 98], order + "u2")),
        matrix(order, "training", 9, 2, 2, mask(*PARTS["training"]).astype(np.uint8)),
        matrix(order, "val", 7, 0, 7, np.array([6], order + "f4")),
    ]
    if packed:
        squeezed = [zlib.compress(one) for one in matrices]
        matrices = [struct.pack(order + "II", 15, len(one)) + one for one in squeezed]
    mark = struct.pack(order + "HH", 0x0100, 0x4D49)
    path = tmp_path / "index.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + mark + b"".join(matrices))
    assert_parts(read(path))


CHANGES = {
    "no query": ({"query": None}, "query is missing, found retrieval, training, validation; expected .npz"),
    "no retrieval": ({"retrieval": None}, "retrieval is missing"),
    "no training": ({"training": None}, "training is missing"),
    "two names": ({"test": np.array([1])}, "query and test both mean query, expected one array"),
    "twice": ({"query": np.array([4, 1, 4])}, "query holds item 4 twice, expected every item once"),
    "beyond": ({"query": np.array([4, 11])}, "query holds 11, expected whole numbers from 0 to 9 or"),
    "negative": ({"training": np.array([-1, 2])}, "training holds -1, expected whole"),
    "fractional": ({"training": np.array([2, 2.5])}, "training holds 2.5, expected whole"),
    "NaN": ({"training": np.array([2, np.nan])}, "training holds nan, expected whole"),
    "infinite": ({"training": np.array([2, np.inf])}, "training holds inf, expected whole"),
    "half": ({"training": np.array([2, np.inf], np.float32)}, "training holds inf, expected whole"),
    "huge": ({"query": np.array([2**63 + 5], np.uint64)}, "query holds 9223372036854775813, expected whole"),
    "empty": ({"query": np.zeros((1, 0))}, "query is empty, expected one item or more"),
    "empty training": ({"training": np.zeros((0, 0))}, "training is empty"),
    "trains on a query": ({"training": np.array([1, 2])}, r"query and training share item 1 \(counted from"),
    "retrieves a query": ({"retrieval": np.array([4, 2])}, "query and retrieval share item 4"),
    "validates on a query": ({"validation": np.array([4])}, "query and validation share item 4"),
    "validates on training": ({"validation": np.array([8])}, "training and validation share item 8"),
    "matrix": ({"query": np.ones((2, 2))}, r"query has shape \(2, 2\), expected \(n,\), \(1, n\) or"),
    "too long": ({"query": np.arange(12)}, "query has 12 entries, expected 10 at most"),
    "short mask": ({"query": mask(1)[:-1]}, "query is a mask of 9 entries, expected 10"),
    "empty mask": ({"query": mask()}, "query is a mask that holds no item"),
    "base of 2": ({"base": np.array([2])}, "base is 2(.0)?, expected 0 or 1"),
    "long base": ({"base": np.array([0, 1])}, "base has shape .*, expected one number, 0 or 1"),
    "counts from 0 and 1": (
        {"query": np.array([0]), "retrieval": np.array([10])},
        "query holds 0 and retrieval holds 10, expected numbers from 0 to 9 or from 1 to 10",
    ),
    "base against its numbers": (
        {"query": np.array([0]), "base": np.array([1])},
        "query holds 0, expected numbers from 1 to 10, counted from 1",
    ),
    "complex": ({"query": np.array([1j])}, "query holds no numbers"),
}


def assert_told(path, line):
    with pytest.raises(DataError, match=line) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("write", [write_npz, write_v5, write_hdf5])
def test_impossible_parts_are_told_in_one_line(tmp_path, write, name):
    change, line = CHANGES[name]
    write(tmp_path / "index.dat", counted(**change))
    assert_told(tmp_path / "index.dat", line)


def test_shared_item_is_told_as_the_file_counts(tmp_path):
    write_v5(tmp_path / "index.mat", counted(1, retrieval=np.array([5, 3, 10])))
    assert_told(tmp_path / "index.mat", r"query and retrieval share item 5 \(counted from 1\)")


def npz_objects(path):
    np.savez(path, **counted(query=np.array([1, None])))


def npz_strings(path):
    write_npz(path, counted(query=np.array(["1", "2"])))


def npz_scalar(path):
    write_npz(path, counted(query=np.array(1)))


def npz_of_text(path):
    with zipfile.ZipFile(path, "w") as archive:
        for part in PARTS:
            archive.writestr(part, "1 2 3")


def npz_that_expands(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("retrieval.npy", b"")
        archive.writestr("training.npy", b"")
        with archive.open("query.npy", "w") as member:
            for _ in range(65):
                member.write(bytes(2**20))


def npz_that_lies(path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (10**15,)})
    write_npz(path, counted(query=None))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("query.npy", header.getvalue() + bytes(8))


def mat_cell(path):
    write_v5(path, counted(query=np.array([1, "a"], object)))


def mat_text(path):
    write_v5(path, counted(query="abc"))


def mat_of_unknown_numbers(path):
    """SciPy's own reader ends the process on such a file."""
    write_v5(path, counted(1, query=np.array([5.0, 2.0])))
    content = path.read_bytes()
    tag = struct.pack("<II", 9, 16)
    path.write_bytes(content.replace(tag, struct.pack("<II", 200, 16), 1))


def mat_that_expands(path):
    content = matrix("<", "query", 6, 0, 9, np.array([2.0]))[:-8] + bytes(2**26)
    packed = zlib.compress(content)
    rest = matrix("<", "retrieval", 6, 0, 9, np.ones(10**6)) + matrix("<", "train", 6, 0, 9, np.ones(1))
    header = b"MATLAB".ljust(124) + struct.pack("<HH", 0x0100, 0x4D49)
    path.write_bytes(header + struct.pack("<II", 15, len(packed)) + packed + rest)


def hdf5_group(path):
    with h5py.File(path, "w") as file:
        file.create_group("query")
        file["retrieval"] = file["training"] = [1]


def hdf5_link_to_nothing(path):
    write_hdf5(path, counted(query=None))
    with h5py.File(path, "a") as file:
        file["query"] = h5py.SoftLink("/nothing")


def hdf5_text(path):
    write_hdf5(path, counted(query=None))
    with h5py.File(path, "a") as file:
        file["query"] = np.array([[97], [98]], np.uint16)
        file["query"].attrs["MATLAB_class"] = np.bytes_("char")


def hdf5_strings(path):
    write_hdf5(path, counted(query=None))
    with h5py.File(path, "a") as file:
        file["query"] = ["a", "b"]


def truncated(write):
    def write_half(path):
        write(path, counted(1))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return write_half


FILES = {
    "missing": (lambda path: None, "not found"),
    "folder": (lambda path: path.mkdir(), "cannot be opened, Is a directory"),
    "empty": (lambda path: path.write_bytes(b""), "empty; expected a file of arrays"),
    "text": (lambda path: path.write_bytes(b"1\n2\n3\n"), "begins with .*expected MATLAB v5 or v7.3"),
    "long text": (lambda path: path.write_bytes(b"1\n2\n3\n" * 100), "begins with .*expected MATLAB"),
    "npy": (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00" + bytes(200)), "damaged .npy file"),
    "pickle": (lambda path: path.write_bytes(b"\x80\x04]\x94."), "begins with .*expected MATLAB"),
    "half a .npz": (truncated(write_npz), "begins with b'PK.*expected MATLAB"),
    "half a v5 .mat": (truncated(write_v5), "damaged MATLAB v5 file, cut off at"),
    "half a HDF5": (truncated(write_hdf5), "cannot be opened as HDF5"),
    "nothing": (lambda path: write_v5(path, {}), "query is missing, found no array"),
    "objects": (npz_objects, "query holds no numbers, expected item numbers"),
    "strings": (npz_strings, "query holds no numbers, expected item numbers"),
    "scalar": (npz_scalar, r"query has shape \(\), expected \(n,\)"),
    "text in .npz": (npz_of_text, "query is missing, found no array"),
    "expanding": (npz_that_expands, "damaged .npz file|query has .* entries"),
    "lying header": (npz_that_lies, "query has 1000000000000000 entries, expected 10 at most"),
    "cell": (mat_cell, "query holds no numbers"),
    "characters": (mat_text, "query holds no numbers"),
    "unknown numbers": (mat_of_unknown_numbers, "query unreadable, numbers of type 200"),
    "expanding .mat": (mat_that_expands, "retrieval has 1000000 entries, expected 10 at most"),
    "group": (hdf5_group, "query is missing, found retrieval, training"),
    "broken link": (hdf5_link_to_nothing, "query is a link; expected an array of this file"),
    "characters of v7.3": (hdf5_text, "query holds no numbers"),
    "strings of HDF5": (hdf5_strings, "query holds no numbers"),
}


@pytest.mark.parametrize("name", FILES)
def test_file_that_is_no_split_is_told_in_one_line(tmp_path, name):
    write, line = FILES[name]
    write(tmp_path / "index.npz")
    assert_told(tmp_path / "index.npz", line)


def test_file_without_permission_is_told(tmp_path, forbid):
    write_npz(tmp_path / "index.npz", counted())
    forbid(tmp_path / "index.npz")
    assert_told(tmp_path / "index.npz", "Permission denied")


def content(write) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "index.mat", counted(1))
        return (Path(folder) / "index.mat").read_bytes()


def plain_npz(path, arrays):
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def packed_v5(path, arrays):
    scipy.io.savemat(path, arrays, appendmat=False, do_compression=True)


VALID = [content(write) for write in (write_npz, plain_npz, write_v5, packed_v5)]


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    st.floats(0, 1) | st.just(1.0),
)
def test_damaged_bytes_give_a_split_or_a_data_error(whole, changes, kept):
    damaged = bytearray(whole)
    for position, byte in changes:
        damaged[int(position * len(damaged))] = byte
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.mat"
        path.write_bytes(damaged[: int(kept * len(damaged))])
        try:
            split, line = read(path), ""
        except DataError as error:
            split, line = None, str(error)
    assert "\n" not in line
    if split:
        assert len(split.query) > 0
        assert all(((part >= 0) & (part < TOTAL)).all() for part in vars(split).values())
