"""Every kind of bad file, through the command line: one line that says where, before anything is trained."""

import io
import json
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from gch.cli import main

ITEMS, SIDE = 40, 32
RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (ITEMS, 3, SIDE, SIDE), np.uint8)
WORDS = RANDOM.integers(0, 2, (ITEMS, 9), np.uint8) | np.eye(ITEMS, 9, dtype=np.uint8)
LABELS = np.eye(3, dtype=np.uint8)[np.arange(ITEMS) % 3]


def one_file(folder: Path, **changed) -> Path:
    path = folder / "FLICKR-25K.mat"
    arrays = {"images": PIXELS, "YAll": WORDS.T, "LAll": LABELS.T, **changed}
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            if array is not None:
                file[name] = array
    return path


def separate(folder: Path, **changed) -> None:
    with h5py.File(folder / "mirflickr25k-iall.mat", "w") as file:
        file["IAll"] = changed.get("IAll", PIXELS)
    scipy.io.savemat(folder / "mirflickr25k-yall.mat", {"YAll": changed.get("YAll", WORDS)})
    scipy.io.savemat(folder / "mirflickr25k-lall.mat", {"LAll": changed.get("LAll", LABELS)})


def cut(path: Path, kept: float = 0.6) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])


def collection(folder: Path, lines: list[str] | None = None, name: str = "list.csv") -> None:
    if lines is None:
        lines = ["path,text,labels", *(f"{i}.png,word{i % 3} here,label {i % 3}" for i in range(ITEMS))]
    (folder / name).write_bytes("\n".join(lines).encode())
    for number in range(ITEMS):
        Image.new("RGB", (SIDE, SIDE), (number, 0, 0)).save(folder / f"{number}.png")


