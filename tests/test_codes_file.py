import numpy as np
import pytest
import scipy.sparse
from sources import refusal
from written import save_npy, write_hdf5, write_mat73, write_npz, write_v5

from gch.evaluation.codes_file import ARRAYS, OF_KIND, UNIFIED_ARRAYS, read_codes


def arrays(bits: int = 16) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    codes = {name: random.choice(np.array([-1, 1], np.int8), (5, bits)) for name in ("Qi", "Qt")}
    codes |= {name: random.choice(np.array([-1, 1], np.int8), (9, bits)) for name in ("Di", "Dt")}
    labels = {"query_L": random.random((5, 3)) < 0.5, "retrieval_L": random.random((9, 3)) < 0.5}
    return codes | {name: values.astype(np.uint8) for name, values in labels.items()}


def as_folder(path, **values):
    path.mkdir()
    save_npy(path, **values)


def sparse_doubles(path, **values):
    kinds = {name: scipy.sparse.csc_matrix if "L" in name else np.array for name in values}
    write_v5(path, **{name: kinds[name](array).astype(float) for name, array in values.items()})


WRITERS = {
    **{"v5.mat": write_v5, "v73.mat": write_mat73, "h5py.mat": write_hdf5, "codes.npz": write_npz},
    **{"folder": as_folder, "sparse doubles.mat": sparse_doubles},
}


def assert_read(path, values):
    found = read_codes(path)
    read = [items[kind] for items in (found.queries, found.database) for kind in ("image", "text")]
    for name, items in zip(("Qi", "Qt", "Di", "Dt"), read, strict=True):
        np.testing.assert_array_equal(items.codes, np.packbits(values[name] > 0, axis=1))
        assert items.bits == values[name].shape[1]
        labels = values["query_L" if name.startswith("Q") else "retrieval_L"]
        np.testing.assert_array_equal(items.labels, labels)


def test_codes_are_signs_or_packed_and_need_not_fill_their_last_byte(tmp_path):
    np.savez(tmp_path / "signs.npz", **arrays())
    assert_read(tmp_path / "signs.npz", arrays())
    packed = {n: a if n.endswith("L") else np.packbits(a > 0, axis=1) for n, a in arrays().items()}
    np.savez(tmp_path / "packed.npz", **packed)
    assert_read(tmp_path / "packed.npz", arrays())
    np.savez(tmp_path / "codes.npz", **arrays(bits=12))
    assert_read(tmp_path / "codes.npz", arrays(bits=12))


def test_files_are_found_by_their_folder_and_arrays_by_the_names_of_others(tmp_path):
    as_folder(tmp_path / "codes", **{ARRAYS[name]: array for name, array in arrays().items()})
    assert_read(tmp_path / "codes" / "r_img.npy", arrays())


def test_the_folder_of_a_run_holds_one_file_of_codes(tmp_path):
    write_mat73(tmp_path / "openmoji_16.mat", **arrays())
    np.savez(tmp_path / "split.npz", query=np.arange(3))
    assert_read(tmp_path, arrays())
    (tmp_path / "other.mat").touch()
    with refusal(r"found openmoji_16\.mat, other\.mat"):
        read_codes(tmp_path)


def test_files_of_another_kind_are_refused(tmp_path):
    (tmp_path / "text.mat").write_bytes(b"hello " * 100)
    with refusal("expected MATLAB", tmp_path / "text.mat"):
        read_codes(tmp_path / "text.mat")
    with refusal("not found"):
        read_codes(tmp_path / "nowhere.mat")


