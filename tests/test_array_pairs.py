"""Images, texts and labels in files of arrays: one file, separate files, split files and index files."""

import shutil

import h5py
import numpy as np
import pytest
from sources import opened
from written import (
    AGAIN,
    ALL,
    CAPTIONS,
    DATABASE,
    FEATURES,
    FURTHER,
    HEIGHT,
    HOT,
    ITEMS,
    MATLAB_PIXELS,
    PIXELS,
    QUERY,
    TEXTS,
    WIDTH,
    colour,
    index_files,
    refused,
    save_npy,
    source,
    write_hdf5,
    write_mat73,
    write_npz,
    write_pictures,
    write_separate,
    write_split_files,
    write_v5,
)

from gch.commands.source import guess_dataset
from gch.data.pairs import Pairs
from gch.data.pictures import PictureFiles
from gch.data.pixels import Hdf5Pictures
from gch.data.text_parts import part_means

pytestmark = pytest.mark.usefixtures("v5_here")

# ---------------------------------------------------------------- one file

WORDS = [f"Word {number} " for number in range(TEXTS.shape[1])]
LABELS = [f"Label {number}" for number in range(HOT.shape[1])]


def assert_same(pairs: Pairs, rows=ALL, texts=TEXTS, labels=HOT) -> None:
    """Words, labels and images are those of these rows of what was written."""
    np.testing.assert_array_equal(pairs.texts, texts[rows])
    np.testing.assert_array_equal(pairs.labels, labels[rows])
    assert pairs.texts.dtype == pairs.labels.dtype == np.uint8
    order = np.random.default_rng(0).permutation(len(rows))
    if pairs.pictures is None:
        np.testing.assert_array_equal(pairs.features, FEATURES[rows])
        assert pairs.features.dtype == np.float32
    else:
        assert pairs.features is None
        np.testing.assert_array_equal(pairs.pictures.read(order), PIXELS[rows][order])


def assert_colours(pairs: Pairs, rows=ALL) -> None:
    wanted = np.array([colour(row) for row in rows], np.uint8)
    got = pairs.pictures.read(np.arange(len(rows)))
    np.testing.assert_array_equal(got, np.broadcast_to(wanted[:, None, None], got.shape))


ONE_FILE = {
    "v7.3": lambda path: write_mat73(path, images=MATLAB_PIXELS, YAll=TEXTS, LAll=HOT),
    "v7.3 of doubles": lambda path: write_mat73(
        path, IAll=MATLAB_PIXELS, YAll=TEXTS.T.astype(np.float64), LAll=HOT.astype(np.float64)
    ),
    "hdf5, channels last": lambda path: write_hdf5(path, images=PIXELS, YAll=TEXTS, LAll=HOT),
    "npz": lambda path: write_npz(path, IAll=PIXELS, tags=TEXTS, labels=HOT),
    "v5": lambda path: write_v5(path, images=MATLAB_PIXELS, YAll=TEXTS, LAll=HOT.astype(float)),
    "v5, items first": lambda path: write_v5(path, images=PIXELS, YAll=TEXTS.T, LAll=HOT.T),
    "v5, features": lambda path: write_v5(path, images=FEATURES, YAll=TEXTS, LAll=HOT),
    "v5, doubles across": lambda path: write_v5(
        path, images=FEATURES.astype(float).T, YAll=TEXTS.T, LAll=HOT
    ),
    "v7.3, features": lambda path: write_mat73(path, XAll=FEATURES, YAll=TEXTS, LAll=HOT),
    "v7.3, features across": lambda path: write_mat73(path, XAll=FEATURES.T, YAll=TEXTS, LAll=HOT.T),
    "other names": lambda path: write_hdf5(path, IAll=PIXELS, YAll=TEXTS.T, LAll=HOT.T),
    "in groups": lambda path: write_hdf5(path, **{"IAll/IAll": PIXELS, "YAll/YAll": TEXTS.T, "LAll": HOT}),
    "other group": lambda path: write_hdf5(path, **{"images/IAll": PIXELS, "tags": TEXTS, "LAll/LAll": HOT}),
}


