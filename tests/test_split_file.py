import io
import zipfile

import numpy as np
import pytest
import scipy.io
from sources import refusal
from written import write_hdf5, write_mat73, write_npz, write_v5

from gch.data.pairs import Split, SplitSizes
from gch.data.split import make_split
from gch.data.split_file import export_split, load_split, save_split

pytestmark = pytest.mark.usefixtures("v5_here")

TOTAL = 10
PARTS = {"query": [4, 1], "retrieval": [9, 2, 3, 5], "training": [3, 8, 2], "validation": [5]}


def counted(base: int = 0, /, **changes) -> dict:
    """Arrays of a good file that counts from `base`, with changes; None leaves an array out."""
    arrays = {part: np.array(rows) + base for part, rows in PARTS.items()} | changes
    return {name: array for name, array in arrays.items() if array is not None}


def mask(*rows: int) -> np.ndarray:
    return np.isin(np.arange(TOTAL), rows)


def read(path, seed=0, validation_size=0):
    return load_split(path, TOTAL, seed, validation_size)


def assert_parts(split: Split, **changes):
    for part, rows in (PARTS | changes).items():
        found = getattr(split, part)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, sorted(rows), err_msg=part)


def renamed(*names):
    others = {"labels": np.zeros((3, 4)), "trainer": np.zeros(2)}
    return lambda base: dict(zip(names, counted(base).values(), strict=True)) | others


def shaped(shape):
    return lambda base: {part: shape(rows) for part, rows in counted(base).items()}


WRITERS = [(write_npz, 0), (write_v5, 1), (write_hdf5, 1), (write_mat73, 1)]
OUTSIDE = [2]  # of which training and validation items are no part
GOOD = {
    # what a file of a usual base holds, and parts that differ from PARTS
    "numbers": (counted, {}),
    "columns": (shaped(lambda rows: rows[:, None]), {}),
    "rows of doubles": (shaped(lambda rows: rows[None].astype(float)), {}),
    "masks": (lambda base: {part: mask(*rows) for part, rows in PARTS.items()}, {}),
    "masks of numbers": (lambda base: {part: 1.0 * mask(*rows) for part, rows in PARTS.items()}, {}),
    "a mask beside numbers": (lambda base: counted(base, query=mask(*PARTS["query"])), {}),
    "short names": (renamed("test", "database", "train", "val"), {}),
    "names with ind": (renamed("indQuery", "indDatabase", "indTrain", "indVal"), {}),
    "names with index": (renamed("query_index", "db", "training_idx", "validIndices"), {}),
    "outside": (lambda base: counted(base, retrieval=np.array(OUTSIDE) + base), {"retrieval": OUTSIDE}),
    "no validation": (lambda base: counted(base, validation=np.zeros((1, 0))), {"validation": []}),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(("write", "base"), WRITERS)
def test_parts_are_read_from_every_kind_of_file(tmp_path, name, write, base):
    arrays, changes = GOOD[name]
    write(tmp_path / "index.dat", **arrays(base))
    assert_parts(read(tmp_path / "index.dat", validation_size=2), **changes)


@pytest.mark.parametrize("write", [write_npz, write_mat73])
@pytest.mark.parametrize(
    ("counts_from", "change", "training"),
    [
        (0, {"training": [0, 8, 3]}, [0, 8, 3]),  # the first item
        (1, {"training": [10, 9, 4]}, [9, 8, 3]),  # the last item
        (0, {"base": 0}, PARTS["training"]),
        (1, {"base": np.array([[1.0]])}, PARTS["training"]),
        (0, {"base": 0, "training": [9, 8, 3]}, [9, 8, 3]),
        (1, {"base": 1, "training": [1, 9, 4]}, [0, 8, 3]),
    ],
)
def test_the_file_says_what_it_counts_from(tmp_path, write, counts_from, change, training):
    changes = {"retrieval": np.array([2, 3, 5]) + counts_from}
    changes |= {name: np.array(value) for name, value in change.items()}
    write(tmp_path / "index.dat", **counted(counts_from, **changes))
    assert_parts(read(tmp_path / "index.dat"), retrieval=[2, 3, 5], training=training)


def test_validation_set_is_drawn_where_the_file_has_none(tmp_path):
    many = {"query": [0], "retrieval": [1, 2], "training": list(range(1, 10))}
    path = tmp_path / "index.npz"
    write_npz(path, **many)
    split = read(path, seed=3, validation_size=4)
    assert len(split.validation) == 4
    assert sorted([*split.training, *split.validation]) == many["training"]
    assert read(path, seed=3, validation_size=4).digest == split.digest
    assert read(path, seed=4, validation_size=4).digest != split.digest
    assert_parts(read(path), **many, validation=[])
    with refusal("training has 9 items, expected more than the 9 that leave it"):
        read(path, validation_size=9)


@pytest.mark.parametrize(("write", "name"), [(save_split, "split.npz"), (export_split, "split")])
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
    "fractional": ({"training": np.array([2, 2.5])}, "training holds 2.5, expected whole"),
    "NaN": ({"training": np.array([2, np.nan])}, "training holds nan, expected whole"),
    "huge": ({"query": np.array([2**63 + 5], np.uint64)}, "query holds 9223372036854775813, expected whole"),
    "empty": ({"query": np.zeros((1, 0))}, "query is empty, expected one item or more"),
    "trains on a query": ({"training": np.array([1, 2])}, r"query and training share item 1 \(counted from"),
    "retrieves a query": ({"retrieval": np.array([4, 2])}, "query and retrieval share item 4"),
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


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("write", [write_npz, write_hdf5])
def test_impossible_parts_are_refused_in_one_line(tmp_path, write, name):
    change, line = CHANGES[name]
    write(tmp_path / "index.dat", **counted(**change))
    with refusal(line, tmp_path / "index.dat"):
        read(tmp_path / "index.dat")


def npz_that_lies(path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (10**15,)})
    write_npz(path, **counted(query=None))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("query.npy", header.getvalue() + bytes(8))


FILES = {
    "missing": (lambda path: None, "not found"),
    "nothing": (lambda path: write_v5(path), "query is missing, found no array"),
    "scalar": (lambda path: write_npz(path, **counted(query=np.array(1))), r"query has shape \(\), expected"),
    "lying header": (npz_that_lies, "query has 1000000000000000 entries, expected 10 at most"),
    "characters": (lambda path: write_v5(path, **counted(query="abc")), "query holds no numbers"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_split_is_refused_in_one_line(tmp_path, name):
    write, line = FILES[name]
    write(tmp_path / "index.npz")
    with refusal(line, tmp_path / "index.npz"):
        read(tmp_path / "index.npz")
