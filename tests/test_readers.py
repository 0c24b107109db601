"""Each layout of the field, written by independent means, gives the same items."""

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image
from sources import settings_of

from gch.commands.source import guess_dataset
from gch.data.catalog import is_of_files, open_source
from gch.data.chosen_split import choose_split
from gch.data.texts import with_vocabulary
from gch.errors import DataError, SettingError

ITEMS, WORDS, LABELS, HEIGHT, WIDTH = 30, 7, 4, 5, 6
RANDOM = np.random.default_rng(3)
PIXELS = RANDOM.integers(0, 256, (ITEMS, HEIGHT, WIDTH, 3), np.uint8)  # N, H, W, C
Y = RANDOM.integers(0, 2, (ITEMS, WORDS), np.uint8)
L = RANDOM.integers(0, 2, (ITEMS, LABELS), np.uint8)
FEATURES = RANDOM.normal(size=(ITEMS, 12)).astype(np.float32)
Y[0] = L[0] = 1


def hdf5(path, **arrays):
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array


def matlab_one_file(folder):
    hdf5(folder / "FLICKR-25K.mat", images=PIXELS.transpose(0, 3, 2, 1), YAll=Y.T, LAll=L.T)


def python_one_file(folder):
    hdf5(folder / "flickr25k.h5", images=PIXELS, YAll=Y, LAll=L)


def grouped_one_file(folder):
    hdf5(folder / "FLICKR-25K.mat", images__IAll=PIXELS.transpose(0, 3, 2, 1), YAll__YAll=Y.T, LAll__LAll=L.T)


def v5_one_file(folder):
    arrays = {"IAll": PIXELS.transpose(1, 2, 3, 0), "YAll": Y.astype(float), "LAll": L}
    scipy.io.savemat(folder / "FLICKR-25K.mat", arrays)


def npz_one_file(folder):
    np.savez(folder / "FLICKR-25K.npz", images=PIXELS, tags=Y, labels=L)


def separate_files(folder):
    hdf5(folder / "mirflickr25k-iall.mat", IAll=PIXELS.transpose(0, 3, 2, 1))
    scipy.io.savemat(folder / "mirflickr25k-yall.mat", {"YAll": Y}, do_compression=True)
    scipy.io.savemat(folder / "mirflickr25k-lall.mat", {"LAll": L})


def separate_files_in_capitals_and_hdf5(folder):
    hdf5(folder / "MIRFlickr25K-IAll.mat", IAll=PIXELS.transpose(0, 3, 2, 1))
    hdf5(folder / "MIRFlickr25K-YAll.mat", YAll=Y.T)
    hdf5(folder / "MIRFlickr25K-LAll.mat", LAll=L.T)


def in_a_folder_of_its_name(folder):
    (folder / "mirflickr25k").mkdir()
    matlab_one_file(folder / "mirflickr25k")


def npy_files(folder):
    np.save(folder / "IAll.npy", PIXELS)
    np.save(folder / "YAll.npy", Y)
    np.save(folder / "LAll.npy", L)


PIXEL_LAYOUTS = [
    matlab_one_file,
    python_one_file,
    grouped_one_file,
    v5_one_file,
    npz_one_file,
    separate_files,
    separate_files_in_capitals_and_hdf5,
    in_a_folder_of_its_name,
    npy_files,
]


def source(folder, dataset="FLICKR", **changes):
    return open_source(settings_of(folder, dataset, **changes))


@pytest.mark.parametrize("write", PIXEL_LAYOUTS)
def test_pixels_words_and_labels(tmp_path, write):
    write(tmp_path)
    pairs = source(tmp_path)
    np.testing.assert_array_equal(pairs.texts, Y)
    np.testing.assert_array_equal(pairs.labels, L)
    rows = np.array([29, 0, 7, 7])
    np.testing.assert_array_equal(pairs.pictures.read(rows), PIXELS[rows])
    assert pairs.pictures.size == (HEIGHT, WIDTH)
    assert (pairs.name, pairs.features) == ("flickr25k", None)


def test_every_layout_of_the_same_pixels_has_the_same_digest(tmp_path):
    digests = set()
    for write in PIXEL_LAYOUTS:
        folder = tmp_path / write.__name__
        folder.mkdir()
        write(folder)
        digests.add(source(folder).digest)
    assert len(digests) == 1


def test_width_and_height_by_option(tmp_path):
    matlab_one_file(tmp_path)
    turned = source(tmp_path, image_axes="HW")
    np.testing.assert_array_equal(turned.pictures.read(np.array([4]))[0], PIXELS[4].transpose(1, 0, 2))


