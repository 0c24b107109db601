import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from gch.errors import DataError
from gch.evaluation.codes_file import ARRAYS, OF_KIND, UNIFIED_ARRAYS, read_codes
from gch.evaluation.evaluate import evaluate_items


def arrays(bits: int = 16) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    codes = {name: random.choice(np.array([-1, 1], np.int8), (5, bits)) for name in ("Qi", "Qt")}
    codes |= {name: random.choice(np.array([-1, 1], np.int8), (9, bits)) for name in ("Di", "Dt")}
    labels = {"query_L": random.random((5, 3)) < 0.5, "retrieval_L": random.random((9, 3)) < 0.5}
    return codes | {name: values.astype(np.uint8) for name, values in labels.items()}


def write_hdf5(path, values, matlab: bool):
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in values.items():
            dataset = file.create_dataset(name, data=array.T if matlab else array)
            if matlab:
                dataset.attrs["MATLAB_class"] = np.bytes_("double")


def write_npy(folder, values):
    folder.mkdir()
    for name, array in values.items():
        np.save(folder / f"{name}.npy", array)


WRITERS = {
    "v5.mat": lambda path, values: scipy.io.savemat(path, values),
    "v73.mat": lambda path, values: write_hdf5(path, values, matlab=True),
    "h5py.mat": lambda path, values: write_hdf5(path, values, matlab=False),
    "codes.npz": lambda path, values: np.savez_compressed(path, **values),
    "folder": write_npy,
    "sparse doubles.mat": lambda path, values: scipy.io.savemat(
        path, {n: (scipy.sparse.csc_matrix(a) if "L" in n else a).astype(float) for n, a in values.items()}
    ),
}


def assert_read(path, values):
    found = read_codes(path)
    read = [items[kind] for items in (found.queries, found.database) for kind in ("image", "text")]
    for name, items in zip(("Qi", "Qt", "Di", "Dt"), read, strict=True):
        np.testing.assert_array_equal(items.codes, np.packbits(values[name] > 0, axis=1))
        assert items.bits == values[name].shape[1]
        labels = values["query_L" if name.startswith("Q") else "retrieval_L"]
        np.testing.assert_array_equal(items.labels, labels)


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_is_read(v5_here, tmp_path, name):
    WRITERS[name](tmp_path / name, arrays())
    assert_read(tmp_path / name, arrays())


def test_codes_may_be_packed_and_need_not_fill_their_last_byte(tmp_path):
    packed = {n: a if n.endswith("L") else np.packbits(a > 0, axis=1) for n, a in arrays().items()}
    np.savez(tmp_path / "packed.npz", **packed)
    assert_read(tmp_path / "packed.npz", arrays())
    np.savez(tmp_path / "codes.npz", **arrays(bits=12))
    assert_read(tmp_path / "codes.npz", arrays(bits=12))


def test_files_are_found_by_their_folder_and_arrays_by_the_names_of_others(tmp_path):
    write_npy(tmp_path / "codes", {ARRAYS[name]: array for name, array in arrays().items()})
    assert_read(tmp_path / "codes" / "r_img.npy", arrays())


def test_the_folder_of_a_run_holds_one_file_of_codes(v5_here, tmp_path):
    scipy.io.savemat(tmp_path / "openmoji_16.mat", arrays())
    np.savez(tmp_path / "split.npz", query=np.arange(3))
    assert_read(tmp_path, arrays())
    scipy.io.savemat(tmp_path / "other.mat", arrays())
    with pytest.raises(DataError, match=r"found openmoji_16\.mat, other\.mat"):
        read_codes(tmp_path)


def test_files_of_another_kind_are_refused(tmp_path):
    for name, content in (("empty.mat", b""), ("text.mat", b"hello " * 100), ("cut.npz", b"PK\x03\x04 cut")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=r"expected (a file of arrays|MATLAB)|damaged|HDF5"):
            read_codes(tmp_path / name)
    with pytest.raises(DataError, match="not found"):
        read_codes(tmp_path / "nowhere.mat")
    np.savez(tmp_path / "few.npz", **{name: array for name, array in arrays().items() if name != "Dt"})
    with pytest.raises(DataError, match="array Dt is missing, found Qi, Qt, Di"):
        read_codes(tmp_path / "few.npz")


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("database", [False, True])
def test_without_labels_row_i_of_both_queries_is_a_pair(v5_here, tmp_path, name, database):
    values = {name: array for name, array in arrays().items() if not name.endswith("_L")}
    if not database:
        values = {name: values[name] for name in ("Qi", "Qt")}
    WRITERS[name](tmp_path / name, values)
    found = read_codes(tmp_path / name)
    assert (list(found.queries), found.database, found.new) == (["image", "text"], {}, None)
    for kind, name in (("image", "Qi"), ("text", "Qt")):
        np.testing.assert_array_equal(found.queries[kind].codes, np.packbits(values[name] > 0, axis=1))
        assert found.queries[kind].labels.shape == (5, 0)


