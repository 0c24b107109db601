"""The field's own .mat files, as MATLAB and the papers' programs see them."""

import dataclasses
import hashlib
import json
import struct
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import scipy.io
from downloaded import jpeg
from PIL import Image
from preparing import flickr
from sources import settings_of
from written import FEATURES, HOT, ITEMS, PIXELS, TEXTS, WIDTH, WORDS

from gch.data import field_files
from gch.data.catalog import open_source
from gch.data.field_files import write_field_files
from gch.data.matlab import new_mat73, new_pictures, write_mat5, write_mat73
from gch.data.pairs import Origin, Pairs, Split, SplitSizes
from gch.data.pictures import PictureFiles
from gch.data.pixels import ArrayPictures
from gch.errors import DataError, RunError

pytestmark = pytest.mark.usefixtures("v5_here")

TEXTS = 2 * TEXTS  # counts
NAMES = tuple(f"word{number}" for number in range(WORDS))
PAIRS = Pairs(
    name="flickr25k",
    texts=TEXTS,
    labels=HOT,
    label_names=("a", "b", "c", "d"),
    default_sizes=SplitSizes(6, 34, 20, 2),
    digest="x",
    pictures=ArrayPictures(PIXELS),
)


def written(pairs: Pairs, folder: Path, **options) -> dict:
    layouts = options.pop("layouts", field_files.LAYOUTS)
    settings = settings_of(folder, "FLICKR", **options)
    manifest = write_field_files(pairs, folder, settings, layouts)
    assert json.loads((folder / "manifest.json").read_text(encoding="utf-8")) == manifest
    return manifest


def loaded(path: Path, array: str) -> np.ndarray:
    return scipy.io.loadmat(path)[array]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def of_files(folder: Path, broken=(), **fields) -> Pairs:
    """As PAIRS, with pictures in files of which some are broken."""
    folder.mkdir()
    names = [f"im{row}.jpg" for row in range(ITEMS)]
    for row, name in enumerate(names):
        (folder / name).write_bytes(b"<html>gone</html>" if row in broken else jpeg(row))
    (folder / "list.txt").write_text("a list")
    changes = {"pictures": PictureFiles(folder, names, 16, "crop"), "ids": tuple(names)}
    origin = Origin(folder=folder, sources=("list.txt",), rules=("rule",), left_out={"why": ["im99.jpg"]})
    return dataclasses.replace(PAIRS, origin=origin, **changes, **fields)


def test_the_axes_are_those_that_the_papers_programs_expect(tmp_path):
    manifest = written(PAIRS, tmp_path / "out")
    for name, images in (("one-file/FLICKR-25K.mat", "images"), ("separate/mirflickr25k-iall.mat", "IAll")):
        content = (tmp_path / "out" / name).read_bytes()
        assert content.startswith(b"MATLAB 7.3 MAT-file")
        assert struct.unpack("<8xH2s", content[116:128]) == (0x0200, b"IM")
        assert content[512:520] == b"\x89HDF\r\n\x1a\n"
        with h5py.File(tmp_path / "out" / name) as file:
            stored = file[images]
            assert stored.attrs["MATLAB_class"] == b"uint8"
            np.testing.assert_array_equal(stored[:].transpose(0, 3, 2, 1), PIXELS)
            if images == "images":
                np.testing.assert_array_equal(file["YAll"][:].T, TEXTS)
                np.testing.assert_array_equal(file["LAll"][:].T, HOT)
    for file, array, wanted in (
        ("separate/mirflickr25k-yall.mat", "YAll", TEXTS),
        ("separate/mirflickr25k-lall.mat", "LAll", HOT),
        ("index/label.mat", "category", HOT),
        ("index/label.mat", "label", HOT),
        ("index/caption.mat", "caption", TEXTS),  # the words have no names
    ):
        np.testing.assert_array_equal(loaded(tmp_path / "out" / file, array), wanted)
    index = tmp_path / "out" / "index"
    drawn = [np.asarray(Image.open(index / path)) for path in loaded(index / "index.mat", "index")]
    np.testing.assert_array_equal(drawn, PIXELS)
    assert manifest["rows"][7] == ["000007.png", hashlib.sha256(PIXELS[7].tobytes()).hexdigest()]
    assert manifest["sha256_of_rows"] == "pixels"
    assert manifest["items_by_label"] == dict.fromkeys("abcd", 10)
    for name, about in manifest["files"].items():
        content = (tmp_path / "out" / name).read_bytes()
        assert about == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert len(manifest["files"]) == 8


