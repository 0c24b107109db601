import io
import zipfile

import h5py
import numpy as np
import pytest
import scipy.io

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


WRITERS = {"npz": (write_npz, 0), "hdf5": (write_hdf5, 1), "v73": (write_v73, 1)}


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


@pytest.mark.parametrize("write", [write_npz, write_v5, write_hdf5, write_v73])
def test_parts_are_read_from_every_kind_of_file(tmp_path, write):
    base, path = 0 if write is write_npz else 1, tmp_path / "index.dat"
    write(path, counted(base))
    assert_parts(read(path))
    write(path, counted(base, query=mask(*PARTS["query"])))
    assert_parts(read(path))
    write(path, counted(base, retrieval=np.array([2]) + base))  # the others may lie outside of it
    assert_parts(read(path), retrieval=[2])
    write(path, {part: mask(*rows) for part, rows in PARTS.items()})
    assert_parts(read(path))


@pytest.mark.parametrize(
    "shape", [lambda rows: rows[:, None], lambda rows: rows[None], lambda rows: rows.astype(np.float64)]
)
def test_vectors_may_be_columns_or_rows_or_doubles(written, shape):
    write, base = written
    assert_parts(read(write({name: shape(rows) for name, rows in counted(base).items()})))


@pytest.mark.parametrize(
    "names",
    [
        ("test", "database", "train", "val"),
        ("indQuery", "indDatabase", "indTrain", "indVal"),
        ("query_index", "db", "training_idx", "valid"),
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
def test_the_file_says_what_it_counts_from(written, counts_from, change, training):
    write, _ = written
    changes = {"retrieval": np.array([2, 3, 5]) + counts_from}
    changes |= {name: np.array(value) for name, value in change.items()}
    split = read(write(counted(counts_from, **changes)))
    assert_parts(split, retrieval=[2, 3, 5], training=training)


def test_a_file_that_does_not_say_counts_as_its_kind_does(written):
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


@pytest.mark.parametrize(
    ("write", "name"), [(save_split, "split.npz"), (export_split, "split.mat"), (export_split, "split")]
)
def test_split_of_a_run_comes_back(tmp_path, write, name):
    for seed, sizes in enumerate([SplitSizes(3, 7, 4, 2), SplitSizes(1, 5, 5, 0)]):
        split = make_split(TOTAL, sizes, seed)
        write(tmp_path / name, split)
        assert read(tmp_path / name, validation_size=2).digest == split.digest
        assert [path.name for path in tmp_path.iterdir()] == [name]


def test_exported_split_indexes_arrays_of_matlab(tmp_path):
    export_split(tmp_path / "split.mat", Split(*(np.array(rows) for rows in PARTS.values())))
    found = scipy.io.loadmat(tmp_path / "split.mat")
    np.testing.assert_array_equal(found["query"], [[5.0], [2.0]])
    assert found["validation"].tolist() == [[6.0]]
    assert found["base"].tolist() == [[1]]
    assert found["training"].dtype == np.float64


CHANGES = {
    "no query": ({"query": None}, "query is missing, found retrieval, training, validation; expected .npz"),
    "two names": ({"test": np.array([1])}, "query and test both mean query, expected one array"),
    "twice": ({"query": np.array([4, 1, 4])}, "query holds item 4 twice, expected every item once"),
    "beyond": ({"query": np.array([4, 11])}, "query holds 11, expected whole numbers from 0 to 9 or"),
    "negative": ({"training": np.array([-1, 2])}, "training holds -1, expected whole"),
    "fractional": ({"training": np.array([2, 2.5])}, "training holds 2.5, expected whole"),
    "NaN": ({"training": np.array([2, np.nan])}, "training holds nan, expected whole"),
    "infinite": ({"training": np.array([2, np.inf], np.float32)}, "training holds inf, expected whole"),
    "huge": ({"query": np.array([2**63 + 5], np.uint64)}, "query holds 9223372036854775813, expected whole"),
    "empty": ({"query": np.zeros((1, 0))}, "query is empty, expected one item or more"),
    "trains on a query": ({"training": np.array([1, 2])}, r"query and training share item 1 \(counted from"),
    "retrieves a query": ({"retrieval": np.array([4, 2])}, "query and retrieval share item 4"),
    "validates on training": ({"validation": np.array([8])}, "training and validation share item 8"),
    "matrix": ({"query": np.ones((2, 2))}, r"query has shape \(2, 2\), expected \(n,\), \(1, n\) or"),
    "too long": ({"query": np.arange(12)}, "query has 12 entries, expected 10 at most"),
    "short mask": ({"query": mask(1)[:-1]}, "query is a mask of 9 entries, expected 10"),
    "empty mask": ({"query": mask()}, "query is a mask that holds no item"),
    "base of 2": ({"base": np.array([2])}, "base is 2(.0)?, expected one number, 0 or 1"),
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


def assert_refused(path, line):
    with pytest.raises(DataError, match=line) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("write", [write_npz, write_hdf5])
def test_impossible_parts_are_refused_in_one_line(tmp_path, write, name):
    change, line = CHANGES[name]
    write(tmp_path / "index.dat", counted(**change))
    assert_refused(tmp_path / "index.dat", line)


def npz_that_lies(path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (10**15,)})
    write_npz(path, counted(query=None))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("query.npy", header.getvalue() + bytes(8))


FILES = {
    "missing": (lambda path: None, "not found"),
    "nothing": (lambda path: write_v5(path, {}), "query is missing, found no array"),
    "objects": (lambda path: np.savez(path, **counted(query=np.array([1, None]))), "query holds no numbers"),
    "scalar": (lambda path: write_npz(path, counted(query=np.array(1))), r"query has shape \(\), expected"),
    "lying header": (npz_that_lies, "query has 1000000000000000 entries, expected 10 at most"),
    "characters": (lambda path: write_v5(path, counted(query="abc")), "query holds no numbers"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_split_is_refused_in_one_line(tmp_path, name):
    write, line = FILES[name]
    write(tmp_path / "index.npz")
    assert_refused(tmp_path / "index.npz", line)