def png_bomb() -> bytes:
    """A PNG of a few kilobytes that declares 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(2**20)))
        + chunk(b"IEND", b"")
    )


def npz_bomb(path: Path) -> None:
    """An index file whose array declares 2^40 numbers."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<i8", "fortran_order": False, "shape": (2**40,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("query", "retrieval", "training"):
            archive.writestr(f"{name}.npy", stream.getvalue() + bytes(2**20))


# Each case: what is written into the folder, further flags, and the line that is expected.
CASES = {}


def case(line: str, dataset: str = "FLICKR", **flags):
    def add(write):
        CASES[write.__name__] = (write, {"dataset_dir": dataset, **flags}, line)
        return write

    return add


@case(r"no data set found for FLICKR, the folder holds nothing; expected FLICKR-25K.mat")
def nothing_there(folder):
    pass


@case(r"FLICKR-25K.mat: cannot be opened as HDF5, .*truncated")
def truncated_hdf5(folder):
    cut(one_file(folder))


@case(r"mirflickr25k-yall.mat: ")
def truncated_v5(folder):
    separate(folder)
    cut(folder / "mirflickr25k-yall.mat")


@case(r"FLICKR-25K.mat: empty; expected a file of arrays")
def empty_file(folder):
    (folder / "FLICKR-25K.mat").touch()


@case(r"FLICKR-25K.mat: begins with b'%PDF-1.7'; expected MATLAB v5 or v7.3, HDF5, .npz or .npy")
def foreign_file(folder):
    (folder / "FLICKR-25K.mat").write_bytes(b"%PDF-1.7")


@case(r"FLICKR-25K.mat: .*expected")
def version_4(folder):
    scipy.io.savemat(folder / "FLICKR-25K.mat", {"YAll": WORDS}, format="4")


@case(r"FLICKR-25K.mat: LAll has 9 columns, YAll 3; .*are the two swapped\?")
def swapped_arrays(folder):
    one_file(folder, YAll=LABELS.T, LAll=WORDS.T)


@case(r"FLICKR-25K.mat: labels not found, the file holds YAll, images; expected an array LAll")
def missing_array(folder):
    one_file(folder, LAll=None)


@case(r"mirflickr25k-iall.mat: its labels not found, expected mirflickr25k-lall.mat beside it")
def missing_file(folder):
    separate(folder)
    (folder / "mirflickr25k-lall.mat").unlink()


@case(r"YAll has shape \(39, 9\), expected 40 items on one axis")
def lengths_that_differ(folder):
    separate(folder, YAll=WORDS[1:])


@case(r"YAll holds -1 \(item 3, column 2\), expected 0 or 1, or a count up to 255")
def values_out_of_range(folder):
    words = WORDS.astype(np.int16)
    words[3, 2] = -1
    one_file(folder, YAll=words.T)


@case(r"LAll holds zeros only")
def labels_all_zero(folder):
    one_file(folder, LAll=np.zeros((3, ITEMS)))


@case(r"LAll holds nan \(item 4, column 1\), expected 0 or 1")
def not_a_number(folder):
    labels = LABELS.astype(float)
    labels[4, 1] = np.nan
    separate(folder, LAll=labels)


@case(r"images holds inf \(item 2, column 5\), expected finite numbers")
def infinite_features(folder):
    features = np.ones((ITEMS, 12))
    features[2, 5] = np.inf
    arrays = {"images": features, "YAll": WORDS, "LAll": LABELS}
    scipy.io.savemat(folder / "FLICKR-25K.mat", arrays)


@case(r"YAll holds no numbers, expected numbers 0 and 1")
def tags_that_are_not_numbers(folder):
    one_file(folder, YAll=np.full((9, ITEMS), b"dog"))


@case(r"LAll is a link; expected an array of this file")
def an_array_of_another_file(folder):
    path = one_file(folder, LAll=None)
    with h5py.File(path, "r+") as file:
        file["LAll"] = h5py.ExternalLink("/etc/passwd", "LAll")


@case(r"YAll \(1000000000, 40\) would be .* GiB in memory, expected at most 4")
def an_array_that_expands(folder):
    path = one_file(folder, YAll=None)
    with h5py.File(path, "r+") as file:
        file.create_dataset("YAll", (10**9, ITEMS), np.uint8, chunks=(10**6, ITEMS))


@case(r"chosen.npz: query .*expected", split="chosen.npz")
def an_index_file_that_expands(folder):
    one_file(folder)
    npz_bomb(folder / "chosen.npz")


@case(r"chosen.npz: .*expected", split="chosen.npz")
def an_index_file_with_pickled_objects(folder):
    one_file(folder)
    objects = np.array([{"rows": 1}], object)
    np.savez(folder / "chosen.npz", query=objects, retrieval=objects, training=objects)


@case(r"query and retrieval share item 7", split="chosen.npz")
def an_index_file_that_shares_items(folder):
    one_file(folder)
    np.savez(folder / "chosen.npz", query=[0, 7], retrieval=np.arange(7, 40), training=np.arange(10, 30))


@case(r"list.csv: line 3: field 'path': found '../../secret.png', expected a relative path", "collection")
def a_path_that_leaves_the_folder(folder):
    collection(folder, ["path,text,labels", "0.png,a b,x", "../../secret.png,a,x"])


@case(r"list.csv: line 2: field 'path': found 'inside.png', expected a relative path", "collection")
def a_link_that_leaves_the_folder(folder):
    collection(folder, ["path,text,labels", "inside.png,a b,x"])
    os.symlink("/etc/passwd", folder / "inside.png")


@case(r"path '../../etc/passwd', expected one that stays in the folder", "files")
def an_index_that_leaves_the_folder(folder):
    paths = np.array([["../../etc/passwd"], ["1.png"]], object)
    scipy.io.savemat(folder / "index.mat", {"index": paths})
    scipy.io.savemat(folder / "caption.mat", {"caption": np.array([["a b"], ["c d"]], object)})
    scipy.io.savemat(folder / "label.mat", {"category": np.eye(2)})


@case(r"0.png: .*expected 134217728 at most.*; broken is 'stop'|0.png: .*pixels", "collection", broken="stop")
def a_picture_that_expands(folder):
    collection(folder)
    (folder / "0.png").write_bytes(png_bomb())


@case(r"3.png: .*expected", "collection", broken="stop")
def a_broken_picture(folder):
    collection(folder)
    cut(folder / "3.png", 0.7)


@case(r"list.csv: line 2: byte 7 is 0xff, not UTF-8", "collection")
def text_that_is_not_utf8(folder):
    collection(folder)
    (folder / "list.csv").write_bytes(b"path,text,labels\n0.png,\xff\xfe,x\n")


@case(r"list.jsonl: line 2: .*expected a JSON object", "collection")
def lines_that_are_not_json(folder):
    collection(folder, [json.dumps({"path": "0.png", "text": "a", "labels": ["x"]}), "{'path'"], "list.jsonl")


@case(r"list.csv: line 1: field 'labels' not found, found columns .*'path', 'text'.*, expected", "collection")
def a_missing_column(folder):
    collection(folder, ["path,text", "0.png,a"])


@case(r"found 2 files of annotations \(a.csv, b.csv\), expected one", "collection")
def two_files_of_annotations(folder):
    collection(folder, name="a.csv")
    collection(folder, name="b.csv")


@case(r"index.json: format is .other., expected gch-prepared")
def an_index_of_another_kind(folder):
    (folder / "index.json").write_text(json.dumps({"format": "other", "version": 9}))


@case(r"index.json: cannot be read as JSON")
def an_index_that_is_not_json(folder):
    (folder / "index.json").write_text("[" * 100_000)


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "cache" not in path.parts
    }


@pytest.mark.parametrize("name", CASES)
def test_is_told_in_one_line_and_changes_nothing(name, tmp_path, repository, capsys, monkeypatch):
    write, flags, line = CASES[name]
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder)
    before = content(folder)
    if "split" in flags:
        flags = flags | {"split": folder / flags["split"]}
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    places = {"DATA_DIR": folder, "checkpoint_dir": tmp_path / "runs", "log_dir": tmp_path / "logs"}
    settings = {"image_size": SIDE, "batch_size": 4, **places, **flags}
    words = [f"--{name}={value}" for name, value in settings.items()]
    status = main(["main_itpair.py", *words], repository / "setting.py")
    error = capsys.readouterr().err
    assert status == 1, error
    assert error.count("\n") == 1
    assert "Traceback" not in error
    assert re.search(line, error), error
    assert len(error) < 1000
    assert content(folder) == before
    assert not (tmp_path / "runs").exists()


def test_a_file_without_permission(tmp_path, repository, capsys, forbid):
    path = one_file(tmp_path)
    forbid(path)
    status = main(["main_itpair.py", "--dataset_dir=FLICKR", f"--DATA_DIR={path}"], repository / "setting.py")
    assert status == 1
    error = capsys.readouterr().err
    assert f"{path}: cannot be opened, Permission denied" in error
    assert error.count("\n") == 1