@pytest.mark.parametrize("name", ["v73.mat", "codes.npz", "folder"])
@pytest.mark.parametrize("database", [False, True])
def test_without_labels_row_i_of_both_queries_is_a_pair(tmp_path, name, database):
    values = {name: array for name, array in arrays().items() if name in ("Qi", "Qt", "Di", "Dt")}
    if not database:
        values = {name: values[name] for name in ("Qi", "Qt")}
    WRITERS[name](tmp_path / name, **values)
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
def test_unified_codes_and_relaxed_ones_of_queries_are_read_from_every_kind_of_file(tmp_path, name):
    values = with_pairs()
    WRITERS[name](tmp_path / name, **values)
    found = read_codes(tmp_path / name)
    assert list(found.queries) == list(found.database) == ["image", "text", "pair"]
    for kind, (query, items) in OF_KIND.items():
        np.testing.assert_allclose(found.queries[kind].relaxed, values[query])
        np.testing.assert_array_equal(found.queries[kind].codes, np.packbits(values[query] > 0, axis=1))
        np.testing.assert_array_equal(found.database[kind].codes, np.packbits(values[items] > 0, axis=1))
        assert found.database[kind].relaxed is None
        for side, label in ((found.queries, "query_L"), (found.database, "retrieval_L")):
            np.testing.assert_array_equal(side[kind].labels, values[label])


def test_only_queries_of_relaxed_codes_have_them_and_a_database_may_be_relaxed_beside_them(tmp_path):
    values = with_pairs() | {"Qt": arrays()["Qt"], "Di": arrays()["Di"] * np.float32([0.5, 0.25] * 8)}
    as_folder(tmp_path / "a", **{UNIFIED_ARRAYS.get(name, name): array for name, array in values.items()})
    queries = read_codes(tmp_path / "a").queries
    assert [kind for kind, items in queries.items() if items.relaxed is None] == ["text"]


PLAIN, PAIRS = arrays(), with_pairs()
BARE = {name: array for name, array in PLAIN.items() if not name.endswith("_L")}
NO_QT, NO_L = "array Qt is missing, found Di, Dt, Qi", "array retrieval_L is missing, found .*"
NO_DU, NO_QU = "array Du is missing, found Di, .*, Qu.*", "array Qu is missing, found Di, .*, Du.*"


@pytest.mark.parametrize(
    ("values", "changes", "words"),
    [
        (PLAIN, {"Qi": PLAIN["Qi"] / 2}, r"Qi holds -?0.5 \(item 0, bit 0\); expected -1 and \+1, 0 and"),
        (PLAIN, {"Di": PLAIN["Di"][:, :8]}, "Di has codes of 8 bits, Qi of 16"),
        (PLAIN, {"Qi": PLAIN["Qi"].astype(str)}, "Qi holds no numbers"),
        (PLAIN, {"Qi": PLAIN["Qi"].astype(complex)}, "Qi holds no numbers"),
        (BARE, {"Qt": PLAIN["Qt"][:4]}, "Qt has 4 items, Qi 5; without labels row i of both"),
        (BARE, {"Qt": None}, f"{NO_QT}; expected the arrays Qi, Qt without labels, or"),
        (BARE, {"query_L": PLAIN["query_L"]}, f"{NO_L}; expected the arrays Qi"),
        (PAIRS, {"Du": None}, f"{NO_DU}; expected the arrays Qi, .*, Qu, Du"),
        (PAIRS, {"Qu": None}, f"{NO_QU}; expected the arrays Qi, .*, Qu, Du"),
        (PAIRS, {"Qu": np.full((5, 16), np.nan)}, r"Qu holds nan \(item 0, bit 0\); expected -1 and \+1"),
        (PAIRS, {"Du": np.ones((8, 16))}, "Du has 8 items, retrieval_L 9"),
        (PAIRS, {"Di": PLAIN["Di"] * 0.5}, r"Di holds -?0\.5 \(item 0, bit 0\); .* packed codes as uint8$"),
    ],
)
@pytest.mark.parametrize("form", ["codes.npz", "folder"])
def test_arrays_that_do_not_fit_are_refused_by_file_and_name(tmp_path, form, values, changes, words):
    some = {name: array for name, array in (values | changes).items() if array is not None}
    WRITERS[form](tmp_path / form, **dict(sorted(some.items())))
    with refusal(words, tmp_path / form):
        read_codes(tmp_path / form)
