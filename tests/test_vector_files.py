"""Vectors in place of words and pixels: what tells them apart, every kind of file, and what is refused."""

import numpy as np
import pytest
from written import (
    DIMENSIONS,
    FEATURES,
    HOT,
    ITEMS,
    PARTS,
    PIXELS,
    TEXTS,
    index_files,
    refused,
    save_npy,
    source,
    write_hdf5,
    write_mat73,
    write_npz,
    write_split_files,
    write_v5,
)

from gch.data.array_files import list_arrays
from gch.data.pairs import oddities
from gch.data.prepare import prepare
from gch.data.prepared import open_prepared
from gch.data.tiles import sample_sheet
from gch.data.vector_files import Rows, is_vectors

pytestmark = pytest.mark.usefixtures("v5_here")

RANDOM = np.random.default_rng(3)
VECTORS = RANDOM.normal(size=(ITEMS, 7)).astype(np.float32)  # as short as CLIP's, to be sure of no rounding
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
SEVERAL = RANDOM.normal(size=(ITEMS, 5, 7))
SEVERAL[3, 2:] = 0  # an item of two captions
DIRECTIONS = [[one / np.sqrt(one @ one) for one in item if one.any()] for item in SEVERAL]
MEANS = np.array([np.mean(directions, axis=0) for directions in DIRECTIONS])
WRITERS = {"v5": write_v5, "v7.3": write_mat73, "hdf5": write_hdf5, "npz": write_npz}


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("writer", WRITERS)
def test_vectors_on_both_sides(tmp_path, writer, across):
    file = tmp_path / "FLICKR-25K.mat"
    arrays = {"XAll": FEATURES, "YAll": VECTORS.astype(np.float16), "LAll": HOT}
    WRITERS[writer](file, **{name: array.T if across else array for name, array in arrays.items()})
    pairs = source(tmp_path)
    np.testing.assert_array_equal(pairs.texts, VECTORS.astype(np.float16))
    np.testing.assert_array_equal(pairs.features, FEATURES)
    assert (pairs.texts.dtype, pairs.text_vectors, pairs.pictures) == (np.float32, True, None)
    shape = (7, ITEMS) if across != (writer == "v7.3") else (ITEMS, 7)
    assert f"{shape}" in pairs.found[1]
    assert pairs.found[1].endswith("vectors")
    assert source(tmp_path).digest == pairs.digest
    WRITERS[writer](file, **arrays | {"YAll": VECTORS[::-1]})
    assert source(tmp_path).digest != pairs.digest


@pytest.mark.parametrize("role", ["XAll", "YAll"])
@pytest.mark.parametrize("writer", WRITERS)
def test_several_vectors_an_item_become_the_mean_of_their_directions(tmp_path, writer, role):
    arrays = {"XAll": FEATURES, "YAll": VECTORS, "LAll": HOT, role: SEVERAL}
    WRITERS[writer](tmp_path / "FLICKR-25K.mat", **arrays)
    pairs = source(tmp_path)
    np.testing.assert_allclose(pairs.features if role == "XAll" else pairs.texts, MEANS, atol=1e-7)
    assert "the mean of 5 an item" in pairs.found[0 if role == "XAll" else 1]


def test_arrays_beside_the_vectors_are_said_not_to_be_read(tmp_path):
    arrays = {"image_vectors": FEATURES, "text_vectors": VECTORS, "labels": HOT}
    np.savez(tmp_path / "any.npz", **arrays, captions=np.array(ITEMS * ["a cat"]))
    assert "not read: 'captions'" in source(tmp_path, "files").found
    np.savez(tmp_path / "any.npz", **arrays)
    assert not any("not read" in line for line in source(tmp_path, "files").found)


def test_npy_files_of_float32_are_read_where_they_are(tmp_path):
    save_npy(tmp_path, image_vectors=FEATURES, text_vectors=VECTORS, labels=HOT)
    pairs = source(tmp_path, "files")
    assert isinstance(pairs.texts, np.memmap)
    np.testing.assert_array_equal(pairs.texts, VECTORS)
    np.testing.assert_array_equal(pairs.features, FEATURES)
    assert not (tmp_path / "cache").exists()


def test_fewer_items_than_dimensions(tmp_path):
    """Of lengths that all arrays share, the first axis of Python's files counts the items."""
    wide = RANDOM.normal(size=(ITEMS, 90)).astype(np.float32)
    labels = np.eye(90, dtype=np.uint8)[:ITEMS]
    write_npz(tmp_path / "a.npz", image_features=wide, text_features=wide, labels=labels)
    assert source(tmp_path / "a.npz", "files").texts.shape == (ITEMS, 90)


@pytest.mark.parametrize("vectors", [VECTORS, SEVERAL])
@pytest.mark.parametrize("kind", ["pixels", "paths"])
def test_vectors_beside_pictures(tmp_path, kind, vectors):
    if kind == "pixels":
        write_hdf5(tmp_path / "a.h5", images=PIXELS, texts=vectors, labels=HOT)
    else:
        index_files(tmp_path, caption=vectors)
    pairs = source(tmp_path, "files", image_size=32)
    np.testing.assert_allclose(pairs.texts, VECTORS if vectors is VECTORS else MEANS, atol=1e-7)
    assert pairs.pictures is not None
    assert sample_sheet(pairs).size[0] > 900


def test_split_files_of_vectors(tmp_path):
    write_split_files(tmp_path, FEATURES, texts=VECTORS)
    pairs = source(tmp_path)
    rows = np.concatenate([PARTS["DataBase"], PARTS["Query"]])
    np.testing.assert_array_equal(pairs.texts, VECTORS[rows])
    np.testing.assert_array_equal(pairs.own_split.training, np.sort(PARTS["Train"]))