def v5_features(folder):
    scipy.io.savemat(folder / "FLICKR-25K.mat", {"images": FEATURES.astype(float), "YAll": Y, "LAll": L})
    return folder


def turned_features(folder):
    scipy.io.savemat(folder / "FLICKR-25K.mat", {"images": FEATURES.T, "YAll": Y.T, "LAll": L.T})
    return folder


def hdf5_features(folder):
    hdf5(folder / "FLICKR-25K.mat", XAll=FEATURES.T, YAll=Y.T, LAll=L.T)
    return folder


def npy_features(folder):
    np.save(folder / "XAll.npy", FEATURES)
    np.save(folder / "YAll.npy", Y)
    scipy.io.savemat(folder / "LAll.mat", {"LAll": L})
    return folder


def features_beside_pixels(folder):
    separate_files(folder)
    hdf5(folder / "mirflickr25k-iall-vgg.mat", XAll=FEATURES.T)
    return folder / "mirflickr25k-iall-vgg.mat"


@pytest.mark.parametrize(
    "write", [v5_features, turned_features, hdf5_features, npy_features, features_beside_pixels]
)
def test_features_in_place_of_pixels(tmp_path, write):
    path = write(tmp_path)
    for _ in range(2):  # the second time from the cache
        pairs = source(path)
        assert pairs.pictures is None
        assert (pairs.features.dtype, pairs.features.shape) == (np.float32, FEATURES.shape)
        np.testing.assert_array_equal(pairs.features, FEATURES)
        np.testing.assert_array_equal(pairs.texts, Y)
    scipy_free = source(path).digest
    assert scipy_free == pairs.digest


@pytest.mark.parametrize("dataset", ["NUS-WIDE-TC21", "NUS-WIDE-TC10"])
def test_nus_wide_of_both_kinds_lies_in_one_folder(tmp_path, dataset):
    for kind, pixels in (("tc21", PIXELS), ("tc10", PIXELS[::-1])):
        hdf5(tmp_path / f"nus-wide-{kind}-iall.mat", IAll=pixels.transpose(0, 3, 2, 1))
        hdf5(tmp_path / f"nus-wide-{kind}-yall.mat", YAll=Y.T)
        scipy.io.savemat(tmp_path / f"nus-wide-{kind}-lall.mat", {"LAll": L})
    pairs = source(tmp_path, dataset)
    expected = PIXELS if dataset.endswith("21") else PIXELS[::-1]
    np.testing.assert_array_equal(pairs.pictures.read(np.arange(3)), expected[:3])
    assert pairs.name == dataset.lower()


# ---------------------------------------------------------------- split files

DATABASE, QUERY = np.arange(20), np.arange(20, 26)
TRAINING = np.array([7, 3, 28, 11, 29, 0])  # two are not in the database


def split_files(folder, images, one_file=False):
    parts = {"Train": TRAINING, "DataBase": DATABASE, "Query": QUERY}
    short = {"Train": "tr", "DataBase": "db", "Query": "te"}
    if one_file:
        arrays = {}
        for part, rows in parts.items():
            for letter, array in (("I", images), ("T", Y), ("L", L)):
                arrays[f"{letter}_{short[part]}"] = array[rows]
        hdf5(folder / "raw_mir.mat", **arrays)
        return
    for file, array in (("Img", images), ("Tag", Y), ("Lab", L)):
        hdf5(folder / f"{file}.h5", **{f"{file}{part}": array[rows] for part, rows in parts.items()})


def items_of(pairs) -> np.ndarray:
    """Which item each row is, by its words and labels and, where these tell nothing, by its place."""
    place = np.concatenate([DATABASE, QUERY, [28, 29]])
    np.testing.assert_array_equal(pairs.texts, Y[place])
    np.testing.assert_array_equal(pairs.labels, L[place])
    return place


@pytest.mark.parametrize("axes", ["NHWC", "NCWH"])
@pytest.mark.parametrize("one_file", [False, True])
def test_split_files_of_pixels(tmp_path, axes, one_file):
    split_files(tmp_path, PIXELS if axes == "NHWC" else PIXELS.transpose(0, 3, 2, 1), one_file)
    pairs = source(tmp_path, "files")
    place = items_of(pairs)
    np.testing.assert_array_equal(pairs.pictures.read(np.arange(28)), PIXELS[place])
    query, retrieval, training = pairs.own_split
    np.testing.assert_array_equal(place[retrieval], DATABASE)
    np.testing.assert_array_equal(place[query], QUERY)
    np.testing.assert_array_equal(np.sort(place[training]), np.sort(TRAINING))


