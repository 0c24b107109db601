"""Files that may not be read, are none, or expand: one line that says where."""

import errno
import json
import os
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from sources import refusal
from written import FEATURES, HOT, TEXTS, write_hdf5, write_mat73

from gch.data.array_files import list_arrays
from gch.data.openmoji import _load
from gch.data.pictures import read_picture
from gch.data.split_file import load_split
from gch.data.text_files import read_json, read_object, text_lines
from gch.errors import DataError, GCHError, damage
from gch.evaluation.codes_file import read_codes
from gch.networks.backbone import _of_user
from gch.networks.efficientnet_lite0 import read_weights
from gch.networks.matconvnet import mean_from_h5, read_matconvnet
from gch.run import RunFolder
from gch.search.codes_folder import CodesNote, Items
from gch.search.entries import picture_entries, text_entries
from gch.search.note_file import read_note_file
from gch.serve.pictures import thumbnail
from gch.settings import read_assignments
from gch.storage import cached_array, file_digest


def test_a_file_without_permission(tmp_path, command, monkeypatch):
    def guarded(path, mode):  # no mode of a file stops root
        if path == file:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return open(path, mode)

    file = tmp_path / "FLICKR-25K.mat"
    write_hdf5(file, images=FEATURES, YAll=TEXTS, LAll=HOT)
    monkeypatch.setattr("gch.data.text_files.open", guarded, raising=False)
    status, _, error = command("--dataset_dir=FLICKR", f"--DATA_DIR={file}")
    assert (status, error.count("\n")) == (1, 1)
    assert f"{file}: cannot be read, Permission denied" in error


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    return folder / "fifo"


def link(folder: Path, target: Path) -> Path:
    (folder / "link").symlink_to(target)
    return folder / "link"


NO_FILES = {
    "fifo": fifo,
    "link to a fifo": lambda folder: link(folder, fifo(folder)),
    "device": lambda folder: Path("/dev/zero"),
    "link to a device": lambda folder: link(folder, Path("/dev/zero")),
}
READERS = {
    "split": lambda path: load_split(path, 10),
    "codes": read_codes,
    "arrays": list_arrays,
    "settings": read_assignments,
    "lines": lambda path: list(text_lines(path, "expected text")),
    "JSON": read_json,
    "object of JSON": lambda path: read_object(path, {}),
    "note": lambda path: read_note_file(path, CodesNote, "expected a note"),
    "items": lambda path: Items([(path, 1)]),
    "picture": lambda path: read_picture(path, 8, "crop"),
    "thumbnail": lambda path: thumbnail(path, 8),
    "pictures": picture_entries,
    "texts": lambda path: list(text_entries(path)),
    "mean image": mean_from_h5,
    "weights": read_matconvnet,
    "weights of EfficientNet": read_weights,
    "Keras": lambda path: _of_user(str(path), 8),
}


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused_before_it_is_read(reader, kind, tmp_path):
    path = NO_FILES[kind](tmp_path)
    with refusal(".", fault=GCHError):
        READERS[reader](path)


def declared(path: Path) -> None:
    """1 TiB in a file of some kilobytes."""
    with h5py.File(path, "w") as file:
        for name, array in codes().items():
            shape = (2**34, 64) if name in ("Di", "Dt") else array.shape
            file.create_dataset(name, shape, "i1", chunks=True)


def expanding(path: Path) -> None:
    """More than 256 MiB in a file of 0.3 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in codes().items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                shape = (2**22 + 2**18, 64) if name == "Di" else array.shape
                header = {"descr": "|i1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(member, header)
                for _ in range(max(1, shape[0] // 2**18)):
                    member.write(bytes(64 * min(shape[0], 2**18)))


def codes() -> dict[str, np.ndarray]:
    return dict.fromkeys(("Qi", "Qt", "Di", "Dt", "query_L", "retrieval_L"), np.ones((4, 64), np.int8))


def declared_mean(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("Mean", (2**20, 2**18, 3), "f4", chunks=(64, 64, 3))


def declared_cell(path: Path) -> None:
    """A cell of MATLAB v7.3 that refers to a text of 1 TiB."""
    write_mat73(path, caption=["a dog", "a cat"])
    with h5py.File(path, "r+") as file:
        text = file.create_dataset("#refs#/long", (1, 2**39), "u2", chunks=(1, 4096))
        text.attrs["MATLAB_class"] = np.bytes_("char")
        file["caption"][0, 0] = text.ref


def lying_texts(path: Path) -> None:
    """Texts whose header declares 1 TiB, in an archive that declares some bytes."""
    with zipfile.ZipFile(path, "w") as archive, archive.open("caption.npy", "w") as member:
        header = {"descr": "<U256", "fortran_order": False, "shape": (2**30,)}
        np.lib.format.write_array_header_1_0(member, header)
        member.write(bytes(64))


def arrays(path: Path) -> list:
    stored = list_arrays(path)["Di"]
    return [stored.read, lambda: next(stored.slabs()), stored.strings, lambda: read_codes(path)]


def texts(path: Path) -> list:
    return [list_arrays(path)["caption"].strings]


@pytest.mark.parametrize(
    ("write", "name", "readers"),
    [
        (declared, "codes.h5", arrays),
        (expanding, "codes.npz", arrays),
        (declared_mean, "Mean.h5", lambda path: [lambda: mean_from_h5(path)]),
        (declared_cell, "caption.mat", texts),
        (lying_texts, "caption.npz", texts),
    ],
)
def test_what_expands_is_not_read(write, name, readers, tmp_path):
    write(tmp_path / name)
    for read in readers(tmp_path / name):
        with refusal("GiB", fault=GCHError):
            read()


def test_pipes_in_caches_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "texts.npy")
    array = cached_array(tmp_path / "texts.npy", np.uint8, (2, 3), lambda filled: filled.fill(7))
    assert (array == 7).all()
    os.mkfifo(tmp_path / "items.npz")
    assert _load(tmp_path, []) is None


def test_a_checkpoint_of_a_pipe_is_refused(tmp_path):
    best = tmp_path / "best"
    best.mkdir()
    (best / "checkpoint").write_text('model_checkpoint_path: "ckpt-1"\n')
    (best / "ckpt-1.index").touch()
    os.mkfifo(best / "ckpt-1.data-00000-of-00001")
    with pytest.raises(GCHError, match="not a regular file"):
        RunFolder(tmp_path).checkpoint("best")


def test_a_mistake_of_the_program_is_not_told_as_damage_of_a_file():
    with pytest.raises(DataError, match=r"^file: damaged, the JSON object must be"), damage("file: damaged"):
        json.loads(None)  # as a library that fails on what it read
    with pytest.raises(TypeError), damage("file: damaged"):
        file_digest(None)
