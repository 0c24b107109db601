"""The files of a download: folders and zip files alike."""

import zipfile

import pytest
from downloaded import jpeg, write, write_zip
from sources import refusal

from gch.commands.source import guess_dataset
from gch.data.downloads import find_downloads
from gch.data.downloads.download import difference
from gch.data.downloads.files import DownloadPictures, Files

CONTENT = {"a/one.txt": b"1\r\n\r\n  2 \n", "a/b/Two.JPG": jpeg(7), "three.txt": b"\xef\xbb\xbf3"}


@pytest.fixture(params=["folder", "stored", "packed", "inner"])
def place(request, tmp_path):
    """The same files in a folder, in zip files, and in a zip file in a folder; and how their names begin."""
    if request.param == "folder":
        return write(tmp_path, CONTENT), ""
    method = zipfile.ZIP_STORED if request.param == "stored" else zipfile.ZIP_DEFLATED
    inner = "deep/" if request.param == "inner" else ""
    write_zip(tmp_path / f"{inner}all.zip", CONTENT | {"__MACOSX/a/._one.txt": b"", "a/": b""}, method)
    return tmp_path, f"{inner}all.zip/"


def test_a_zip_file_is_like_a_folder(place):
    folder, start = place
    files = Files(folder)
    held = {f"{inside}/{name}".strip("/") for inside, names in files.folders.items() for name in names}
    assert held == {start + name for name in CONTENT}
    assert files.find("ONE.txt") == files.find("a/one.TXT") == [f"{start}a/one.txt"]
    assert files.find("b/one.txt") == []
    assert list(files.pictures()) == [f"{start}a/b/Two.JPG"]
    assert files.fullest(lambda inside, name: name.endswith(".txt") and "a" in inside[-1:]) == f"{start}a"
    assert files.fullest(lambda inside, name: False) == ""
    assert list(files.lines(f"{start}a/one.txt")) == [(1, b"1"), (3, b"2")]
    assert list(files.lines(f"{start}three.txt")) == [(1, b"3")]
    for name, content in CONTENT.items():
        assert files.read(start + name) == content
        assert files.state(start + name)[0] == len(content)
        with files.opened(start + name) as file:
            assert file.read(4) == content[:4]
    with refusal(r"one\.txt: 10 bytes, expected 9 at most"):
        files.read(f"{start}a/one.txt", 9)
    with refusal(r"four\.txt: not found"):
        files.read(f"{start}a/four.txt")


def test_its_pictures_have_a_digest_of_their_own(place):
    folder, start = place

    def digest() -> str:
        return DownloadPictures(Files(folder), [f"{start}a/b/Two.JPG"], 16, "crop").digest

    before = digest()
    assert digest() == before
    if start:
        write_zip(folder / start.rstrip("/"), CONTENT | {"a/b/Two.JPG": jpeg(8)})
    else:
        write(folder, {"a/b/Two.JPG": jpeg(8, 30)})
    assert digest() != before


def test_members_that_lead_out_of_their_zip_file_are_passed_over(tmp_path):
    names = ("../up.txt", "/root.txt", "a/../../b.txt", "good.txt")
    write_zip(tmp_path / "all.zip", dict.fromkeys(names, b""))
    assert Files(tmp_path).folders == {"all.zip": ["good.txt"]}


def test_caches_hidden_files_and_links_without_end_are_passed_over(tmp_path):
    write(tmp_path, {"cache/one.txt": b"", ".hidden/two.txt": b"", "a/.three.txt": b"", "a/four.txt": b""})
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a", target_is_directory=True)
    held = Files(tmp_path).folders
    assert held["a"] == ["four.txt"]
    assert len(held) < 10


def test_a_member_that_is_encrypted_or_damaged_is_named(tmp_path):
    write_zip(tmp_path / "all.zip", {"one.txt": b"secret"}, 0)
    packed = bytearray((tmp_path / "all.zip").read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(signature) + flags] |= 1
    (tmp_path / "all.zip").write_bytes(packed)
    with refusal("cannot be read, .*encrypted.*; unpack", tmp_path / "all.zip/one.txt"):
        Files(tmp_path).read("all.zip/one.txt")
    write_zip(tmp_path / "all.zip", {"one.txt": b"secret"}, 0)
    (tmp_path / "all.zip").write_bytes((tmp_path / "all.zip").read_bytes().replace(b"secret", b"secrex"))
    with refusal("cannot be read, .*Bad CRC.*; unpack", tmp_path / "all.zip/one.txt"):
        Files(tmp_path).read("all.zip/one.txt")


def test_a_folder_of_something_else_is_no_download(tmp_path):
    write(tmp_path, {"im1.jpg": jpeg(1), "README.txt": b"", "labels.txt": b"", "sky.txt": b"1\n"})
    write_zip(tmp_path / "more.zip", {"a.txt": b""})
    (tmp_path / "broken.zip").write_bytes(b"PK")
    assert find_downloads(Files(tmp_path)) == []
    assert guess_dataset(tmp_path) == "files"


def test_numbers_are_compared_with_those_of_the_literature():
    assert difference("items", 20_015, 20_015, "no reason") == "20,015 items, as in the literature"
    line = difference("items", 20_000, 20_015, "15 pictures are missing")
    assert line == "20,000 items, 20,015 in the literature: 15 pictures are missing"