def test_split_files_of_features(tmp_path):
    split_files(tmp_path, FEATURES)
    pairs = source(tmp_path, "files")
    np.testing.assert_array_equal(pairs.features, FEATURES[items_of(pairs)])
    assert len(pairs.own_split.training) == 6


def test_split_files_of_paths(tmp_path):
    for row, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).resize((16, 16)).save(tmp_path / f"im{row}.png")
    paths = np.array([f"/home/somebody/mir/im{row}.png" for row in range(ITEMS)], "S40")
    split_files(tmp_path, paths)
    pairs = source(tmp_path, "files", image_size=16)
    place = items_of(pairs)
    expected = np.stack([np.asarray(Image.open(tmp_path / f"im{row}.png")) for row in place])
    np.testing.assert_array_equal(pairs.pictures.read(np.arange(28)), expected)
    assert is_of_files(pairs)
    assert len(pairs.own_split.training) == 6


def test_items_twice_in_the_database_are_kept_apart(tmp_path):
    split_files(tmp_path, np.repeat(PIXELS[:1], ITEMS, axis=0))
    with h5py.File(tmp_path / "Tag.h5", "r+") as tags, h5py.File(tmp_path / "Lab.h5", "r+") as labels:
        for file in (tags, labels):
            for array in file.values():
                array[...] = 1
    pairs = source(tmp_path, "files")
    assert len(pairs.own_split.training) == 6
    assert len(np.unique(pairs.own_split.training)) == 6


def test_the_files_split_is_the_runs(tmp_path):
    split_files(tmp_path, FEATURES)
    pairs = source(tmp_path, "files")
    chosen = {"batch_size": 2, "VERIFICATION_SIZE": 2}
    split = choose_split(settings_of(tmp_path, "files", **chosen), pairs)
    assert split.sizes == (6, 20, 4, 2)
    np.testing.assert_array_equal(np.union1d(split.training, split.validation), pairs.own_split.training)
    drawn = choose_split(settings_of(tmp_path, "files", split="random", batch_size=2, QUERY_SIZE=5), pairs)
    assert drawn.sizes.query == 5
    first = choose_split(
        settings_of(tmp_path, "files", split="sequential", batch_size=2, QUERY_SIZE=5), pairs
    )
    np.testing.assert_array_equal(first.query, np.arange(5))
    with pytest.raises(SettingError, match="are 5, -1, -1, and the split is that of the data set's files"):
        choose_split(settings_of(tmp_path, "files", batch_size=2, QUERY_SIZE=5), pairs)
    with pytest.raises(SettingError, match="VERIFICATION_SIZE is 6, the files have 6 training items"):
        choose_split(settings_of(tmp_path, "files", batch_size=2, VERIFICATION_SIZE=6), pairs)


# ---------------------------------------------------------------- index files


def cell(values) -> np.ndarray:
    array = np.empty((len(values), 1), object)
    array[:, 0] = values
    return array


def pictures(folder) -> list[str]:
    (folder / "images").mkdir()
    for row, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).resize((8, 8)).save(folder / "images" / f"im{row}.png")
    return [f"/data/of/somebody/images/im{row}.png" for row in range(ITEMS)]


CAPTIONS = [f"a photo of thing{row % 5}" for row in range(ITEMS)]


def cells_of_v5(folder, paths):
    scipy.io.savemat(folder / "index.mat", {"index": cell(paths)})
    scipy.io.savemat(folder / "caption.mat", {"caption": cell(CAPTIONS)})
    scipy.io.savemat(folder / "label.mat", {"category": L})


def characters_of_v5(folder, paths):
    scipy.io.savemat(folder / "index.mat", {"index": np.array(paths)})
    scipy.io.savemat(folder / "caption.mat", {"caption": np.array(CAPTIONS)})
    scipy.io.savemat(folder / "label.mat", {"label": L.astype(float)})


def lines_of_text(folder, paths):
    scipy.io.savemat(folder / "index.mat", {"index": np.array(paths)})
    (folder / "caption.txt").write_text("\n".join(CAPTIONS) + "\n", encoding="utf-8")
    hdf5(folder / "label.mat", label=L.T)


@pytest.mark.parametrize("write", [cells_of_v5, characters_of_v5, lines_of_text])
def test_index_files(tmp_path, write):
    write(tmp_path, pictures(tmp_path))
    pairs = source(tmp_path, "COCO", image_size=8)
    assert list(pairs.captions) == CAPTIONS
    np.testing.assert_array_equal(pairs.labels, L)
    assert pairs.ids[3] == "images/im3.png"
    expected = np.asarray(Image.open(tmp_path / "images" / "im3.png"))
    np.testing.assert_array_equal(pairs.pictures.read(np.array([3]))[0], expected)
    assert (pairs.name, pairs.texts.shape) == ("coco", (ITEMS, 0))