@pytest.mark.parametrize("name", ONE_FILE)
def test_one_file(tmp_path, name):
    path = tmp_path / "FLICKR-25K.mat"
    ONE_FILE[name](path)
    before = path.read_bytes()
    pairs = source(tmp_path)
    assert_same(pairs)
    assert (pairs.pictures is None) == ("features" in name or "across" in name)
    assert (pairs.name, pairs.own_split) == ("flickr25k", None)
    assert source(path).digest == pairs.digest
    assert path.read_bytes() == before


def write_with_header(path, **arrays):
    """As programs write that copy MATLAB's header, but not its attributes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = array
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


AXES_WRITERS = {
    "header": write_with_header,
    "matlab": lambda path, **arrays: write_mat73(path, **{name: one.T for name, one in arrays.items()}),
    "h5py": write_hdf5,
    "npz": write_npz,
    "v5": write_v5,
}


@pytest.mark.parametrize("writer", AXES_WRITERS)
@pytest.mark.parametrize("axes", ["auto", "WH", "HW"])
@pytest.mark.parametrize("first", ["WH", "HW"])
@pytest.mark.parametrize("channels", ["first", "last"])
def test_image_axes(tmp_path, writer, axes, first, channels):
    stored = PIXELS if first == "HW" else PIXELS.transpose(0, 2, 1, 3)
    stored = stored.transpose(0, 3, 1, 2) if channels == "first" else stored
    AXES_WRITERS[writer](tmp_path / "FLICKR-25K.mat", images=stored, YAll=TEXTS, LAll=HOT)
    pairs = source(tmp_path, image_axes=axes)
    if axes == "auto":
        axes = "WH" if channels == "first" and writer in ("header", "matlab") else "HW"
    wanted = PIXELS if axes == first else PIXELS.transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(pairs.pictures.read(ALL), wanted)


def test_matlabs_arrays_of_any_order_and_julias_files(tmp_path):
    """(N, 3, H, W) and (N, H, W, 3) in MATLAB, whose order HDF5 reverses; names in any case."""
    for axes in ((0, 3, 1, 2), (0, 1, 2, 3), (1, 2, 3, 0)):
        write_mat73(tmp_path / "a.mat", Images=PIXELS.transpose(axes), yall=TEXTS, labels=HOT)
        assert_same(source(tmp_path / "a.mat", "files"))
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        file["images"], file["YAll"], file["LAll"] = MATLAB_PIXELS.T, TEXTS.T, HOT.T
    with open(tmp_path / "a.h5", "r+b") as file:
        file.write(b"HDF5-based Julia Data Format, version 0.1.1")
    assert_same(source(tmp_path / "a.h5", "files"))


@pytest.mark.parametrize("writer", AXES_WRITERS)
def test_items_of_square_matrices(tmp_path, writer):
    """As many words as items: MATLAB's axes are reversed in HDF5, Python's are not."""
    texts = np.tri(ITEMS, dtype=np.uint8)
    arrays = {"images": PIXELS.transpose(0, 3, 1, 2), "YAll": texts, "LAll": HOT}
    if writer in ("matlab", "header"):
        arrays = {"images": MATLAB_PIXELS.T, "YAll": texts.T, "LAll": HOT.T}
    AXES_WRITERS[writer](tmp_path / "FLICKR-25K.mat", **arrays)
    assert_same(source(tmp_path), texts=texts)


def stored(folder, **storage):
    """A file of one of HDF5's ways to store pixels."""
    write_mat73(folder / "FLICKR-25K.mat", YAll=TEXTS, LAll=HOT)
    with h5py.File(folder / "FLICKR-25K.mat", "r+") as file:
        images = file.create_dataset("images", data=MATLAB_PIXELS.T, **storage)
        images.attrs["MATLAB_class"] = np.bytes_("uint8")
    return folder / "FLICKR-25K.mat"


CHUNKS = (8, 3, WIDTH, HEIGHT)


@pytest.mark.parametrize(
    "storage", [{}, {"chunks": CHUNKS, "compression": "gzip"}, {"chunks": (20, 1, 4, 4)}]
)
def test_pixels_in_every_storage(tmp_path, storage):
    pairs = source(stored(tmp_path, **storage))
    assert_same(pairs)
    assert pairs.pictures.block == storage.get("chunks", (16,))[0]
    assert pairs.pictures.read(np.zeros(0, np.int64)).shape == (0, HEIGHT, WIDTH, 3)
    rows = np.array([39, 0, 7, 8, 7])
    np.testing.assert_array_equal(pairs.pictures.read(rows), PIXELS[rows])