@pytest.mark.parametrize("layout", field_files.LAYOUTS)
def test_the_product_reads_them_back(tmp_path, layout):
    square = dataclasses.replace(PAIRS, pictures=ArrayPictures(PIXELS[:, :WIDTH]), tag_names=NAMES)
    written(square, tmp_path / "out", layouts=(layout,))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"manifest.json", "split.mat", layout}
    pairs = open_source(settings_of(tmp_path / "out" / layout, "FLICKR", image_size=WIDTH))
    np.testing.assert_array_equal(pairs.labels, HOT)
    np.testing.assert_array_equal(pairs.pictures.read(np.arange(ITEMS)), square.pictures.array)
    if layout == "index":
        assert list(pairs.captions) == [" ".join(np.array(NAMES)[row > 0]) for row in TEXTS]
    else:
        np.testing.assert_array_equal(pairs.texts, TEXTS)


def test_the_same_input_gives_the_same_bytes_at_any_time(tmp_path, monkeypatch):
    pairs = of_files(tmp_path / "pictures", broken=[4], tag_names=NAMES)
    written(pairs, tmp_path / "one")
    monkeypatch.setattr("time.asctime", lambda *_: "Thu Jan  1 00:00:00 1970")  # SciPy's date
    monkeypatch.setattr("time.time", lambda: 1.5e9)
    written(pairs, tmp_path / "two")
    first = files(tmp_path / "one")
    assert first == files(tmp_path / "two")
    assert not any(b"Created on" in content for content in first.values())


def test_broken_pictures_are_left_out_by_name_and_rows_stay_together(tmp_path):
    broken = [0, 11, 29]
    split = Split(np.arange(6), np.arange(6, ITEMS), np.arange(8, 28), np.array([6, 7]))
    pairs = of_files(tmp_path / "pictures", broken, own_split=split)
    manifest = written(pairs, tmp_path / "out")
    kept = np.setdiff1d(np.arange(ITEMS), broken)
    with h5py.File(tmp_path / "out" / "one-file" / "FLICKR-25K.mat") as file:
        red = file["images"][:, 0, 8, 8].astype(int)
        np.testing.assert_array_equal(file["LAll"][:].T, HOT[kept])
        np.testing.assert_array_equal(file["YAll"][:].T, TEXTS[kept])
    assert np.abs(red - kept).max() <= 2
    index = loaded(tmp_path / "out" / "index" / "index.mat", "index")
    assert [path.strip() for path in index] == [f"im{row}.jpg" for row in kept]
    for row, (name, digest) in zip(kept, manifest["rows"], strict=True):
        content = (tmp_path / "pictures" / name).read_bytes()
        assert (name, digest) == (f"im{row}.jpg", hashlib.sha256(content).hexdigest())
    unreadable = [line.partition(":")[0] for line in manifest["left_out"]["unreadable"]]
    assert unreadable == [f"im{row}.jpg" for row in broken]
    assert manifest["left_out"]["why"] == ["im99.jpg"]
    assert manifest["rules"] == ["rule"]
    assert manifest["sources"] == {"list.txt": {"bytes": 6, "sha256": hashlib.sha256(b"a list").hexdigest()}}
    parts = scipy.io.loadmat(tmp_path / "out" / "split.mat")
    assert parts["base"] == 1
    for part, rows in split.parts().items():
        assert kept[parts[part].ravel().astype(int) - 1].tolist() == np.intersect1d(rows, kept).tolist()
        assert manifest["split"][part] == parts[part].size