def test_captions_as_a_matrix_are_a_bag_of_words(tmp_path):
    paths = pictures(tmp_path)
    cells_of_v5(tmp_path, paths)
    scipy.io.savemat(tmp_path / "caption.mat", {"caption": Y})
    pairs = source(tmp_path, "COCO", image_size=8)
    assert pairs.captions is None
    np.testing.assert_array_equal(pairs.texts, Y)


def test_the_vocabulary_knows_training_items_only(tmp_path):
    cells_of_v5(tmp_path, pictures(tmp_path))
    captions = ["common rare", *["common"] * (ITEMS - 2), "common queried queried"]
    scipy.io.savemat(tmp_path / "caption.mat", {"caption": cell(captions)})
    settings = settings_of(tmp_path, "COCO", image_size=8, vocabulary_minimum=1)
    pairs, saved = open_source(settings), tmp_path / "run" / "vocabulary.json"
    told = with_vocabulary(pairs, np.arange(10), settings, saved, tmp_path / "cache")
    assert told.tag_names == ("common", "rare")
    np.testing.assert_array_equal(told.texts[[0, 1, 29]], [[1, 1], [1, 0], [1, 0]])
    again = with_vocabulary(pairs, np.arange(20, 30), settings, saved, tmp_path / "cache")
    assert again.tag_names == told.tag_names  # the run's own, whatever the training items are


# ---------------------------------------------------------------- what is incomplete


def lacking(file, name):
    def write(folder):
        split_files(folder, PIXELS)
        with h5py.File(folder / f"{file}.h5", "r+") as opened:
            del opened[name]

    return write


def shorter_tags(folder):
    split_files(folder, PIXELS)
    with h5py.File(folder / "Tag.h5", "r+") as opened:
        del opened["TagQuery"]
        opened["TagQuery"] = Y[:5]


def fewer_columns(folder):
    split_files(folder, PIXELS)
    with h5py.File(folder / "Lab.h5", "r+") as opened:
        del opened["LabQuery"]
        opened["LabQuery"] = L[QUERY][:, :3]


def fewer_captions(folder):
    lines_of_text(folder, pictures(folder))
    (folder / "caption.txt").write_text("one\ntwo\n")


def no_captions(folder):
    lines_of_text(folder, pictures(folder))
    (folder / "caption.txt").unlink()


def pictures_elsewhere(folder):
    lines_of_text(folder, [f"/data/other/im{row}.png" for row in range(ITEMS)])


def two_files(folder):
    matlab_one_file(folder)
    npz_one_file(folder)


@pytest.mark.parametrize(
    ("write", "dataset", "line"),
    [
        (
            lacking("Tag", "TagTrain"),
            "files",
            r"Tag.h5: TagTrain not found, the file holds TagDataBase, TagQuery",
        ),
        (lacking("Img", "ImgQuery"), "FLICKR", r"Img.h5: ImgQuery not found"),
        (shorter_tags, "files", r"TagQuery has shape \(5, 7\), expected 6 items"),
        (fewer_columns, "files", r"Lab.h5: columns of the parts are .*expected as many in each"),
        (fewer_captions, "COCO", r"caption.txt: 2 captions, expected 30"),
        (no_captions, "COCO", r"caption.mat not found"),
        (pictures_elsewhere, "COCO", r"/data/other/im0.png' not found in it"),
        (two_files, "FLICKR", r"FLICKR-25K.mat, FLICKR-25K.npz: expected one file; DATA_DIR may name it"),
    ],
)
def test_what_is_incomplete_is_told(tmp_path, write, dataset, line):
    write(tmp_path)
    with pytest.raises(DataError, match=line) as error:
        source(tmp_path, dataset, image_size=8)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("FLICKR-25K.mat", "FLICKR"),
        ("mirflickr25k-iall.mat", "FLICKR"),
        ("nus-wide-tc21-iall.mat", "NUS-WIDE-TC21"),
        ("nus-wide-tc10-iall.mat", "NUS-WIDE-TC10"),
        ("MS-COCO.mat", "COCO"),
        ("photos.csv", "collection"),
        ("Img.h5", "files"),
    ],
)
def test_the_data_set_is_guessed_by_names(tmp_path, name, dataset):
    (tmp_path / name).touch()
    assert guess_dataset(tmp_path) == dataset
    assert guess_dataset(tmp_path / name) == dataset
