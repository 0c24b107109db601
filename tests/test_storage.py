import errno
import os
import re
import weakref
from pathlib import Path

import numpy as np
import pytest

from gch.data.text_files import read_json
from gch.errors import DataError, RunError
from gch.storage import (
    atomic_path,
    cached_array,
    digest,
    file_digest,
    literal_path,
    lock,
    new_array,
    require_place,
    write_json,
    write_text,
)


def test_a_write_replaces_the_file_and_keeps_suffix_and_mode(tmp_path):
    path = tmp_path / "folder" / "array.npz"
    with atomic_path(path) as temporary:
        np.savez(temporary, a=np.arange(3))
    assert np.load(path)["a"].tolist() == [0, 1, 2]
    reference = tmp_path / "plain"
    reference.touch()
    assert os.stat(path).st_mode == os.stat(reference).st_mode


def test_digests_tell_content_shape_type_and_order_apart(tmp_path):
    array = np.arange(6, dtype=np.int32)
    parts = [(array,), (array.reshape(2, 3),), (array.astype(np.int64),)]
    parts += [(b"ab", b"c"), (b"a", b"bc"), ("1",), (1,)]
    assert len({digest(*part) for part in parts}) == len(parts)
    assert digest(array.reshape(2, 3).T) == digest(np.ascontiguousarray(array.reshape(2, 3).T))
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("name", [b"plain", b"exp[1]", b"caf\xe9"])
def test_tensorflow_gets_a_path_of_utf8_without_patterns(tmp_path, name):
    folder = tmp_path / os.fsdecode(name)
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    with literal_path(folder) as path:
        assert path.samefile(folder)
        assert b"[" not in str(path).encode("utf-8")
    assert folder.is_dir()


def test_an_array_without_room_on_the_disk_is_told(tmp_path, monkeypatch):
    array = new_array(tmp_path / "array.npy", np.float32, (3, 2))
    array[1] = 7
    array.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "array.npy"), [[0, 0], [7, 7], [0, 0]])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    refused = r"/other\.npy: cannot be written, No space left on device; expected room for 8,000 bytes$"
    with pytest.raises(DataError, match=refused):
        cached_array(tmp_path / "other.npy", np.float32, (1000, 2), lambda array: None)


def test_what_windows_refuses_is_not_done(tmp_path, monkeypatch):
    mapped = []
    monkeypatch.setattr(os, "fsync", lambda file: os.write(file, b""))  # not of a file that is only read
    replace = os.replace

    def unmapped(source, target):
        assert all(array() is None for array in mapped)
        replace(source, target)

    monkeypatch.setattr(os, "replace", unmapped)
    cached_array(tmp_path / "a.npy", np.uint8, (2,), lambda array: mapped.append(weakref.ref(array)))
    monkeypatch.setattr(os.path, "lexists", lambda path: False)  # as of a drive that there is not
    with pytest.raises(RunError, match=r"no/drive: cannot be written, No such file"):
        require_place(Path("no/drive"))


def test_what_a_killed_process_left_goes_and_what_a_live_one_writes_stays(tmp_path):
    folder, mine = tmp_path / "cache", tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear")
    with atomic_path(folder / "live.npy") as kept:
        kept.touch()
        (folder / ".gch-unfinished-link").symlink_to(mine)
        for next_one in (
            lambda: write_json(folder / "other.json", 1),
            lambda: cached_array(folder / "other.npy", np.uint8, (1,), lambda array: None),
            lambda: lock(folder, "busy").release(),
        ):
            (folder / ".gch-unfinished-early").mkdir()  # of one killed before it had the lock
            left = folder / ".gch-unfinished-killed"
            left.mkdir()
            for name in (".lock", "killed.npy"):
                (left / name).touch()
            next_one()
            names = {path.name for path in folder.glob(".gch-*")}
            assert names == {kept.parent.name, ".gch-unfinished-link"}
        assert (mine / "letter.txt").exists()


def test_an_error_of_the_disk_names_the_file_and_leaves_the_old_one_and_no_other(tmp_path):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    file = tmp_path / "codes.mat"
    file.write_text("old")
    for write in (full, lambda path: (path / "no folder").write_text("x")):
        with pytest.raises(OSError, match=re.escape(f": '{file}'") + "$"), atomic_path(file) as path:
            path.write_text("half")
            write(path)
    with pytest.raises(RuntimeError), atomic_path(file) as path:
        raise RuntimeError
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "damaged", [None, b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x10\x00{'descr': '|u1 (((\n", b"{}"]
)
def test_a_damaged_array_in_the_cache_is_computed_anew(tmp_path, damaged):
    path = tmp_path / "cached.npy"
    np.save(path, np.zeros(2, np.uint8))
    path.write_bytes(path.read_bytes()[:-1] if damaged is None else damaged)
    found = cached_array(path, np.uint8, (2,), lambda array: array.fill(7))
    assert found.tolist() == [7, 7]
    with pytest.raises(DataError, match=r"cached\.npy/a\.npy: cannot be written, File exists"):
        cached_array(path / "a.npy", np.uint8, (2,), lambda array: None)


def test_names_that_are_not_utf8_are_written(tmp_path):
    name = os.fsdecode(b"a\xff")
    write_json(tmp_path / "note.json", {name: "ü"})
    assert (tmp_path / "note.json").read_text(encoding="utf-8") == '{\n  "a\\udcff": "ü"\n}\n'
    assert read_json(tmp_path / "note.json") == {name: "ü"}
    write_text(tmp_path / "table.md", f"{name} ü")
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == "a\\udcff ü"
