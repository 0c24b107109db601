import errno
import os

import numpy as np
import pytest

from gch.data.text_files import read_json
from gch.errors import DataError
from gch.storage import atomic_path, digest, file_digest, new_array, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_a_write_replaces_the_file_and_keeps_suffix_and_mode(tmp_path):
    path = tmp_path / "folder" / "array.npz"
    with atomic_path(path) as temporary:
        np.savez(temporary, a=np.arange(3))
    assert np.load(path)["a"].tolist() == [0, 1, 2]
    reference = tmp_path / "plain"
    reference.touch()
    assert os.stat(path).st_mode == os.stat(reference).st_mode
    write_json(tmp_path / "value.json", {"words": "größer"})
    assert (tmp_path / "value.json").read_text(encoding="utf-8") == '{\n  "words": "größer"\n}\n'


def test_digests_tell_content_shape_type_and_order_apart(tmp_path):
    array = np.arange(6, dtype=np.int32)
    parts = [
        (array,),
        (array.reshape(2, 3),),
        (array.astype(np.int64),),
        (b"ab", b"c"),
        (b"a", b"bc"),
        ("1",),
        (1,),
    ]
    assert len({digest(*part) for part in parts}) == len(parts)
    assert digest(array.reshape(2, 3).T) == digest(np.ascontiguousarray(array.reshape(2, 3).T))
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_array_without_room_on_the_disk_is_told(tmp_path, monkeypatch):
    array = new_array(tmp_path / "array.npy", np.float32, (3, 2))
    array[1] = 7
    array.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "array.npy"), [[0, 0], [7, 7], [0, 0]])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"No space left on device; expected room for 8,000 bytes"):
        new_array(tmp_path / "other.npy", np.float32, (1000, 2))


def test_names_that_are_not_utf8_are_written(tmp_path):
    name = os.fsdecode(b"a\xff")
    write_json(tmp_path / "note.json", {name: "ü"})
    assert read_json(tmp_path / "note.json") == {name: "ü"}
    write_text(tmp_path / "table.md", f"{name} ü")
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == "a\\udcff ü"
