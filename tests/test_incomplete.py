"""Layouts that lack something are told in one line."""

import h5py
import numpy as np
import pytest
from written import (
    CAPTIONS,
    FEATURES,
    HOT,
    ITEMS,
    PIXELS,
    QUERY,
    TEXTS,
    cells,
    index_files,
    refused,
    save_npy,
    source,
    write_hdf5,
    write_pictures,
    write_separate,
    write_split_files,
    write_v5,
)

from gch.errors import DataError


def touch(folder, *names):
    for name in names:
        write_hdf5(folder / name, X=np.ones((2, 2)))


def without_tags(folder):
    write_split_files(folder, PIXELS)
    (folder / "Tag.h5").unlink()


def without_query(folder):
    write_split_files(folder, PIXELS)
    with h5py.File(folder / "Tag.h5", "r+") as file:
        del file["TagQuery"]


def shorter_tags(folder):
    write_split_files(folder, PIXELS)
    with h5py.File(folder / "Tag.h5", "r+") as file:
        del file["TagQuery"]
        file["TagQuery"] = TEXTS[:5]


def other_columns(folder):
    write_split_files(folder, PIXELS)
    with h5py.File(folder / "Tag.h5", "r+") as file:
        del file["TagQuery"]
        file["TagQuery"] = TEXTS[QUERY][:, :7]


def other_size(folder):
    write_split_files(folder, PIXELS)
    with h5py.File(folder / "Img.h5", "r+") as file:
        del file["ImgQuery"]
        file["ImgQuery"] = PIXELS[QUERY][:, :7]


def other_dimensions(folder):
    write_split_files(folder, FEATURES)
    with h5py.File(folder / "Img.h5", "r+") as file:
        del file["ImgQuery"]
        file["ImgQuery"] = FEATURES[QUERY][:, :7]


def without_labels(folder):
    write_separate(folder, "mirflickr25k")
    (folder / "mirflickr25k-lall.mat").unlink()


def npy_without_tags(folder):
    save_npy(folder, XAll=FEATURES, LAll=HOT)


def twice(folder):
    write_separate(folder, "mirflickr25k")
    np.save(folder / "mirflickr25k-yall.npy", TEXTS)


def two_spellings(folder):
    write_separate(folder, "mirflickr25k")
    write_separate(folder, "flickr25k")


def shorter_labels(folder):
    write_separate(folder, "mirflickr25k")
    write_v5(folder / "mirflickr25k-lall.mat", LAll=HOT[:-1])


def several_arrays(folder):
    write_separate(folder, "mirflickr25k")
    write_v5(folder / "mirflickr25k-yall.mat", one=TEXTS, other=TEXTS)


def latin_captions(folder):
    index_files(folder, "caption")
    (folder / "caption.txt").write_bytes(b"caf\xe9\n" * ITEMS)


def short_lines(folder):
    index_files(folder, "caption")
    (folder / "caption.txt").write_text("hello\n" * (ITEMS - 1))


def mixed_depth(folder):
    names = [f"/x/mirflickr/{name}" for name in write_pictures(folder / "mirflickr")]
    index_files(folder, index=cells([*names[:-1], "im39.png"]))


def split_paths_elsewhere(folder):
    write_split_files(folder, np.array([f"pics/{row}.png" for row in range(ITEMS)], "S"))


def two_sets(folder):
    touch(folder, "FLICKR-25K.mat", "mirflickr.mat")