def test_a_failure_leaves_nothing(tmp_path):
    pairs = of_files(tmp_path / "pictures", broken=[13])
    with pytest.raises(DataError, match=r"im13\.jpg: an HTML page"):
        written(pairs, tmp_path / "out", broken="stop")
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]
    all_broken = of_files(tmp_path / "more", broken=range(1, ITEMS))
    with pytest.raises(DataError, match=r"one picture can be read, expected two or more; .*im1\.jpg"):
        written(all_broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_single_item_is_refused(tmp_path):
    first = {name: getattr(PAIRS, name)[:1] for name in ("texts", "labels")}
    with pytest.raises(DataError, match=r"one picture can be read, expected two or more$"):
        written(dataclasses.replace(PAIRS, pictures=ArrayPictures(PIXELS[:1]), **first), tmp_path / "out")


def test_texts_become_words_of_the_training_items(tmp_path):
    captions = [f"a {'red' if row % 2 else 'green'} dog\nbeach{row // 10}" for row in range(ITEMS)]
    pairs = dataclasses.replace(PAIRS, texts=np.zeros((ITEMS, 0), np.uint8), captions=captions)
    manifest = written(pairs, tmp_path / "out", split="sequential", layouts=("separate", "index"))
    words = ["beach0", "beach1", "beach2", "dog", "green", "red"]
    assert manifest["words"] == words
    bags = loaded(tmp_path / "out" / "separate" / "mirflickr25k-yall.mat", "YAll")
    np.testing.assert_array_equal(bags, [[word in text for word in words] for text in captions])
    cells = loaded(tmp_path / "out" / "index" / "caption.mat", "caption")
    assert cells.shape == (1, ITEMS)
    assert [text.rstrip() for text in cells[0, 21]] == ["a red dog", "beach2"]


def test_features_and_pairs_without_labels(tmp_path):
    pairs = dataclasses.replace(PAIRS, pictures=None, features=FEATURES)
    manifest = written(pairs, tmp_path / "features")
    with h5py.File(tmp_path / "features" / "one-file" / "FLICKR-25K.mat") as file:
        np.testing.assert_array_equal(file["XAll"][:].T, FEATURES)
        assert file["XAll"].attrs["MATLAB_class"] == b"single"
    assert (tmp_path / "features" / "separate" / "mirflickr25k-xall.mat").is_file()
    assert manifest["sha256_of_rows"] is None
    assert not (tmp_path / "features" / "index").exists()
    with pytest.raises(DataError, match="features in place of pixels; expected pictures for an index"):
        written(pairs, tmp_path / "no", layouts=("index",))
    changes = {"name": "flickr8k", "pictures": ArrayPictures(PIXELS[:, :WIDTH])}
    without = dataclasses.replace(PAIRS, labels=HOT[:, :0], label_names=(), **changes)
    written(without, tmp_path / "without")
    with h5py.File(tmp_path / "without" / "one-file" / "FLICKR8K.mat") as file:
        assert sorted(file) == ["YAll", "images"]
    assert not (tmp_path / "without" / "index" / "label.mat").exists()
    for layout in field_files.LAYOUTS:
        pairs = open_source(settings_of(tmp_path / "without" / layout, "Flickr8k", image_size=WIDTH))
        assert pairs.labels.shape == (ITEMS, 0)


def test_a_folder_of_something_and_a_full_disk_are_refused_before_anything_is_read(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.doc").touch()
    with pytest.raises(RunError, match="out: not empty, expected a new folder"):
        written(PAIRS, tmp_path / "out")
    with pytest.raises(RunError, match=r"thesis\.doc: cannot be written, Not a directory"):
        written(PAIRS, tmp_path / "out" / "thesis.doc" / "mat")
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(RunError, match=r"0\.0 GiB of room, expected .* --layout"):
        written(PAIRS, tmp_path / "new")
    written(PAIRS, tmp_path / "new", layouts=("index",))


def test_large_arrays_are_written_in_parts_and_refused_where_v5_cannot_hold_them(tmp_path, monkeypatch):
    monkeypatch.setattr("gch.data.matlab._SLAB_BYTES", 64)
    with new_mat73(tmp_path / "a.mat") as file:
        write_mat73(file, "M", TEXTS)
        assert new_pictures(file, "images", 1000, (224, 224)).chunks == (6, 3, 224, 224)
    with h5py.File(tmp_path / "a.mat") as file:
        np.testing.assert_array_equal(file["M"][:].T, TEXTS)
    monkeypatch.setattr("gch.data.matlab._MOST_V5", 300)
    with pytest.raises(DataError, match=r"b\.mat: M takes 0\.0 GiB, expected less than 2"):
        write_mat5(tmp_path / "b.mat", {"M": TEXTS})


def test_the_command_says_what_it_wrote(command, tmp_path):
    data, out = flickr(tmp_path / "data"), tmp_path / "out"
    status, output, error = command("prepare", data, "--as=mat", f"--out={out}", "--layout=one-file")
    assert (status, error) == (0, "")
    manifest = json.loads((out / "manifest.json").read_text())
    assert f"digest {manifest['split']['digest']}" in output
    assert manifest["files"]["one-file/FLICKR-25K.mat"]["sha256"][:16] in output
    source = (data / "FLICKR-25K.mat").read_bytes()
    assert manifest["sources"]["FLICKR-25K.mat"]["sha256"] == hashlib.sha256(source).hexdigest()
    assert "--as=prepared" in command("prepare", "--help")[1]
