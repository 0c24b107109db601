"""Encoding collections: what is read, written, skipped, resumed, and split among machines."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exporting import BITS, SIZE, save_small_model
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gch.data.pictures import read_picture
from gch.errors import DataError, RunError
from gch.search.codes_folder import open_codes, read_note
from gch.search.encode import shard_range
from gch.search.entries import Entry, PictureFolder, PictureList, TextFile, survey
from gch.search.exported import ExportedModel

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
    (folder / ".hidden.png").touch()
    return folder


def content(folder: Path) -> tuple[bytes, bytes]:
    """Codes and items of a folder, its parts or shards one after the other."""
    shards = sorted(folder.glob("shard-*"), key=lambda path: int(path.name.split("-")[1])) or [folder]
    parts = [path.with_suffix("") for shard in shards for path in sorted(shard.glob("*.codes"))]
    return tuple(
        b"".join(part.with_suffix(suffix).read_bytes() for part in parts) for suffix in (".codes", ".items")
    )


def test_a_folder_of_pictures_is_coded_in_the_order_of_its_paths(command, model, pictures, tmp_path):
    status, output, error = command("encode", model, f"--images={pictures}", f"--out={tmp_path / 'c'}")
    assert (status, error) == (0, "")
    assert "  skipped 'a/06.png': no picture that is known here" in output
    assert f"22 codes of 16 bits in {tmp_path / 'c'}, 2 skipped (see skipped.jsonl)\n" in output
    codes = open_codes(tmp_path / "c")
    paths = [codes.items[row]["id"] for row in range(22)]
    assert paths == sorted(paths)
    assert [paths[row] for row in (0, 1, 7, 14)] == ["02.png", "05.png", "a/00.png", "b ü/01.png"]
    exported = ExportedModel(model)
    for row in (0, 9, 21):
        picture = read_picture(pictures / paths[row], SIZE, "crop")
        np.testing.assert_array_equal(codes.codes[row], exported.encode_pictures(picture[None]).codes[0])
    skipped = [json.loads(line) for line in (tmp_path / "c" / "skipped.jsonl").read_text().splitlines()]
    assert [one["id"] for one in skipped] == ["a/06.png", "empty.jpg"]
    assert (codes.bits, codes.modality, codes.root) == (BITS, "image", str(pictures.resolve()))


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_shards_join_to_the_run_without_shards(command, model, pictures, tmp_path, shards):
    flags = [f"--images={pictures}", "--batch=4", "--part_items=5"]
    assert command("encode", model, *flags, f"--out={tmp_path / 'one'}")[0] == 0
    for number in reversed(range(1, shards + 1)):
        shard = f"--shard={number}/{shards}"
        assert command("encode", model, *flags, f"--out={tmp_path / 'many'}", shard)[0] == 0
    assert content(tmp_path / "many") == content(tmp_path / "one")
    assert len(list((tmp_path / "one").glob("*.codes"))) == 5
    one, many = open_codes(tmp_path / "one"), open_codes(tmp_path / "many")
    np.testing.assert_array_equal(one.codes, many.codes)
    assert list(one.items) == list(many.items)


def test_a_shard_that_is_missing_is_noticed(command, model, pictures, tmp_path):
    for number in (1, 3):
        command(
            "encode", model, f"--images={pictures}", f"--out={tmp_path}", f"--shard={number}/3", "--batch=4"
        )
    with pytest.raises(DataError, match="shard 2 of 3 is missing"):
        open_codes(tmp_path)


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


def test_what_was_killed_goes_on_to_the_same_codes(command, model, pictures, tmp_path, monkeypatch):
    from gch.search import encode

    flags = ["encode", model, f"--images={pictures}", "--batch=4", "--part_items=6"]
    assert command(*flags, f"--out={tmp_path / 'whole'}")[0] == 0
    monkeypatch.setattr(encode, "SECONDS_BETWEEN_SAVES", 0)
    real, calls = ExportedModel.encode_pictures, []

    def stopped(self, batch):
        calls.append(len(batch))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, batch)

    monkeypatch.setattr(ExportedModel, "encode_pictures", stopped)
    status, _, error = command(*flags, f"--out={tmp_path / 'stopped'}")
    assert status == 130
    assert "the same command goes on from there" in error
    with pytest.raises(DataError, match="12 of 24 entries are encoded; expected all, run encode again"):
        open_codes(tmp_path / "stopped")
    # What a kill leaves: bytes that the note does not know of.
    for name in ("00001.codes", "00001.items", "skipped.jsonl"):
        with open(tmp_path / "stopped" / name, "ab") as file:
            file.write(b"half a li")
    status, output, _ = command(*flags, f"--out={tmp_path / 'stopped'}")
    assert "goes on after 12 of 24 pictures" in output
    assert len(calls) == 4 + 3
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")
    for name in ("skipped.jsonl", "codes.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    status, output, _ = command(*flags, f"--out={tmp_path / 'stopped'}")
    assert (status, len(calls)) == (0, 7)
    assert "was finished before" in output


def test_texts_and_tags_are_coded_and_those_without_a_known_word_skipped(command, model, tmp_path):
    lines = [
        {"id": "x", "text": "The cat face."},
        {"tags": ["Ice-Cream", "SEA"]},
        {"id": "z", "text": "nothing known"},
    ]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    status, output, _ = command(
        "encode", model, f"--texts={tmp_path / 'texts.jsonl'}", f"--out={tmp_path / 'c'}"
    )
    assert status == 0
    assert "skipped 'z': none of its words is known to the model" in output
    codes = open_codes(tmp_path / "c")
    assert list(codes.items) == [{"id": "x", "text": "The cat face."}, {"id": "2", "text": "Ice-Cream, SEA"}]
    expected = ExportedModel(model).encode_texts(["the cat face", ("ice-cream", "sea")])
    np.testing.assert_array_equal(codes.codes, expected.codes)


def test_lines_of_a_text_file_are_called_by_their_numbers(tmp_path):
    (tmp_path / "t.txt").write_text("\ufeffone cat \r\n\ntwo\n", encoding="utf-8")
    assert list(TextFile(tmp_path / "t.txt")) == [Entry("1", "one cat"), Entry("2", ""), Entry("3", "two")]


def test_a_list_names_pictures_inside_its_folder(tmp_path):
    (tmp_path / "list.txt").write_text(f"b/2.png\n\n{tmp_path.resolve()}/b/../1.png\n")
    found = PictureList(tmp_path / "list.txt")
    assert [entry.id for entry in found] == ["b/2.png", "1.png"]
    assert found.root == str(tmp_path.resolve())


@pytest.mark.parametrize("line", ["../x.png", "/etc/x.png", "a/../../x.png", ".", "a\0.png"])
def test_a_list_names_nothing_outside_its_folder(tmp_path, line):
    (tmp_path / "list.txt").write_text(f"good.png\n{line}\n")
    with pytest.raises(
        DataError, match=r"list.txt: line 2: .*(is not inside|NUL byte).*expected a path on each line"
    ):
        list(PictureList(tmp_path / "list.txt"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "line 2: column 2: Expecting property name"),
        (b"[1]", r"line 2: found \[1\], expected a JSON object"),
        (b'{"id": 3, "text": "a"}', "line 2: id is 3"),
        (b'{"id": "", "text": "a"}', "line 2: id is ''"),
        (b'{"id": "a"}', "line 2: neither 'text', a string, nor 'tags'"),
        (b'{"id": "a", "tags": ["b", 3]}', "line 2: neither 'text', a string, nor 'tags'"),
        (b"\xff", "line 2: byte 1 is 0xff, not UTF-8; expected a text on each line"),
        (b'{"text": "' + b"a" * 100_001 + b'"}', "characters, expected 100000 at most"),
    ],
)
def test_a_wrong_line_of_texts_is_named(tmp_path, line, message):
    (tmp_path / "t.jsonl").write_bytes(b'{"text": "good"}\n' + line + b"\n")
    with pytest.raises(DataError, match=message):
        list(TextFile(tmp_path / "t.jsonl"))


def test_the_digest_names_entries_and_the_rule(pictures, tmp_path):
    total, digest = survey(PictureFolder(pictures), "batches of 4")
    assert total == 24
    assert survey(PictureFolder(pictures), "batches of 4") == (total, digest)
    assert survey(PictureFolder(pictures), "batches of 8")[1] != digest
    assert survey(PictureFolder(pictures / "a"), "batches of 4")[1] != digest


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        ([], 2, "expected either --images=FOLDER or LIST, or --texts=FILE"),
        (["--images=PICTURES", "--texts=x", "--out=OUT"], 2, "expected either --images"),
        (["--images=PICTURES"], 2, "out is missing"),
        (["--images=PICTURES", "--out=OUT", "--shard=0/3"], 2, "shard is '0/3'; expected i/n"),
        (["--images=PICTURES", "--out=OUT", "--shard=4/3"], 2, "shard is '4/3'"),
        (["--images=PICTURES", "--out=OUT", "--shard=half"], 2, "shard is 'half'"),
        (["--images=PICTURES", "--out=OUT", "--batch=-1"], 2, "batch is -1; expected 0 to"),
        (["--images=PICTURES", "--out=OUT", "--part_items=0"], 2, "part_items is 0; expected 1 to"),
        (["--images=MISSING", "--out=OUT"], 1, "not found; expected a folder of pictures"),
        (["--images=PICTURES/02.png", "--out=OUT"], 1, "is a picture; expected a folder"),
        (["--texts=MISSING", "--out=OUT"], 1, "not found; expected a text on each line"),
        (["--images=EMPTY", "--out=OUT"], 1, "nothing to encode in it"),
        (["--images=PICTURES", "--out=PICTURES"], 1, "holds other files and no codes.json"),
    ],
)
def test_wrong_calls_are_refused(command, model, pictures, tmp_path, flags, status, message):
    (tmp_path / "empty").mkdir()
    places = {
        "PICTURES": pictures,
        "OUT": tmp_path / "o",
        "MISSING": tmp_path / "no",
        "EMPTY": tmp_path / "empty",
    }
    for name, path in places.items():
        flags = [flag.replace(name, str(path)) for flag in flags]
    found, _, error = command("encode", model, *flags)
    assert found == status
    assert message in error
    assert "Traceback" not in error


def test_no_model_is_refused(command, tmp_path):
    status, _, error = command("encode", tmp_path, f"--images={tmp_path}", f"--out={tmp_path / 'o'}")
    assert status == 1
    assert "no saved_model.pb" in error
    assert command("encode", f"--images={tmp_path}", f"--out={tmp_path / 'o'}")[0] == 2


def test_a_model_without_words_or_pictures_says_so(command, pictures, tmp_path):
    save_small_model(tmp_path / "model", vocabulary=None, features=6)
    (tmp_path / "t.txt").write_text("cat\n")
    for flag, message in (
        (f"--texts={tmp_path / 't.txt'}", "no encode_text_string, as small has no words"),
        (f"--images={pictures}", "no encode_image, as small has no pictures"),
    ):
        status, _, error = command("encode", tmp_path / "model", flag, f"--out={tmp_path / 'o'}")
        assert status == 1
        assert message in error
    assert not (tmp_path / "o").exists()


def test_codes_of_another_list_are_not_overwritten(command, model, pictures, tmp_path):
    out = tmp_path / "c"
    assert command("encode", model, f"--images={pictures}", f"--out={out}")[0] == 0
    before = content(out)
    for flags in ([f"--images={pictures / 'a'}"], [f"--images={pictures}", "--batch=3"]):
        status, _, error = command("encode", model, *flags, f"--out={out}")
        assert status == 1
        assert "expected the same command, or a new folder" in error
    status, _, error = command("encode", model, f"--images={pictures}", f"--out={out}", "--shard=1/2")
    assert status == 1
    assert "holds codes of a run without shards" in error
    assert content(out) == before


def test_a_folder_of_codes_that_lost_bytes_is_not_gone_on_with(command, model, pictures, tmp_path):
    assert command("encode", model, f"--images={pictures}", f"--out={tmp_path / 'c'}")[0] == 0
    path = tmp_path / "c" / "00000.codes"
    path.write_bytes(path.read_bytes()[:-1])
    status, _, error = command("encode", model, f"--images={pictures}", f"--out={tmp_path / 'c'}")
    assert status == 1
    assert "43 bytes, expected 44 or more" in error


def test_two_processes_do_not_write_to_one_folder(command, model, pictures, tmp_path):
    from gch.search.codes_writer import CodesWriter

    assert command("encode", model, f"--images={pictures}", f"--out={tmp_path / 'c'}")[0] == 0
    note = read_note(tmp_path / "c")
    with (
        CodesWriter(tmp_path / "c", note, 10),
        pytest.raises(RunError, match="another process is writing codes"),
    ):
        CodesWriter(tmp_path / "c", note, 10)


def test_nothing_but_broken_pictures_is_an_error(command, model, tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "x.png").write_bytes(b"no")
    status, _, error = command("encode", model, f"--images={tmp_path / 'p'}", f"--out={tmp_path / 'c'}")
    assert status == 1
    assert "none of 1 pictures could be encoded; see skipped.jsonl" in error


def test_a_model_whose_codes_depend_on_the_batch_gets_its_own(command, pictures, tmp_path):
    save_small_model(tmp_path / "model", encoding_batch=8)
    status, _, error = command(
        "encode", tmp_path / "model", f"--images={pictures}", f"--out={tmp_path / 'c'}", "--batch=4"
    )
    assert status == 2
    assert "batch is 4; the model needs 8" in error


TWO_DEVICES = """
import sys
import numpy as np
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from gch.search.exported import ExportedModel
from gch.search.replicas import Replicas

two = Replicas(sys.argv[1], ["CPU:0", "CPU:1"])
assert two.count == 2
batches = [np.random.default_rng(n).integers(0, 256, (3 + n, 32, 32, 3), np.uint8) for n in range(2)]
alone = ExportedModel(sys.argv[1])
for given in (batches, batches[:1]):
    found = two.encode_pictures(given)
    assert len(found) == len(given)
    for one, batch in zip(found, given):
        np.testing.assert_array_equal(one.codes, alone.encode_pictures(batch).codes)
assert two.model.encode_texts(["cat"]).words.tolist() == [1]
print("the same")
"""


def test_several_devices_give_the_codes_of_one(model):
    found = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, str(model)], capture_output=True, text=True, timeout=200
    )
    assert found.stdout == "the same\n", found.stderr