def test_a_block_is_read_once_and_a_damaged_one_is_named(tmp_path, monkeypatch):
    path = stored(tmp_path, chunks=CHUNKS, compression="gzip")
    pictures, reads, whole = source(path).pictures, [], Hdf5Pictures._read
    with monkeypatch.context() as patch:
        patch.setattr(Hdf5Pictures, "_read", lambda *given: reads.append(given[1] // 8) or whole(*given))
        pictures.read(np.random.default_rng(0).permutation(ITEMS))
    assert reads == [0, 1, 2, 3, 4]
    with h5py.File(path) as file:
        chunk = file["images"].id.get_chunk_info(2)
    content = bytearray(path.read_bytes())
    middle = chunk.byte_offset + chunk.size // 2
    content[middle : middle + chunk.size // 2] = bytes(chunk.size // 2)
    (tmp_path / "damaged.mat").write_bytes(content)
    refused("images: rows 16 to 23 unreadable", tmp_path / "damaged.mat")


def test_the_digest_names_the_content(tmp_path):
    def digest(name, **changed):
        write_hdf5(tmp_path / name, **{"images": PIXELS, "YAll": TEXTS, "LAll": HOT, **changed})
        return source(tmp_path / name).digest

    first = digest("first.mat")
    assert digest("second.mat") == first
    for name, array in {"images": PIXELS, "YAll": TEXTS, "LAll": HOT}.items():
        array = array.copy()
        array[-1, -1] ^= 1
        assert digest("other.mat", **{name: array}) != first


def test_features_are_copied_once_and_again_when_they_change(tmp_path):
    path = tmp_path / "FLICKR-25K.mat"
    write_hdf5(path, images=FEATURES, YAll=TEXTS, LAll=HOT)
    first = source(tmp_path)
    (kept,) = (tmp_path / "cache").glob("image-features-*.npy")
    state = kept.stat().st_mtime_ns, kept.stat().st_ino
    assert source(tmp_path).digest == first.digest
    assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == state
    write_hdf5(path, images=FEATURES + 1, YAll=TEXTS, LAll=HOT)
    again = source(tmp_path)
    np.testing.assert_array_equal(again.features, FEATURES + 1)
    assert again.digest != first.digest


# ---------------------------------------------------------------- separate files


def test_separate_files_and_features_beside_pixels_where_they_are_named(tmp_path):
    write_separate(tmp_path, "mirflickr25k")
    write_hdf5(tmp_path / "mirflickr25k-iall-vgg.mat", XAll=FEATURES)
    named = {"mirflickr25k-iall.mat": False, "mirflickr25k-iall-vgg.mat": True, "": False}
    for name, features in named.items():
        pairs = source(tmp_path / name, "MIRFLICKR25K")
        assert_same(pairs)
        assert (pairs.pictures is None) == features


@pytest.mark.parametrize(
    ("prefix", "dataset"),
    [("nus-wide", "NUS-WIDE-TC21"), ("nuswide10", "nus-wide-tc10"), ("MS-COCO", "COCO"), ("other", "files")],
)
def test_separate_files_of_other_sets(tmp_path, prefix, dataset):
    for name, value in {"IAll": PIXELS.transpose(0, 3, 1, 2), "YAll": TEXTS.T, "LAll": HOT.T}.items():
        file = f"{prefix}-{name}.mat"
        write_hdf5(tmp_path / (file.upper() if prefix.isupper() else file.lower()), **{name: value})
    pairs = source(tmp_path, dataset)
    assert_same(pairs)
    assert pairs.name == dataset.lower()


def test_separate_files_in_folders_of_their_own(tmp_path):
    write_separate(tmp_path, "mirflickr25k")
    write_separate(tmp_path, "nus-wide-tc10")
    for role in ("IAll", "YAll", "LAll"):
        (tmp_path / role).mkdir()
        for file in tmp_path.glob(f"*-{role.lower()}.mat"):
            file.rename(tmp_path / role / file.name)
    assert guess_dataset(tmp_path) == "FLICKR"
    for path in (tmp_path, tmp_path / "IAll" / "mirflickr25k-iall.mat"):
        assert_same(source(path))


def test_separate_files_of_vggs_features(tmp_path):
    for name, value in {"xall-vgg": FEATURES, "yall": TEXTS, "lall": HOT}.items():
        write_v5(tmp_path / f"nus-wide-tc10-{name}.mat", **{f"{name[0].upper()}All": value})
    assert_same(source(tmp_path, "NUS-WIDE-TC10"))


@pytest.mark.parametrize(("names", "images"), [("xall YALL lall", FEATURES), ("IAll YAll LAll", PIXELS)])
def test_npy_files(tmp_path, names, images):
    save_npy(tmp_path, **dict(zip(names.split(), (images, TEXTS, HOT), strict=True)))
    assert_same(source(tmp_path))
    assert_same(source(tmp_path, "files"))
    assert not (tmp_path / "cache").exists()  # read where they lie


def test_folder_in_the_folder_of_data(tmp_path):
    # Beside it lies another set, in files that tell no name.
    write_split_files(tmp_path, PIXELS, training=np.arange(8))
    (tmp_path / "NUSWIDE").mkdir()
    write_separate(tmp_path / "NUSWIDE", "nus-wide-tc21")
    pairs = source(tmp_path, "NUS-WIDE-TC21")
    assert_same(pairs)
    assert pairs.own_split is None


def test_sets_side_by_side_are_told_apart(tmp_path):
    write_separate(tmp_path, "mirflickr25k")
    write_hdf5(tmp_path / "nus-wide-tc10.mat", images=PIXELS[::-1], YAll=TEXTS[::-1], LAll=HOT[::-1])
    write_v5(tmp_path / "imagenet-vgg-f.mat", layers=np.zeros(3))
    assert_same(source(tmp_path, "FLICKR"))
    assert_same(source(tmp_path, "NUS-WIDE-TC10"), ALL[::-1])
    refused("no data set found for COCO, the folder holds imagenet-vgg-f.mat, mirf", tmp_path, "COCO")


# ---------------------------------------------------------------- split files


@pytest.mark.parametrize("images", [PIXELS.transpose(0, 3, 1, 2), FEATURES.astype(float)])
@pytest.mark.parametrize(
    ("training", "further", "found"),
    [
        (AGAIN, [], "8 of 8 training items repeat items of the database"),
        (np.concatenate([AGAIN[:4], FURTHER, AGAIN[4:]]), FURTHER, "8 of 11"),
        (FURTHER, FURTHER, "0 of 3"),
    ],
)
def test_split_files(tmp_path, images, training, further, found):
    write_split_files(tmp_path, images, training)
    pairs = source(tmp_path)
    assert_same(pairs, np.concatenate([DATABASE, QUERY, further]).astype(int))
    np.testing.assert_array_equal(pairs.own_split.retrieval, DATABASE)
    np.testing.assert_array_equal(pairs.own_split.query, QUERY)
    kept = np.sort(training[training < 20])
    np.testing.assert_array_equal(pairs.own_split.training, [*kept, *range(26, 26 + len(further))])
    assert pairs.default_sizes == (6, 20, len(training), 0)
    assert found in pairs.found[-1]
    assert source(tmp_path / "Tag.h5").digest == pairs.digest


@pytest.mark.parametrize("images", [PIXELS, FEATURES])
def test_queries_that_are_trained_on_are_told(tmp_path, images):
    write_split_files(tmp_path, images, np.concatenate([AGAIN, QUERY[:2]]))
    assert "2 of 6 queries repeat training items" in source(tmp_path).found[-1]


def test_more_labels_than_words_are_read_where_their_number_is_given(tmp_path):
    write_npz(tmp_path / "any.npz", images=PIXELS, YAll=HOT, LAll=TEXTS)
    assert source(tmp_path, "files", num_label=TEXTS.shape[1]).labels.shape == TEXTS.shape


@pytest.mark.parametrize("changed", ["images", "texts", "labels"])
def test_an_item_is_the_same_only_in_all_it_has(tmp_path, changed):
    values = {"images": PIXELS.copy(), "texts": TEXTS.copy(), "labels": HOT.copy()}
    for array in values.values():
        array[30] = array[3]
    values[changed][30, ..., 0] ^= 1  # Row 30 is row 3, but for a little.
    write_split_files(tmp_path, values["images"], np.array([3, 30]), values["texts"], values["labels"])
    np.testing.assert_array_equal(source(tmp_path).own_split.training, [3, 26])


@pytest.mark.parametrize("images", [PIXELS, FEATURES])
def test_items_that_are_twice_in_the_database(tmp_path, images):
    images, texts, labels = (array.copy() for array in (images, TEXTS, HOT))
    for array in (images, texts, labels):
        array[[5, 9]] = array[2]  # Three alike.
    # Four alike: one more than the database has.
    write_split_files(tmp_path, images, np.array([9, 2, 5, 2, 13]), texts, labels)
    pairs = source(tmp_path)
    assert len(pairs.labels) == 27
    np.testing.assert_array_equal(pairs.own_split.training, [2, 5, 9, 13, 26])
    np.testing.assert_array_equal(pairs.texts[26], texts[2])


def parts_in_one_file(**arrays) -> dict[str, np.ndarray]:
    parts = {"tr": AGAIN, "db": DATABASE, "te": QUERY}
    return {f"{name}_{part}": array[rows] for name, array in arrays.items() for part, rows in parts.items()}


@pytest.mark.parametrize(("writer", "dataset"), [(write_hdf5, "FLICKR"), (write_v5, "files")])
def test_one_file_of_all_nine(tmp_path, writer, dataset):
    writer(tmp_path / "FLICKR-25K.mat", **parts_in_one_file(I=PIXELS, T=TEXTS, L=HOT))
    pairs = source(tmp_path, dataset)
    assert_same(pairs, np.concatenate([DATABASE, QUERY]))
    np.testing.assert_array_equal(pairs.own_split.training, np.sort(AGAIN))


def test_without_a_database_part_the_training_items_are_retrieved(tmp_path):
    values = {"I": FEATURES, "T": TEXTS, "L": HOT}
    rows = {"tr": DATABASE, "te": QUERY}
    write_v5(tmp_path / "MIRFLICKR.mat", **{f"{a}_{b}": values[a][rows[b]] for a in values for b in rows})
    pairs = source(tmp_path, "files")
    assert_same(pairs, np.concatenate([DATABASE, QUERY]))
    np.testing.assert_array_equal(pairs.own_split.training, DATABASE)
    np.testing.assert_array_equal(pairs.own_split.retrieval, DATABASE)
    np.testing.assert_array_equal(pairs.own_split.query, QUERY)
    assert "no database part: the training items are the retrieval set" in pairs.found


def test_split_files_of_paths(tmp_path):
    paths = np.array([f"/data/mirflickr/{name}" for name in write_pictures(tmp_path / "mirflickr")], "S")
    write_split_files(tmp_path, paths, np.concatenate([AGAIN, FURTHER]))
    pairs, rows = source(tmp_path, image_size=32), np.concatenate([DATABASE, QUERY, FURTHER])
    np.testing.assert_array_equal(pairs.texts, TEXTS[rows])
    np.testing.assert_array_equal(pairs.labels, HOT[rows])
    assert_colours(pairs, rows)
    np.testing.assert_array_equal(pairs.own_split.training, [*np.sort(AGAIN), 26, 27, 28])
    assert list(pairs.ids) == [f"mirflickr/im{row}.png" for row in rows]
    assert isinstance(pairs.pictures, PictureFiles)
    write_split_files(tmp_path, paths, np.concatenate([AGAIN[:-1], FURTHER]))
    assert source(tmp_path, image_size=32).digest != pairs.digest  # What is prepared holds the split as well.


# ---------------------------------------------------------------- index files


def test_prepared_pictures_keep_that_text_vectors_are_single(tmp_path):
    names = write_pictures(tmp_path)
    vectors = np.random.default_rng(0).normal(size=(len(names), 2, 5))
    labels = np.eye(2, dtype=np.uint8)[np.arange(len(names)) % 2]
    for several, found in ((False, vectors[:, 0]), (True, vectors)):
        np.savez(tmp_path / "a.npz", images=np.array(names), text_vectors=found, labels=labels)
        pairs = opened(tmp_path, "files", image_size=32)
        assert pairs.single_vectors is not several


def test_prepared_pictures_keep_the_vectors_of_each_caption(tmp_path):
    names = write_pictures(tmp_path)
    (tmp_path / names[1]).write_bytes(b"broken")
    vectors = np.random.default_rng(0).normal(size=(len(names), 2, 5))
    vectors[2, 1] = 0
    labels = np.eye(2, dtype=np.uint8)[np.arange(len(names)) % 2]
    np.savez(tmp_path / "a.npz", images=np.array(names), text_vectors=vectors, labels=labels)
    pairs = opened(tmp_path, "files", image_size=32)
    assert len(pairs.labels) == len(names) - 1
    np.testing.assert_array_equal(pairs.parts.starts, [0, 2, 3, *range(5, 2 * len(names) - 2, 2)])
    means = part_means(pairs.parts.vectors, pairs.parts.starts, pairs.parts.columns)
    np.testing.assert_allclose(means, pairs.texts, rtol=1e-5)


def test_index_files(tmp_path):
    index_files(tmp_path)
    pairs = source(tmp_path, image_size=32)
    assert list(pairs.ids) == [f"mirflickr/im{row}.png" for row in ALL]
    assert list(pairs.captions) == CAPTIONS
    assert pairs.texts.shape == (ITEMS, 0)
    np.testing.assert_array_equal(pairs.labels, HOT)
    assert_colours(pairs)
    assert isinstance(pairs.pictures, PictureFiles)
    write_hdf5(tmp_path / "label.mat", category=HOT)  # as good a name
    assert source(tmp_path / "index.mat", image_size=32).digest == pairs.digest


@pytest.mark.parametrize(("ending", "last"), [("\r\n", "\r\n"), ("\r", "\r"), ("\n", ""), ("\n", "\n\n \n")])
def test_captions_line_by_line_and_no_labels(tmp_path, ending, last):
    index_files(tmp_path, leave_out="caption")
    (tmp_path / "label.mat").unlink()
    lines = ending.join(CAPTIONS) + last
    (tmp_path / "Caption.TXT").write_bytes(lines.encode("utf-8-sig"))
    pairs = source(tmp_path, "files", image_size=32)
    assert (list(pairs.captions), pairs.labels.shape) == (CAPTIONS, (ITEMS, 0))
    assert_colours(pairs)


@pytest.mark.parametrize("texts", [TEXTS.T, TEXTS.astype(float), 3 * TEXTS])
def test_captions_as_a_bag_of_words(tmp_path, texts):
    index_files(tmp_path, caption=texts)
    pairs = source(tmp_path, image_size=32)
    np.testing.assert_array_equal(pairs.texts, texts if texts.shape == TEXTS.shape else TEXTS)
    assert pairs.captions is None


@pytest.mark.parametrize("prefix", ["C:\\Users\\x\\", "./"])
def test_paths_of_another_machine(tmp_path, prefix):
    index_files(tmp_path, index=[f"{prefix}mirflickr/im{row}.png" for row in ALL])
    assert_colours(source(tmp_path, image_size=32))
    for path in (tmp_path / "mirflickr").iterdir():  # All in one folder with the index.
        shutil.move(path, tmp_path)
    pairs = source(tmp_path, image_size=32)
    assert pairs.ids[3] == "im3.png"
    assert_colours(pairs)


# ---------------------------------------------------------------- without labels

NONE = np.zeros((ITEMS, 0), np.uint8)


IN_PARTS = np.concatenate([DATABASE, QUERY])
WITHOUT_LABELS = {
    "one file": lambda path: write_npz(
        path / "any.npz", images=PIXELS, YAll=TEXTS, other=HOT, label_names=np.array([], str)
    ),
    "features": lambda path: save_npy(path, features=FEATURES, texts=TEXTS),
    "separate files": lambda path: write_separate(path, "any"),
    "split files": lambda path: write_split_files(path, PIXELS),
    "all parts in one file": lambda path: write_npz(path / "any.npz", **parts_in_one_file(I=PIXELS, T=TEXTS)),
}


@pytest.mark.parametrize("name", WITHOUT_LABELS)
def test_pairs_without_labels(tmp_path, name):
    WITHOUT_LABELS[name](tmp_path)
    for labels in ("any-lall.mat", "Lab.h5"):
        (tmp_path / labels).unlink(missing_ok=True)
    pairs = source(tmp_path, "files")
    assert_same(pairs, IN_PARTS if pairs.own_split else ALL, labels=NONE)
    assert pairs.labels.shape[1] == 0
    assert any(line.startswith("no array of labels") for line in pairs.found)
    assert (pairs.own_split is not None) == (name in ("split files", "all parts in one file"))
    if pairs.own_split:
        np.testing.assert_array_equal(pairs.own_split.training, np.sort(AGAIN))
    if name == "one file":
        assert "no array of labels; not read: 'other'" in pairs.found


@pytest.mark.parametrize("write", [write_npz, write_v5])
def test_arrays_name_the_words_and_labels(tmp_path, write):
    """Words are written as those of queries are."""
    arrays = {"features": FEATURES, "YAll": TEXTS, "LAll": HOT, "tag_names": WORDS, "label_names": LABELS}
    write(tmp_path / "a.mat", **arrays)
    save_npy(tmp_path, **arrays)
    for path in (tmp_path / "a.mat", tmp_path / "features.npy"):
        pairs = source(path, "files")
        assert_same(pairs)
        assert pairs.tag_names == tuple(f"word {number}" for number in range(TEXTS.shape[1]))
        assert pairs.label_names == tuple(LABELS)


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ({"tag_names": WORDS[1:]}, f"tag_names holds {len(WORDS) - 1} names, expected {len(WORDS)}"),
        ({"tag_names": ["WORD 1", *WORDS[1:]]}, "tag_names holds 'word 1' 2 times, expected different names"),
        ({"label_names": [" ", *LABELS[1:]]}, "label_names holds a blank name, expected a name for each"),
        ({"label_names": np.arange(len(LABELS))}, "label_names holds no texts; expected strings"),
        (
            {"label_names": np.array(LABELS, object)},
            r"label_names holds Python's objects, .* or strings as numpy\.array\(strings, str",
        ),
        ({"label_names": np.array([], str)}, "label_names holds 0 names, expected 4, one for each column"),
    ],
)
def test_names_that_fit_no_columns_are_refused(tmp_path, names, line):
    write_npz(tmp_path / "a.npz", features=FEATURES, YAll=TEXTS, LAll=HOT, **names)
    refused(line, tmp_path / "a.npz", "files")


@pytest.mark.parametrize("labels", [{"labels": HOT}, {}])
@pytest.mark.parametrize("write", [write_npz, write_hdf5, write_mat73])
def test_captions_beside_features(tmp_path, write, labels):
    write(tmp_path / "a.mat", features=FEATURES, captions=CAPTIONS, **labels)
    pairs = source(tmp_path / "a.mat", "files")
    assert (list(pairs.captions), pairs.texts.shape) == (CAPTIONS, (ITEMS, 0))
    np.testing.assert_array_equal(pairs.features, FEATURES)
    np.testing.assert_array_equal(pairs.labels, labels.get("labels", NONE))
    assert f"a.mat: {ITEMS} captions, free text" in pairs.found


def test_several_captions_an_item_beside_features_become_lines(tmp_path):
    several = np.stack([CAPTIONS, CAPTIONS[::-1]], axis=1)
    save_npy(tmp_path, image_vectors=FEATURES, captions=several)
    both = source(tmp_path / "image_vectors.npy", "files")
    assert both.captions[0] == f"{CAPTIONS[0]}\n{CAPTIONS[-1]}"
    save_npy(tmp_path, captions=np.array(CAPTIONS))
    one = source(tmp_path / "image_vectors.npy", "files")
    assert list(one.captions) == CAPTIONS
    assert one.digest != both.digest


@pytest.mark.parametrize("times", [1, 5])
def test_an_image_that_is_repeated_for_each_of_its_texts_is_told(tmp_path, times):
    save_npy(
        tmp_path, image_vectors=FEATURES.repeat(times, axis=0), text_vectors=FEATURES.repeat(times, axis=0)
    )
    found = source(tmp_path, "files").found
    assert any("most images repeat the one before" in line for line in found) == (times == 5)