def with_pairs() -> dict[str, np.ndarray]:
    """Arrays with unified codes, the codes of all queries relaxed."""
    random, values = np.random.default_rng(1), arrays()
    values |= {"Qu": values["Qi"], "Du": values["Dt"]}
    relaxed = {name: values[name] * random.random((5, 16)).astype(np.float32) for name in ("Qi", "Qt", "Qu")}
    return values | relaxed


@pytest.mark.parametrize("name", WRITERS)
def test_unified_codes_and_relaxed_ones_of_queries_are_read_from_every_kind_of_file(v5_here, tmp_path, name):
    values = with_pairs()
    WRITERS[name](tmp_path / name, values)
    found = read_codes(tmp_path / name)
    assert list(found.queries) == list(found.database) == ["image", "text", "pair"]
    for kind, (query, items) in OF_KIND.items():
        np.testing.assert_allclose(found.queries[kind].relaxed, values[query])
        np.testing.assert_array_equal(found.queries[kind].codes, np.packbits(values[query] > 0, axis=1))
        np.testing.assert_array_equal(found.database[kind].codes, np.packbits(values[items] > 0, axis=1))
        assert found.database[kind].relaxed is None


def test_only_queries_of_relaxed_codes_have_them_and_a_database_may_be_relaxed_beside_them(tmp_path):
    values = with_pairs() | {"Qt": arrays()["Qt"], "Di": arrays()["Di"] * np.float32([0.5, 0.25] * 8)}
    np.savez(
        tmp_path / "codes.npz", **{UNIFIED_ARRAYS.get(name, name): array for name, array in values.items()}
    )
    queries = read_codes(tmp_path / "codes.npz").queries
    assert [kind for kind, items in queries.items() if items.relaxed is None] == ["text"]


HALVES = {name: array for name, array in arrays().items() if not name.endswith("_L")}
OF_PAIRS = with_pairs()
SIGNS = r"; expected -1 and \+1"
QI = arrays()["Qi"]


@pytest.mark.parametrize(
    ("values", "changes", "words"),
    [
        (arrays(), {"Qi": QI / 2}, rf"Qi holds -?0.5 \(item 0, bit 0\){SIGNS}, 0 and"),
        (arrays(), {"Di": arrays()["Di"][:, :8]}, "Di has codes of 8 bits, Qi of 16"),
        (arrays(), {"Qi": QI.astype(str)}, "Qi holds no numbers"),
        (arrays(), {"Qi": QI.astype(complex)}, "Qi holds no numbers"),
        (HALVES, {"Qt": QI[:4]}, "Qt has 4 items, Qi 5; without labels row i of both belongs together"),
        (HALVES, {"Qt": None}, "array Qt is missing, found Di, Dt, Qi; .* Qi, Qt without labels, or"),
        (HALVES, {"query_L": np.eye(5)}, "array retrieval_L is missing, found .*; expected the arrays Qi"),
        (HALVES, {"Qt": QI[:, :8]}, "Qt has codes of 8 bits, Qi of 16"),
        (
            OF_PAIRS,
            {"Du": None},
            "array Du is missing, found Di, .*, Qu.*; expected the arrays Qi, .*, Qu, Du",
        ),
        (
            OF_PAIRS,
            {"Qu": None},
            "array Qu is missing, found Di, .*, Du.*; expected the arrays Qi, .*, Qu, Du",
        ),
        (OF_PAIRS, {"Qu": np.full((5, 16), np.nan)}, rf"Qu holds nan \(item 0, bit 0\){SIGNS}"),
        (
            OF_PAIRS,
            {"Qu": np.linspace(-1, 1.5, 80).reshape(5, 16)},
            r"Qu holds 1\.02.* \(item 4, bit 0\); expected",
        ),
        (OF_PAIRS, {"Du": np.ones((8, 16))}, "Du has 8 items, retrieval_L 9"),
        (OF_PAIRS, {"Qu": np.ones((5, 8))}, "Qu has codes of 8 bits, Qi of 16"),
        (OF_PAIRS, {"Di": arrays()["Di"] * 0.5}, r"Di holds -?0\.5 .*; expected .* packed codes as uint8$"),
    ],
)
def test_errors_name_the_file_the_array_and_what_was_found(tmp_path, values, changes, words):
    given = {name: array for name, array in (values | changes).items() if array is not None}
    write_npy(tmp_path / "codes", given)
    with pytest.raises(DataError, match=words) as caught:
        read_codes(tmp_path / "codes")
    assert str(caught.value).startswith(str(tmp_path / "codes"))
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_ends_in_a_data_error_or_is_read(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    name = data.draw(st.sampled_from(["v5.mat", "v73.mat", "codes.npz"]))
    WRITERS[name](folder / name, arrays())
    content = bytearray((folder / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / name).write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        found = read_codes(folder / name)
    except DataError:
        return
    if found.database:  # a file that was cut before the labels is one of two halves
        evaluate_items(found.queries["image"], found.database["text"])