MISSING = {
    "split files without one": (without_tags, "FLICKR", r"Tag.h5 not found; expected Img.h5, Tag.h5, Lab.h5"),
    "Img.h5 alone": (lambda f: touch(f, "Img.h5"), "FLICKR", "no data set found for FLICKR, .* holds Img.h5"),
    "Img.h5 alone, files": (lambda f: touch(f, "Img.h5"), "files", "Img.h5: images not found, .* holds X"),
    "index.mat alone": (lambda f: touch(f, "index.mat"), "files", "index.mat: images not found"),
    "no query": (
        without_query,
        "FLICKR",
        r"Tag.h5: TagQuery not found, the file holds TagDataBase, TagTrain",
    ),
    "shorter tags": (shorter_tags, "FLICKR", r"Tag.h5: TagQuery has shape \(5, 9\), expected 6 items"),
    "other columns": (other_columns, "FLICKR", r"Tag.h5: columns of the parts are .*'query': 7"),
    "other size": (other_size, "FLICKR", r"Img.h5: ImgQuery has pictures of 7 x 8, expected 10 x 8"),
    "other dimensions": (other_dimensions, "FLICKR", r"Img.h5: ImgQuery has 7 columns, expected 12"),
    "Tag and Lab swapped": (
        lambda f: write_split_files(f, PIXELS, texts=HOT, labels=TEXTS),
        "FLICKR",
        r"Lab.h5: LabDataBase has 9 columns, TagDataBase 4; .*swapped",
    ),
    "files swapped": (
        lambda f: (
            (
                write_split_files(f, PIXELS),
                (f / "Tag.h5").replace(f / "x"),
                (f / "Lab.h5").rename(f / "Tag.h5"),
            )
            and (f / "x").rename(f / "Lab.h5")
        ),
        "FLICKR",
        r"Tag.h5: TagTrain not found, the file holds LabDataBase",
    ),
    "split paths elsewhere": (split_paths_elsewhere, "FLICKR", r"'pics/0.png' not found in it"),
    "no -lall": (without_labels, "FLICKR", r"its labels not found, expected mirflickr25k-lall.mat beside it"),
    "no YAll": (npy_without_tags, "FLICKR", r"XAll.npy: its texts not found, expected yall.npy beside it"),
    "two suffixes": (twice, "FLICKR", r"mirflickr25k-yall.mat, mirflickr25k-yall.npy: expected one file"),
    "two spellings": (
        two_spellings,
        "FLICKR",
        r"flickr25k-iall.mat, mirflickr25k-iall.mat: expected one file",
    ),
    "two sets": (
        two_sets,
        "FLICKR",
        r"FLICKR-25K.mat, mirflickr.mat: expected one file; DATA_DIR may name it",
    ),
    "three files": (lambda f: touch(f, "a.mat", "b.h5"), "files", r"a.mat, b.h5: expected one file"),
    "shorter labels": (shorter_labels, "FLICKR", r"LAll has shape \(39, 4\), expected 40 items"),
    "several arrays": (several_arrays, "FLICKR", r"yall.mat: YAll not found, the file holds one, other"),
    "no caption": (
        lambda f: index_files(f, "caption"),
        "FLICKR",
        r"caption.mat not found, expected it or cap",
    ),
    "no label": (
        lambda f: index_files(f, "label"),
        "FLICKR",
        r"label.mat not found, expected it beside index",
    ),
    "fewer captions": (
        lambda f: index_files(f, caption=cells(CAPTIONS[:-2])),
        "files",
        r"caption.mat: 38 captions, expected 40, as many as index.mat has paths",
    ),
    "fewer lines": (short_lines, "files", r"caption.txt: 39 captions, expected 40"),
    "fewer labels": (
        lambda f: index_files(f, label=HOT[:-1]),
        "FLICKR",
        r"label.mat: label has shape \(39, 4\), expected 40",
    ),
    "shorter matrix": (
        lambda f: index_files(f, caption=TEXTS[1:]),
        "FLICKR",
        r"caption.mat: caption has shape \(39, 9\), expected 40",
    ),
    "caption and label swapped": (lambda f: index_files(f, caption=HOT, label=TEXTS), "FLICKR", "swapped"),
    "captions not UTF-8": (latin_captions, "FLICKR", r"caption.txt: cannot be read as UTF-8"),
    "index of numbers": (lambda f: index_files(f, index=TEXTS), "FLICKR", r"index.mat: index .*uint8"),
    "long path": (lambda f: index_files(f, index=cells(["x" * 5000] * 40)), "FLICKR", "not found in it"),
    "path of nothing": (lambda f: index_files(f, index=cells(["/"] * 40)), "FLICKR", "stays in the folder"),
    "mixed depth": (mixed_depth, "FLICKR", r"path 'im39.png', expected 1 folders before the file"),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_told_in_one_line(tmp_path, name):
    write, dataset, line = MISSING[name]
    write(tmp_path)
    refused(line, tmp_path, dataset)


def test_a_named_file_must_be_the_images(tmp_path):
    write_separate(tmp_path, "mirflickr25k")
    with pytest.raises(DataError, match="images not found, the file holds YAll"):
        source(tmp_path / "mirflickr25k-yall.mat")