@pytest.mark.parametrize(
    ("array", "vectors"),
    [
        (TEXTS.astype(np.float32), False),
        (TEXTS * 3.0, False),
        (VECTORS, True),
        (np.concatenate([np.zeros((30, 7)), VECTORS]), True),
        (VECTORS.astype(np.float16), True),
        (np.where(RANDOM.random(TEXTS.shape) < 0.2, 0.7, 0.0), True),  # weights of few words
        (TEXTS, False),
        (-TEXTS.astype(int), False),
    ],
)
def test_fractions_tell_vectors_from_words(tmp_path, array, vectors):
    np.save(tmp_path / "a.npy", array)
    assert is_vectors(list_arrays(tmp_path / "a.npy")["a"]) is vectors


def nan(array, item, column):
    array = np.array(array)
    array[item, column] = np.nan
    return array


REFUSED = [
    (r"YAll holds nan \(item 9, column 2\), expected finite numbers", {"YAll": nan(VECTORS, 9, 2)}),
    (r"YAll holds nan \(item 9, column 0\)", {"YAll": nan(SEVERAL, 9, 2)}),
    (r"YAll holds .*e\+.* \(item 0, column 0\), expected 0 or 1", {"YAll": VECTORS.astype(float) * 1e300}),
    (r"LAll has shape \(40, 4, 1\), expected \(items, columns\)", {"LAll": HOT[..., None].astype(float)}),
    (r"YAll has shape \(40, 1, 9\), expected \(items, columns\)", {"YAll": TEXTS[:, None].astype(float)}),
    ("XAll has shape|expected pictures", {"XAll": SEVERAL[..., None]}),
]


def test_vectors_of_pictures_alone_are_refused(tmp_path):
    save_npy(tmp_path, image_vectors=FEATURES, text_vector=VECTORS)
    refused(r"texts not found, expected text_vectors\.npy or captions\.npy beside it", tmp_path, "files")


@pytest.mark.parametrize(("line", "changed"), REFUSED)
def test_what_is_refused(tmp_path, line, changed):
    arrays = {"XAll": FEATURES, "YAll": VECTORS.astype(np.float64), "LAll": HOT} | changed
    write_hdf5(tmp_path / "FLICKR-25K.mat", **arrays)
    refused(line, tmp_path)


def test_parts_of_split_files_are_of_one_kind_and_width(tmp_path):
    write_split_files(tmp_path, FEATURES, texts=VECTORS)
    tags = {f"Tag{part}": VECTORS[rows] for part, rows in PARTS.items()}
    write_hdf5(tmp_path / "Tag.h5", **tags | {"TagQuery": TEXTS[PARTS["Query"]]})
    refused("TagQuery holds 9 words, expected vectors of 7 dimensions as in TagDataBase", tmp_path)
    write_hdf5(tmp_path / "Tag.h5", **tags | {"TagQuery": VECTORS[PARTS["Query"], :-1]})
    refused("TagQuery holds vectors of 6 dimensions, expected vectors of 7", tmp_path)


def test_a_prepared_set_keeps_text_vectors(tmp_path):
    write_hdf5(tmp_path / "a.h5", images=PIXELS, texts=VECTORS, labels=HOT)
    prepare(source(tmp_path / "a.h5", "files"), tmp_path / "out", encoding="raw")
    pairs = open_prepared(tmp_path / "out")
    np.testing.assert_array_equal(pairs.texts, VECTORS)
    np.save(tmp_path / "out" / "texts.npy", nan(VECTORS, 4, 1))
    refused(r"texts.npy holds nan \(item 4, column 1\)", tmp_path / "out", "files")


def test_vectors_of_zeros_are_told(tmp_path):
    texts = np.where(np.arange(ITEMS)[:, None] < 2, 0, VECTORS)
    write_npz(tmp_path / "a.npz", features=FEATURES, texts=texts, labels=HOT)
    pairs = source(tmp_path / "a.npz", "files")
    assert "2 of 40 items have a text vector of zeros" in oddities(pairs)
    assert pairs.texts_in_words == "text vectors of 7 dimensions"


def test_inspect_tells_of_vectors(command, tmp_path):
    features = 3 * np.eye(DIMENSIONS)[np.arange(ITEMS) % DIMENSIONS]
    write_npz(tmp_path / "a.npz", features=features, texts=VECTORS, labels=HOT)
    status, output, error = command("inspect", tmp_path / "a.npz", f"--out={tmp_path / 'a.png'}")
    assert (status, error) == (0, "")
    assert f"a.npz: texts float32 ({ITEMS}, 7): vectors" in output
    assert "40 items, image features of 12 dimensions, text vectors of 7 dimensions, 4 labels" in output
    assert "length of text vectors:  1.00 (1.00 to 1.00)" in output
    assert "length of image features:  3.00 (3.00 to 3.00)" in output
    assert "words per item" not in output


@pytest.mark.parametrize("width", [0, 7])
@pytest.mark.parametrize("writer", WRITERS)
def test_rows_of_as_many_vectors_as_dimensions_are_those_of_the_writer(tmp_path, writer, width):
    WRITERS[writer](tmp_path / "a.mat", image_vectors=VECTORS[:7])
    rows = Rows(list_arrays(tmp_path / "a.mat")["image_vectors"], width)
    np.testing.assert_array_equal(list(rows), VECTORS[:7])
