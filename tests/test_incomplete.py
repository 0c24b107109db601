"""Files that lack something, or hold something else than they should, are refused in one line."""

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
    index_files,
    refused,
    save_npy,
    write_hdf5,
    write_separate,
    write_split_files,
)

FILE = "FLICKR-25K.mat"


def touch(*names):
    return lambda folder: [write_hdf5(folder / name, X=np.ones((2, 2))) for name in names]


def split(name="", array=None, images=PIXELS, **texts_and_labels):
    """Split files of which one file is gone, or one array is another, or gone."""

    def write(folder):
        write_split_files(folder, images, **texts_and_labels)
        if len(name) == 3:
            (folder / f"{name}.h5").unlink()
        elif name:
            with h5py.File(folder / f"{name[:3]}.h5", "r+") as file:
                del file[name]
                if array is not None:
                    file[name] = array

    return write


def separate(leave_out="", yall=None, lall=None):
    def write(folder):
        write_separate(folder, "mirflickr25k")
        for end, arrays in (("yall", yall), ("lall", lall)):
            if arrays:
                write_hdf5(folder / f"mirflickr25k-{end}.mat", **arrays)
        if leave_out:
            (folder / f"mirflickr25k-{leave_out}.mat").unlink()

    return write


def index(leave_out="", **changed):
    return lambda folder: index_files(folder, leave_out, **changed)


def swapped(folder):
    write_split_files(folder, PIXELS)
    for old, new in (("Tag.h5", "x"), ("Lab.h5", "Tag.h5"), ("x", "Lab.h5")):
        (folder / old).rename(folder / new)


def captions_of_windows(folder):
    index_files(folder, "caption")
    (folder / "caption.txt").write_bytes(b"caf\xe9\n" * ITEMS)


def two_of_words(folder):
    write_separate(folder, "mirflickr25k")
    touch(f"{YALL}.h5")(folder)


PATHS = np.array([f"pics/{row}.png" for row in range(ITEMS)], "S")
DEEPER = [*(f"/x/mirflickr/im{row}.png" for row in range(ITEMS - 1)), "im39.png"]
YALL = "mirflickr25k-yall"
MISSING = [
    ("no data set found for FLICKR, the folder holds Img.h5", touch("Img.h5")),
    (r"found 2 files of arrays \(FLICKR-25K.mat, mirflickr.mat\), exp", touch(FILE, "mirflickr.mat")),
    (
        "XAll.npy: its texts .* yall.npy or texts.npy",
        lambda folder: save_npy(folder, XAll=FEATURES, LAll=HOT),
    ),
    (r"its labels \(-lall\) not found, .* of FLICKR; dataset_dir = 'files' reads", separate("lall")),
    (rf"\({YALL}.h5, {YALL}.mat\), expected one", two_of_words),
    (r"lall.mat: LAll uint8 \(39, 4\); 40 images: no number of items", separate(lall={"LAll": HOT[:-1]})),
    ("FLICKR-25K.mat: images not found, .* IAll, or I_tr, T_tr, L_tr, I_te", touch(FILE)),
    (
        "YAll not found, the file holds images; .* -yall, -lall",
        lambda folder: write_hdf5(folder / FILE, images=PIXELS),
    ),
    ("yall.mat: YAll not found, .* holds one, two", separate(yall={"one": TEXTS, "two": TEXTS})),
    ("'pics/0.png' not found in it", split(images=PATHS)),
    ("Tag.h5: TagQuery not found, the file holds TagDataBase, TagTrain", split("TagQuery")),
    ("Tag.h5: TagQuery holds 7 words, expected 9 words as in", split("TagQuery", TEXTS[QUERY][:, :7])),
    ("holds pictures of 7 x 8, expected pictures of 10 x 8 as", split("ImgQuery", PIXELS[QUERY][:, :7])),
    ("holds vectors of 7 dimensions, expected", split("ImgQuery", FEATURES[QUERY][:, :7], FEATURES)),
    ("holds vectors of 12 dimensions, expected pictures of 10 x 8", split("ImgQuery", FEATURES[QUERY])),
    ("has 9 columns, TagDataBase 4; .*swapped.* set num_label = 9", split(texts=HOT, labels=TEXTS)),
    ("Tag.h5: TagDataBase not found, the file holds LabData", swapped),
    ("Tag.h5 not found; expected Img.h5, Tag.h5, Lab.h5", split("Tag")),
    ("Lab.h5 not found, expected the labels", split("Lab")),
    ("Lab.h5: LabTrain not found, the file holds LabDataBase, LabQuery", split("LabTrain")),
    ("caption.mat not found, expected it or caption.txt beside index.mat", index("caption")),
    ("label.mat not found, expected the labels of FLICKR", index("label")),
    ("caption.mat: 38 captions, expected 40, as many as there are images", index(caption=CAPTIONS[:-2])),
    (r"caption.mat: caption uint8 \(9, 39\); .* 40 images: no", index(caption=TEXTS[1:])),
    ("index.mat: index holds no texts; expected strings", index(index=TEXTS)),
    ("not found in it", index(index=["x" * 5000] * 40)),
    ("stays in the folder", index(index=["/"] * 40)),
    ("'../../etc/passwd', expected", index(index=["../../etc/passwd"] * 40)),
    ("path 'im39.png', expected 1 folders before the file", index(index=DEEPER)),
    ("caption.txt: line 1: byte 4 is 0xe9, not UTF-8", captions_of_windows),
]


