"""Files that lack something, or hold something else than they should, are refused in one line."""

import h5py
import numpy as np
import pytest
import scipy.io
from written import (
    CAPTIONS,
    FEATURES,
    HOT,
    ITEMS,
    PIXELS,
    QUERY,
    TEXTS,
    index_files,
    refused,
    save_npy,
    write_hdf5,
    write_pictures,
    write_separate,
    write_split_files,
    write_v5,
)

FILE = "FLICKR-25K.mat"


def touch(folder, *names):
    for name in names:
        write_hdf5(folder / name, X=np.ones((2, 2)))


def split_with(folder, name, array=None, images=PIXELS):
    """Split files of which one array is another, or gone."""
    write_split_files(folder, images)
    with h5py.File(folder / f"{name[:3]}.h5", "r+") as file:
        del file[name]
        if array is not None:
            file[name] = array


def separate_with(folder, name="", array=None, leave_out=""):
    write_separate(folder, "mirflickr25k")
    if leave_out:
        (folder / f"mirflickr25k-{leave_out}.mat").unlink()
    if name.endswith(".npy"):
        np.save(folder / name, array)
    elif name:
        write_hdf5(folder / name, **array)


def without_tags(folder):
    write_split_files(folder, PIXELS)
    (folder / "Tag.h5").unlink()


def swapped_files(folder):
    write_split_files(folder, PIXELS)
    for old, new in (("Tag.h5", "x"), ("Lab.h5", "Tag.h5"), ("x", "Lab.h5")):
        (folder / old).rename(folder / new)


def two_spellings(folder):
    write_separate(folder, "mirflickr25k")
    write_separate(folder, "flickr25k")


def caption_lines(folder, content):
    index_files(folder, "caption")
    (folder / "caption.txt").write_bytes(content)


def mixed_depth(folder):
    names = [f"/x/mirflickr/{name}" for name in write_pictures(folder / "mirflickr")]
    index_files(folder, index=[*names[:-1], "im39.png"])


