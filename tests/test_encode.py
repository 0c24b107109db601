"""Encoding collections: what is read, written, skipped, resumed, and split among machines."""

import errno
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from exporting import BITS, SIZE, save_small_model
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gch.data.pictures import read_picture
from gch.errors import DataError, RunError
from gch.search import encode
from gch.search.codes_folder import CodesWriter, open_codes, read_note
from gch.search.encode import shard_range
from gch.search.entries import Entry, pair_entries, picture_entries, text_entries
from gch.search.exported import ExportedModel

pytestmark = pytest.mark.usefixtures("load_once")

PICTURES = 23


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    save_small_model(folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """A folder of pictures in folders, two of which cannot be read."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(PICTURES):
        place = folder / ("a", "b ü", ".")[number % 3]
        place.mkdir(exist_ok=True)
        pixels = random.integers(0, 256, (40 + number, 50, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"{number:02d}.png")
    (folder / "a" / "06.png").write_bytes(b"not a picture")
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("no picture")
    (folder / "a" / "phone.HEIC").touch()
    (folder / ".hidden.png").touch()
    return folder


def content(folder: Path) -> tuple[bytes, ...]:
    """Codes and items of a folder, its parts or shards one after the other."""
    shards = sorted(folder.glob("shard-*"), key=lambda path: int(path.name.split("-")[1])) or [folder]
    parts = [path.with_suffix("") for shard in shards for path in sorted(shard.glob("*.codes"))]
    return tuple(
        b"".join(part.with_suffix(suffix).read_bytes() for part in parts) for suffix in (".codes", ".items")
    )


def test_a_folder_of_pictures_is_coded_in_the_order_of_its_paths(command, model, pictures, tmp_path):
    out = tmp_path / "c"
    status, output, error = command("encode", model, f"--images={pictures}", f"--out={out}")
    assert (status, error) == (0, "")
    assert "Left out, because of another format, such as HEIC or AVIF: 1 pictures" in output
    assert "  skipped 'a/06.png': not a picture of a known format" in output
    assert f"22 codes of 16 bits in {out}, 2 skipped (see skipped.jsonl)\n" in output
    codes = open_codes(out)
    paths = [codes.items[row]["id"] for row in range(22)]
    assert paths == sorted(paths)
    assert [paths[row] for row in (0, 1, 7, 14)] == ["02.png", "05.png", "a/00.png", "b ü/01.png"]
    exported = ExportedModel(model)
    for row in (0, 9, 21):
        picture = read_picture(pictures / paths[row], SIZE, "crop")
        np.testing.assert_array_equal(codes.codes[row], exported.picture_outputs(picture[None]).codes[0])
    skipped = [json.loads(line) for line in (out / "skipped.jsonl").read_text().splitlines()]
    assert [one["id"] for one in skipped] == ["a/06.png", "empty.jpg"]
    assert (codes.bits, codes.modality, codes.root) == (BITS, "image", str(pictures.resolve()))


@pytest.fixture(scope="module", autouse=True)
def small_files():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gch.search.codes_folder.PART_ITEMS", 5)
        yield


@pytest.fixture(scope="module", params=["images", "pairs"])
def whole(request, command, model, pictures, tmp_path_factory):
    """The command that encodes 24 pictures, or pairs of them and tags, in parts; and what it writes."""
    out = tmp_path_factory.mktemp(request.param)
    paths = [entry.id for entry in picture_entries(pictures)]
    lines = [{"path": path, "tags": ["cat", "sea"][: (row + 1) % 3]} for row, path in enumerate(paths)]
    (pictures / "all.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = pictures if request.param == "images" else pictures / "all.jsonl"
    words = ["encode", model, f"--{request.param}={source}", "--batch=4"]
    assert command(*words, f"--out={out}")[0] == 0
    assert len(list(out.glob("*.codes"))) == 5
    return words, out


def test_shards_join_to_the_run_without_shards(whole, command, tmp_path):
    words, one = whole
    for shards in (2, 7):
        out = tmp_path / str(shards)
        for number in reversed(range(1, shards + 1)):
            if number == 1:
                with pytest.raises(DataError, match=f"shard 1 of {shards} is missing"):
                    open_codes(out)
            assert command(*words, f"--out={out}", f"--shard={number}/{shards}")[0] == 0
        assert content(out) == content(one)
        np.testing.assert_array_equal(open_codes(out).codes, open_codes(one).codes)
        assert list(open_codes(out).items) == list(open_codes(one).items)


@given(st.integers(0, 1000), st.integers(1, 50), st.integers(1, 20))
def test_shards_share_all_entries_in_whole_batches(total, batch, count):
    ranges = [shard_range(total, batch, (number, count)) for number in range(1, count + 1)]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == total
    for (_, stop), (start, _) in itertools.pairwise(ranges):
        assert stop == start
        assert stop % batch == 0 or stop == total
    sizes = [-(-(stop - start) // batch) for start, stop in ranges]
    assert max(sizes) - min(sizes) <= 1


def test_what_was_killed_goes_on_to_the_same_codes(whole, command, tmp_path, monkeypatch):
    (words, one), stopped = whole, f"--out={tmp_path}"
    real, calls = ExportedModel.codes_of_halves, []

    def stopping(self, *batch):
        calls.append(batch)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, *batch)

    monkeypatch.setattr(encode, "SECONDS_BETWEEN_SAVES", 0)
    monkeypatch.setattr(ExportedModel, "codes_of_halves", stopping)
    with pytest.raises(KeyboardInterrupt):
        command(*words, stopped)
    with pytest.raises(DataError, match="12 of 24 entries are encoded; expected all; run encode again"):
        open_codes(tmp_path)
    # What a kill leaves: bytes that the note does not know of.
    for name in ("00002.codes", "00002.items", "skipped.jsonl"):
        with open(tmp_path / name, "ab") as file:
            file.write(b"half a li")
    calls.clear()
    _, output, _ = command(*words, stopped)
    assert "resumes after 12 of 24 p" in output
    assert len(calls) == 3
    assert content(tmp_path) == content(one)
    for name in ("skipped.jsonl", "codes.json"):
        assert (tmp_path / name).read_bytes() == (one / name).read_bytes()
    status, output, _ = command(*words, stopped)
    assert (status, len(calls)) == (0, 3)
    assert "already finished" in output


def test_a_full_disk_is_one_line_that_names_the_folder(command, model, pictures, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(CodesWriter, "write", full)
    status, _, error = command("encode", model, f"--images={pictures}", f"--out={tmp_path / 'c'}")
    assert (status, f"{tmp_path / 'c'}: cannot be written, No space left on device" in error) == (1, True)


def test_texts_and_tags_are_coded_and_those_without_a_known_word_skipped(command, model, tmp_path):
    lines = [
        {"id": "x", "text": "The cat face."},
        {"tags": ["Ice-Cream", "SEA"]},
        {"id": "z", "text": "nothing known"},
    ]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    flags = f"--texts={tmp_path / 'texts.jsonl'}", f"--out={tmp_path / 'c'}"
    status, output, _ = command("encode", model, *flags)
    assert (status, "skipped 'z': none of its words is known to the model" in output) == (0, True)
    codes = open_codes(tmp_path / "c")
    assert list(codes.items) == [{"id": "x", "text": "The cat face."}, {"id": "2", "text": "Ice-Cream, SEA"}]
    expected = ExportedModel(model).text_outputs(["the cat face", ("ice-cream", "sea")])
    np.testing.assert_array_equal(codes.codes, expected.codes)


TABLE = """path,caption
a/00.png,the cat face
no.png,red sea
a/06.png,nothing known
02.png,
05.png,nothing known
,"ice-cream, sea"
NaN,
a/00.png,red
"""
LINES = [
    {"path": "a/00.png", "caption": "the cat face"},
    {"path": "no.png", "text": ["red sea"]},
    {"image": "a/06.png", "text": "nothing known"},
    {"path": "02.png"},
    {"path": "./05.png", "title": "nothing known", "labels": 3},
    {"path": None, "text": "ice-cream, sea"},
    {"path": " "},
    {"file": "a/00.png", "text": "red"},
]


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.jsonl"])
def test_pairs_are_coded_from_what_there_is_of_each(command, model, pictures, tmp_path, name):
    lines = "\n".join(map(json.dumps, LINES)) if name.endswith("jsonl") else TABLE
    (pictures / name).write_text(lines)
    flags = f"--pairs={pictures / name}", f"--out={tmp_path / 'c'}"
    status, output, error = command("encode", model, *flags)
    assert (status, error) == (0, "")
    assert "  'no.png': not found, expected a picture file; coded from its text\n" in output
    assert "  skipped 'a/06.png': not a picture of a known format" in output
    assert "5 codes of 16 bits in" in output
    assert ", 2 skipped, 1 coded from text alone (see skipped.jsonl)\n" in output
    first = next(iter(pair_entries(pictures / name)))
    assert (first.text, first.shown) == ("the cat face\nred", "the cat face / red")  # captions are lines
    codes, line = open_codes(tmp_path / "c"), "6" if name.endswith("jsonl") else "7"
    assert list(codes.items) == [
        {"id": "a/00.png", "text": "the cat face / red"},
        {"id": "no.png", "text": "red sea"},
        {"id": "02.png"},
        {"id": "05.png", "text": "nothing known"},
        {"id": line, "text": "ice-cream, sea"},
    ]
    assert (codes.modality, codes.root) == ("pair", str(pictures.resolve()))
    exported, seen = ExportedModel(model), [pictures / "02.png", pictures / "05.png"]
    picture = read_picture(pictures / "a" / "00.png", SIZE, "crop")
    expected = [
        exported.pair_outputs(picture[None], ["the cat face red"]).codes,
        exported.encode_texts(["red sea"]),
        exported.encode_images(seen),
        exported.encode_texts(["ice cream sea"]),
    ]
    np.testing.assert_array_equal(codes.codes, np.concatenate(expected))
    reasons = [json.loads(one)["reason"] for one in (tmp_path / "c" / "skipped.jsonl").open()]
    assert reasons[1].endswith("; none of its words is known to the model")
    assert reasons[2:] == ["neither a picture nor a text"]


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("p.csv", "path,label\na.png,x\n", "field 'text' or 'tags': empty in all 1 entries, expected pairs"),
        ("p.csv", "path,text\n,cat\n,sea\n", "field 'path': empty in all 2 entries, expected pairs"),
        ("p.csv", "file_id,words\na.png,x\n", "field 'path' not found, found columns .* expected path, text"),
        ("p.jsonl", '{"id": "a"}', "line 1: field 'path' not found"),
        ("p.xls", "", "found suffix '.xls', expected .csv"),
        ("p.csv", None, "p.csv: not found, expected a file of annotations"),
    ],
)
def test_a_wrong_file_of_pairs_is_named(tmp_path, name, lines, message):
    if lines is not None:
        (tmp_path / name).write_text(lines)
    with pytest.raises(DataError, match=message):
        pair_entries(tmp_path / name)


def test_lines_of_a_text_file_are_called_by_their_numbers(tmp_path):
    (tmp_path / "t.txt").write_text("\ufeffone cat \r\n\ntwo\n", encoding="utf-8")
    found = list(text_entries(tmp_path / "t.txt"))
    assert found == [Entry("1", "one cat"), Entry("2", ""), Entry("3", "two")]


def test_a_list_may_be_of_windows_or_have_blanks_around_its_paths(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/1.png", "b/2.png", " 3.png", "3.png"):
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("b\\1.png\n b/2.png \n 3.png\nc\\4.png\n")
    found = [entry.id for entry in picture_entries(tmp_path / "list.txt")]
    assert found == ["b/1.png", "b/2.png", " 3.png", "c\\4.png"]


@pytest.mark.parametrize("line", ["/etc/x.png", "a/../../x.png", ".", "a\0.png"])
def test_a_list_names_pictures_inside_its_folder_and_nothing_outside(tmp_path, line):
    (tmp_path / "list.txt").write_text(f"b/2.png\n\n{tmp_path.resolve()}/b/../1.png\n{line}\n")
    found = picture_entries(tmp_path / "list.txt")
    assert found.root == str(tmp_path.resolve())
    assert [entry.id for entry in itertools.islice(found, 2)] == ["b/2.png", "1.png"]
    message = r"list.txt: line 4: .*(is not inside|NUL byte).*expected a path on each line"
    with pytest.raises(DataError, match=message):
        list(found)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "line 2: column 2: Expecting property name"),
        (b"[1]", r"line 2: found \[1\], expected a JSON object"),
        (b'{"id": 3, "text": "a"}', "line 2: id is 3; expected a string"),
        (b'{"id": "a", "tags": ["b", 3]}', "line 2: neither 'text', a string, nor 'tags'"),
        (b"\xff", "line 2: byte 1 is 0xff, not UTF-8; expected a text on each line"),
        (b'{"text": "' + b"a" * 100_001 + b'"}', "characters, expected 100000 at most"),
    ],
)
def test_a_wrong_line_of_texts_is_named(tmp_path, line, message):
    (tmp_path / "t.jsonl").write_bytes(b'{"text": "good"}\n' + line + b"\n")
    with pytest.raises(DataError, match=message):
        list(text_entries(tmp_path / "t.jsonl"))


def test_a_collection_of_which_nothing_is_coded_is_refused(command, model, tmp_path):
    (tmp_path / "x.png").write_bytes(b"no")
    status, _, error = command("encode", model, f"--images={tmp_path}", f"--out={tmp_path / 'c'}")
    assert (status, "none of 1 pictures could be encoded; see skipped.jsonl" in error) == (1, True)


def test_codes_of_another_list_stay_as_they_are(command, model, pictures, tmp_path):
    out = tmp_path / "c"
    assert command("encode", model, f"--images={pictures}", f"--out={out}")[0] == 0
    before = content(out)
    for flags, message in (
        ([f"--images={pictures / 'a'}"], f"{pictures}', now it is '{pictures / 'a'}'; expected the same"),
        (
            [f"--images={pictures}", "--batch=3"],
            "holds codes of other entries or of another --batch",
        ),
        ([f"--images={pictures}", "--shard=1/2"], "holds codes of a run without shards"),
    ):
        status, _, error = command("encode", model, *flags, f"--out={out}")
        assert (status, message in error) == (1, True)
    assert content(out) == before
    note = read_note(out)
    busy = pytest.raises(RunError, match="another process is writing codes")
    with CodesWriter(out, note), busy:
        CodesWriter(out, note)


def test_several_devices_give_the_codes_of_one(whole, command, model, tmp_path, monkeypatch):
    (words, one), two = whole, [ExportedModel(model, device) for device in ("CPU:0", "CPU:1")]
    assert {weight.device[-5:] for weight in two[1]._model.signatures["encode_image"].variables} == {"CPU:1"}
    real, used = ExportedModel.codes_of_halves, []
    monkeypatch.setattr(
        ExportedModel, "codes_of_halves", lambda *halves: used.append(halves[0]) or real(*halves)
    )
    monkeypatch.setattr("gch.commands.encode.load_on_devices", lambda path: two)
    assert command(*words, f"--out={tmp_path}")[0] == 0
    assert content(tmp_path) == content(one)
    assert sorted(map(two.index, used)) == [0, 0, 0, 1, 1, 1]
    assert two[1].text_outputs(["cat"]).words.tolist() == [1]


def test_links_out_of_the_folder_are_skipped_and_no_link_is_written_through(command, model, tmp_path):
    folder, outside = tmp_path / "pictures", tmp_path / "outside"
    for place in (folder, outside):
        place.mkdir()
        Image.new("RGB", (20, 20), "red").save(place / "a.png")
    (folder / "inside.png").symlink_to(folder / "a.png")
    (folder / "out.png").symlink_to(outside / "a.png")
    (folder / "list.txt").write_text("a.png\nout.png\n")
    (folder / "pairs.csv").write_text("path,text\na.png,cat\nout.png,\n")
    for flag, source, ids in (
        ("images", folder, ["a.png", "inside.png"]),
        ("images", folder / "list.txt", ["a.png"]),
        ("pairs", folder / "pairs.csv", ["a.png"]),
    ):
        out = tmp_path / f"codes-{source.name}"
        status, output, _ = command("encode", model, f"--{flag}={source}", f"--out={out}")
        assert (status, "skipped 'out.png': a link to a file outside the folder" in output) == (0, True)
        codes = open_codes(out)
        assert [codes.items[row]["id"] for row in range(len(ids))] == ids
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "00000.codes").symlink_to(outside / "a.png")
    before = (outside / "a.png").read_bytes()
    status, _, error = command("encode", model, f"--images={folder}", f"--out={tmp_path / 'new'}")
    assert (status, "00000.codes: a link or no file" in error) == (1, True)
    assert (outside / "a.png").read_bytes() == before