@pytest.mark.parametrize(("line", "write"), MISSING)
def test_what_is_missing_is_named_in_one_line(tmp_path, line, write):
    write(tmp_path)
    refused(line, tmp_path)


@pytest.mark.parametrize("name", ["Img.h5", "index.mat"])
def test_a_single_file_of_any_name_must_hold_images(tmp_path, name):
    touch(name)(tmp_path)
    refused(f"{name}: images not found, the file holds X", tmp_path, "files")


def one_file(leave_out="", **changed):
    """One file of images, words and labels, some of them other."""
    arrays = {"images": PIXELS, "YAll": TEXTS, "LAll": HOT, **changed}
    return lambda path: write_hdf5(path, **{name: arrays[name] for name in arrays if name != leave_out})


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
HALF = np.where((np.arange(ITEMS) == 5)[:, None] & (np.arange(TEXTS.shape[1]) == 3), 0.5, TEXTS)
BROKEN = [
    ("not found, expected a folder of data files or a data file", lambda path: None),
    ("empty; expected a file of arrays", lambda path: path.write_bytes(b"")),
    ("images not found, the file holds LAll, YAll, Z; expected", one_file("images", Z=HOT)),
    ("LAll or labels not found, expected the labels of FLICKR", one_file("LAll")),
    (r"expected pictures \(N, 3, H, W", one_file(images=np.ones((ITEMS, 4, 9, 6), np.uint8))),
    ("images is float64, expected uint8", one_file(images=PIXELS.astype(float))),
    (r"YAll uint8 \(39, 9\); .* 40 images: no number of items in common", one_file(YAll=TEXTS[1:])),
    ("no number of items in common", one_file(images=FEATURES[:-1])),
    ("LAll has shape", one_file(LAll=HOT[:, 0])),
    ("LAll holds 2 .*0 or 1$", one_file(LAll=2 * HOT)),
    ("YAll holds -1 .*or a count up to 255", one_file(YAll=-TEXTS.astype(int))),
    (r"YAll holds 0.5 \(item 5, column 3\)", one_file(YAll=HALF)),
    ("LAll holds zeros only", one_file(LAll=0 * HOT)),
    (r"LAll holds nan \(item 7, column 2\)", one_file(LAll=NAN)),
    ("YAll holds no numbers, .* an array named captions", one_file(YAll=np.full(TEXTS.shape, b"a"))),
    ("LAll holds no numbers", one_file(LAll=np.full(ITEMS, b"a"))),
    ("YAll is a link; expected an array of this file", linked),
    ("LAll lies in another file", external),
    ("YAll .* would be .* GiB of a file", enormous),
    ("item 0, column 5", one_file(images=np.where(FEATURES[0, 5] == FEATURES, np.nan, FEATURES))),
    ("expected finite numbers", one_file(images=FEATURES.astype(float) * 1e300)),
    ("images holds zeros only", one_file(images=0 * FEATURES)),
]


@pytest.mark.parametrize(("line", "write"), BROKEN)
def test_a_broken_file_is_named_in_one_line(tmp_path, line, write):
    write(tmp_path / FILE)
    refused(line, tmp_path / FILE)