MISSING = {
    "Img.h5 alone": (lambda f: touch(f, "Img.h5"), "FLICKR", "no data set found for FLICKR, .* holds Img.h5"),
    "Img.h5 alone, files": (lambda f: touch(f, "Img.h5"), "files", "Img.h5: images not found, .* holds X"),
    "index.mat alone": (lambda f: touch(f, "index.mat"), "files", "index.mat: images not found"),
    "two sets": (lambda f: touch(f, FILE, "mirflickr.mat"), "FLICKR", f"{FILE}, mirflickr.mat: expected one"),
    "three files": (
        lambda f: touch(f, "a.mat", "b.h5"),
        "files",
        r"a.mat, b.h5: expected one file; DATA_DIR",
    ),
    "two spellings": (
        two_spellings,
        "FLICKR",
        r"flickr25k-iall.mat, mirflickr25k-iall.mat: expected one file",
    ),
    "no YAll": (lambda f: save_npy(f, XAll=FEATURES, LAll=HOT), "FLICKR", "XAll.npy: its texts .* yall.npy"),
    "split paths elsewhere": (
        lambda f: write_split_files(f, np.array([f"pics/{row}.png" for row in range(ITEMS)], "S")),
        "FLICKR",
        r"'pics/0.png' not found in it",
    ),
}
SEPARATE = {
    "no -lall": ({"leave_out": "lall"}, "its labels not found, expected mirflickr25k-lall.mat beside it"),
    "two suffixes": (
        {"name": "mirflickr25k-yall.npy", "array": TEXTS},
        r"mirflickr25k-yall.mat, mirflickr25k-yall.npy: expected one file",
    ),
    "shorter labels": (
        {"name": "mirflickr25k-lall.mat", "array": {"LAll": HOT[:-1]}},
        r"LAll has shape \(39, 4\), expected 40 items",
    ),
    "several arrays": (
        {"name": "mirflickr25k-yall.mat", "array": {"one": TEXTS, "other": TEXTS}},
        "yall.mat: YAll not found, the file holds one, other",
    ),
}
SPLIT = {
    "no query": (["TagQuery"], "Tag.h5: TagQuery not found, the file holds TagDataBase, TagTrain"),
    "shorter tags": (["TagQuery", TEXTS[:5]], r"Tag.h5: TagQuery has shape \(5, 9\), expected 6 items"),
    "other columns": (["TagQuery", TEXTS[QUERY][:, :7]], "Tag.h5: TagQuery has 7 columns, expected 9"),
    "other size": (["ImgQuery", PIXELS[QUERY][:, :7]], "ImgQuery has pictures of 7 x 8, expected 10 x 8 as"),
    "other dimensions": (["ImgQuery", FEATURES[QUERY][:, :7], FEATURES], "ImgQuery has 7 columns, expected"),
    "features and pixels": (
        ["ImgQuery", FEATURES[QUERY]],
        "ImgQuery .* differs in kind from Img.h5: ImgData",
    ),
}
INDEX = {
    "no caption": (
        {"leave_out": "caption"},
        "caption.mat not found, expected it or caption.txt beside index",
    ),
    "no label": ({"leave_out": "label"}, "label.mat not found, expected it beside index.mat"),
    "fewer captions": ({"caption": CAPTIONS[:-2]}, "caption.mat: 38 captions, expected 40, as many as index"),
    "fewer labels": ({"label": HOT[:-1]}, r"label.mat: label has shape \(4, 39\), expected 40"),
    "shorter matrix": ({"caption": TEXTS[1:]}, r"caption.mat: caption has shape \(9, 39\), expected 40"),
    "caption and label swapped": ({"caption": HOT, "label": TEXTS}, "swapped"),
    "index of numbers": ({"index": TEXTS}, "index.mat: index holds no texts; expected strings"),
    "long path": ({"index": ["x" * 5000] * 40}, "not found in it"),
    "path of nothing": ({"index": ["/"] * 40}, "stays in the folder"),
    "path out of the folder": ({"index": ["../a.png"] * 40}, "path '../a.png', expected one that stays in"),
}
MISSING |= {
    **{
        name: (lambda f, how=how: separate_with(f, **how), "FLICKR", line)
        for name, (how, line) in SEPARATE.items()
    },
    **{name: (lambda f, how=how: split_with(f, *how), "FLICKR", line) for name, (how, line) in SPLIT.items()},
    **{
        name: (lambda f, how=how: index_files(f, **how), "FLICKR", line)
        for name, (how, line) in INDEX.items()
    },
    "split files without one": (without_tags, "FLICKR", "Tag.h5 not found; expected Img.h5, Tag.h5, Lab.h5"),
    "split files swapped": (swapped_files, "FLICKR", "Tag.h5: TagDataBase not found, the file holds LabData"),
    "Tag and Lab swapped": (
        lambda f: write_split_files(f, PIXELS, texts=HOT, labels=TEXTS),
        "FLICKR",
        r"Lab.h5: LabDataBase has 9 columns, TagDataBase 4; .*swapped",
    ),
    "captions not UTF-8": (
        lambda f: caption_lines(f, b"caf\xe9\n" * ITEMS),
        "FLICKR",
        "caption.txt: line 1: byte 4 is 0xe9, not UTF-8",
    ),
    "fewer lines": (
        lambda f: caption_lines(f, b"a\n" * 39),
        "files",
        "caption.txt: 39 captions, expected 40",
    ),
    "mixed depth": (mixed_depth, "FLICKR", r"path 'im39.png', expected 1 folders before the file"),
    "not the images": (
        lambda f: save_npy(f, YAll=TEXTS),
        "files",
        "YAll.npy: images not found, .* holds YAll",
    ),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_named_in_one_line(tmp_path, name):
    write, dataset, line = MISSING[name]
    write(tmp_path)
    refused(line, tmp_path, dataset)


def one_file(leave_out="", **changed):
    """One file of images, words and labels, some of them other."""
    arrays = {"images": PIXELS, "YAll": TEXTS, "LAll": HOT, **changed}
    return lambda path: write_hdf5(path, **{name: arrays[name] for name in arrays if name != leave_out})


def truncated(path):
    one_file()(path)
    path.write_bytes(path.read_bytes()[:-2000])


def linked(path):
    one_file("YAll")(path)
    write_hdf5(path.with_name("other.h5"), YAll=TEXTS)
    with h5py.File(path, "r+") as file:
        file["YAll"] = h5py.ExternalLink("other.h5", "YAll")


def external(path):
    one_file("LAll")(path)
    path.with_name("secret").write_bytes(bytes(ITEMS * 4))
    with h5py.File(path, "r+") as file:
        file.create_dataset("LAll", (ITEMS, 4), np.uint8, external=[("secret", 0, ITEMS * 4)])


def enormous(path):
    one_file("YAll")(path)
    with h5py.File(path, "r+") as file:
        file.create_dataset("YAll", (10**9, ITEMS), np.float64, chunks=(1000, ITEMS))


NAN = np.where((np.arange(ITEMS) == 7)[:, None] & (np.arange(4) == 2), np.nan, HOT)
BROKEN = {
    "missing": (lambda path: None, "not found, expected a folder of data files or a data file"),
    "version 5": (lambda path: scipy.io.savemat(path, {"X": np.zeros(3)}), "images not found, .* holds X"),
    "text": (lambda path: path.write_text("hello"), "begins with b'hello'; expected MATLAB v5 or v7.3"),
    "empty": (lambda path: path.write_bytes(b""), "empty; expected a file of arrays"),
    "truncated": (truncated, "cannot be opened as HDF5, .*truncated"),
    "no images": (one_file("images", Z=HOT), "images not found, the file holds LAll, YAll, Z; expected"),
    "no labels": (one_file("LAll"), "labels not found, the file holds YAll, images; expected an array LAll"),
    "no channels": (one_file(images=np.ones((ITEMS, 4, 9, 6), np.uint8)), r"expected pictures \(N, 3, W, H"),
    "no items": (one_file(images=np.zeros((0, 3, 9, 6), np.uint8)), r"images has shape \(0,"),
    "float images": (one_file(images=PIXELS.astype(float)), "images is float64, expected uint8"),
    "other length": (one_file(YAll=TEXTS[1:]), "YAll has shape .* 40 items"),
    "flat labels": (one_file(LAll=HOT[:, 0]), "LAll has shape"),
    "counts in labels": (one_file(LAll=2 * HOT), "LAll holds 2 .*0 or 1$"),
    "negative tags": (one_file(YAll=-TEXTS.astype(int)), "YAll holds -1 .*or a count up to 255"),
    "fractions": (one_file(YAll=TEXTS / 2), "YAll holds 0.5 .*item 0, column 0"),
    "zeros": (one_file(LAll=0 * HOT), "LAll holds zeros only"),
    "swapped": (one_file(YAll=HOT, LAll=TEXTS), "are the two swapped"),
    "nan": (one_file(LAll=NAN), r"LAll holds nan \(item 7, column 2\)"),
    "strings": (one_file(YAll=np.full(TEXTS.shape, b"a")), "YAll holds no numbers"),
    "link": (linked, "YAll is a link; expected an array of this file"),
    "external": (external, "LAll lies in another file"),
    "enormous": (enormous, "YAll .* would be .* GiB in memory"),
    "nan in features": (
        one_file(images=np.where(FEATURES[0, 5] == FEATURES, np.nan, FEATURES)),
        r"item 0, column 5",
    ),
    "large features": (one_file(images=FEATURES.astype(float) * 1e300), "expected finite numbers"),
    "features of zeros": (one_file(images=0 * FEATURES), "images holds zeros only"),
    "other length of features": (one_file(images=FEATURES[:-1]), "have no number of items in common"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_in_one_line(tmp_path, name):
    write, line = BROKEN[name]
    write(tmp_path / FILE)
    refused(line, tmp_path / FILE)


def test_a_named_file_must_be_the_images(tmp_path):
    write_v5(tmp_path / "mirflickr25k-yall.mat", YAll=TEXTS)
    refused("images not found, the file holds YAll", tmp_path / "mirflickr25k-yall.mat")
