"""Indexes over codes: exactness, several sources, damage, and what may not be lost."""

import contextlib
import io
import json
import os
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from coded import MODEL, clustered, nearest, saved
from hypothesis import given
from hypothesis import strategies as st

from gch.cli import main
from gch.errors import DataError, RunError, SettingError
from gch.search import index
from gch.search.codes_folder import CodesNote, CodesWriter, Items, item_line, open_codes
from gch.search.hamming import Found
from gch.search.index import build_index, open_index
from gch.search.index_kinds import AUTO, FLAT_ITEMS, all_of, choose, complete, group_equal
from gch.storage import lock


@given(st.data())
def test_flat_finds_the_first_by_distance_then_row_and_others_the_nearest(tmp_path_factory, data):
    width = data.draw(st.integers(1, 9), "bytes")
    items = data.draw(st.integers(1, 40), "items")
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    # Few different bytes, so that distances tie and codes are equal.
    codes, queries = (random.integers(0, 4, (n, width), np.uint8) for n in (items, 3))
    count = data.draw(st.integers(1, 50), "count")
    folder = tmp_path_factory.mktemp("index")
    rows, distances = nearest(codes, queries, count)
    source = saved(folder / "codes", codes)
    for kind in ("flat", "hnsw"):
        build_index([source], folder / kind, kind, {"efSearch": 500} if kind == "hnsw" else None)
        found = open_index(folder / kind).parts["image"].search(queries, count)
        np.testing.assert_array_equal(found.distances, distances)
        assert all(len(set(row)) == min(count, items) for row in found.rows.tolist())
        away = np.bitwise_count(codes[found.rows] ^ queries[:, None]).sum(axis=2)
        np.testing.assert_array_equal(away, distances)
    found = open_index(folder / "codes").parts["image"].search(queries, count)
    np.testing.assert_array_equal(found.rows, rows)


def test_rows_of_equal_codes_by_hand():
    equal = group_equal(np.array([[5, 1], [3, 1], [5, 1], [5, 0], [5, 1], [3, 1]], np.uint8))
    groups = {int(rows[0]): rows.tolist() for rows in np.split(equal.rows, equal.starts[1:-1])}
    assert groups == {0: [0, 2, 4], 1: [1, 5], 3: [3]}
    number = {int(row): number for number, row in enumerate(equal.distinct)}
    found = Found(
        np.array([[number[1], number[0], -1], [number[3], -1, -1]]), np.array([[0, 2, -1], [1, -1, -1]])
    )
    rows, distances = all_of(equal, found, 4)
    assert rows.tolist() == [[1, 5, 0, 2], [3, -1, -1, -1]]
    assert distances.tolist() == [[0, 0, 2, 2], [1, -1, -1, -1]]


@pytest.mark.parametrize(
    ("kind", "few"), [("hash", {"b": 6, "nflip": 0}), ("hnsw", {"M": 2, "efConstruction": 2, "efSearch": 1})]
)
def test_other_kinds_find_nearly_all_and_remember_their_parameters(tmp_path, kind, few):
    codes, queries = clustered(5000), clustered(50, seed=1)
    source = saved(tmp_path / "c", codes)
    _, distances = nearest(codes, queries, 10)
    share = {}
    for name, parameters in (("few", few), ("usual", {})):
        build_index([source], tmp_path / name, kind, parameters)
        part = open_index(tmp_path / name).parts["image"]
        assert (part.kind, len(part)) == (kind, 5000)
        found = part.search(queries, 10)
        share[name] = (found.distances <= distances[:, -1:]).mean()
        assert (np.diff(found.distances, axis=1) >= 0).all()
        for query, rows, away in zip(queries, *found, strict=True):
            assert len(set(rows)) == 10
            np.testing.assert_array_equal(np.bitwise_count(codes[rows] ^ query).sum(1), away)
    assert share["few"] < share["usual"]
    assert share["usual"] > 0.95


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("flat", {}), ("hash", {}), ("hash", {"b": 64, "nflip": 0}), ("hnsw", {"M": 2, "efSearch": 1})],
)
def test_no_kind_finds_fewer_than_asked_for_where_nothing_is_near(tmp_path, kind, parameters):
    codes = clustered(300)
    queries = np.concatenate([~codes[:2], codes[:2]])  # opposite to a code, and near to some
    build_index([saved(tmp_path / "c", codes)], tmp_path / "i", kind, parameters)
    search = open_index(tmp_path / "i").parts["image"].search
    for count in (10, 300, 1000):
        found, expected = search(queries, count), nearest(codes, queries, count)[1]
        assert [len(set(row)) for row in found.rows.tolist()] == [min(count, 300)] * 4
        if kind == "flat" or "nflip" in parameters:  # none is in the bucket of a query
            np.testing.assert_array_equal(found.distances[:2], expected[:2])
    assert search(queries[:0], 5).rows.shape == (0, 5)


def test_a_graph_finds_all_of_many_equal_codes(tmp_path):
    """One over the items themselves links equals to equals, and finds few of the others."""
    codes, queries = clustered(20, seed=3)[np.arange(4000) % 20], clustered(30, seed=1)
    build_index([saved(tmp_path / "c", codes)], tmp_path / "i", "hnsw")
    found = open_index(tmp_path / "i").parts["image"].search(queries, 300)
    np.testing.assert_array_equal(found.distances, nearest(codes, queries, 300)[1])


def test_images_and_texts_of_several_folders_are_joined(tmp_path):
    parts = [clustered(5), clustered(7, seed=1), clustered(3, seed=2)]
    sources = [
        saved(tmp_path / "a", parts[0], root=str(tmp_path / "pa")),
        saved(tmp_path / "t", parts[2], modality="text"),
        saved(tmp_path / "b", parts[1], root=str(tmp_path / "pb")),
    ]
    build_index(sources, tmp_path / "i")
    for name in ("a", "b", "t"):
        for path in (tmp_path / name).iterdir():
            path.unlink()
    index = open_index(tmp_path / "i")
    assert {name: len(part) for name, part in index.parts.items()} == {"image": 12, "text": 3}
    images = index.parts["image"]
    np.testing.assert_array_equal([images.code(row) for row in range(12)], np.concatenate(parts[:2]))
    assert images.items([6]) == [{"id": "b/1"}]
    assert images.picture_path(4, "a/4") == tmp_path.resolve() / "pa" / "a" / "4"
    assert images.picture_path(5, "b/0") == tmp_path.resolve() / "pb" / "b" / "0"
    assert index.parts["text"].items([2]) == [{"id": "t/2", "text": "a text"}]
    for read in (images.code, lambda row: images.items([row])):
        for row in (-1, 12):
            with pytest.raises(DataError, match=f"no image {row}; expected 0 to 11"):
                read(row)


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("ivf", {}, "kind is 'ivf'; expected one of auto, flat, hash, hnsw"),
        ("hnsw", {"m": 3}, "hnsw has no parameter 'm'; expected M, efConstruction, efSearch"),
        ("flat", {"M": 3}, "flat has no parameter 'M'; expected none"),
        ("hnsw", {"M": 1}, "M is 1; expected 2 to 512"),
        ("hash", {"b": 17}, "b is 17; expected 1 to 16"),
        ("hash", {"b": 2, "nflip": 3}, "nflip is 3; expected 0 to 2"),
    ],
)
def test_the_kind_goes_by_the_number_of_items_and_wrong_parameters_are_named(kind, given, message):
    with pytest.raises(SettingError, match=message):
        complete(choose(kind, 1), given, 16)
    assert complete("hash", {}, 8) == {"b": 8, "nflip": 4}
    assert [choose(AUTO, items) for items in (FLAT_ITEMS, FLAT_ITEMS + 1)] == ["flat", "hash"]


def test_an_index_of_other_codes_is_not_overwritten(tmp_path):
    first, second = saved(tmp_path / "a", clustered(4)), saved(tmp_path / "b", clustered(4, seed=1))
    build_index([first], tmp_path / "i", "hnsw")
    build_index([first], tmp_path / "i", "flat")  # the same codes in another way
    assert not (tmp_path / "i" / "image.faiss").exists()
    build_index([first], tmp_path / "i", "hnsw")
    with pytest.raises(RunError, match="holds an index of other codes; expected a new folder"):
        build_index([second], tmp_path / "i")
    assert open_index(tmp_path / "i").parts["image"].kind == "hnsw"
    message = "i: another process is building this index"
    with lock(tmp_path / "i", ""), pytest.raises(RunError, match=message):
        build_index([first], tmp_path / "i")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    with pytest.raises(RunError, match="holds something other than an index"):
        build_index([first], tmp_path / "mine")
    assert os.listdir(tmp_path / "mine") == ["letter"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "i", "mine"]


def test_a_build_that_fails_leaves_what_was_there_and_may_be_repeated(tmp_path, monkeypatch):
    source = saved(tmp_path / "a", clustered(4))
    build_index([source], tmp_path / "i", "hnsw")
    before = {path.name: path.read_bytes() for path in (tmp_path / "i").iterdir()}

    def full(*arguments):
        raise OSError(28, "No space left on device")

    for place in ("write_note_file", "_put_in_place"):
        with monkeypatch.context() as patch:
            patch.setattr(index, place, full)
            for out in ("i", "new"):
                with pytest.raises(RunError, match=f"{out}: cannot be written, No space left"):
                    build_index([source], tmp_path / out)
    assert {path.name: path.read_bytes() for path in (tmp_path / "i").iterdir()} == before
    with pytest.raises(DataError, match=r"no index\.json"):
        open_index(tmp_path / "new")
    # What a kill leaves: files without index.json.
    (tmp_path / "new" / ".gch-unfinished-x").mkdir()
    (tmp_path / "new" / "text.codes").write_bytes(b"half")
    build_index([source], tmp_path / "new")
    assert set(os.listdir(tmp_path / "new")) == {".lock", "image.codes", "image.items", "index.json"}


@pytest.mark.parametrize("kind", ["flat", "hash"])  # hash could not be opened
def test_a_modality_of_which_nothing_was_coded_is_left_out(tmp_path, kind):
    images = saved(tmp_path / "images", clustered(20))
    texts = saved(tmp_path / "texts", np.empty((0, 8), np.uint8), "text")
    build_index([images, texts], tmp_path / "index", kind)
    assert {name: len(part) for name, part in open_index(tmp_path / "index").parts.items()} == {"image": 20}


def test_no_codes_are_no_index(tmp_path):
    empty = saved(tmp_path / "a", np.empty((0, 8), np.uint8))
    with pytest.raises(DataError, match="no codes to index"):
        build_index([empty], tmp_path / "i")
    with pytest.raises(DataError, match=r"no index\.json or codes\.json in it; expected a folder"):
        open_index(tmp_path)
    assert open_index(tmp_path / "a").parts["image"].search(clustered(2), 5).rows.shape == (2, 0)


def damage(path: Path, change: object) -> None:
    """Removes a file, writes other bytes to it, or changes fields of a note, or of its images."""
    if change is None:
        path.unlink()
    elif isinstance(change, dict):
        note = json.loads(path.read_text())
        note["parts"]["image"] |= change.get("image", {})
        path.write_text(json.dumps(note | {name: one for name, one in change.items() if name != "image"}))
    else:
        path.write_bytes(change if isinstance(change, bytes) else change(path.read_bytes()))


OLD = {"kind": "multihash", "parameters": {"nhash": 4, "b": 16, "nflip": 1}}


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("image.codes", b"short", "5 bytes, expected 4000 bytes; 500 codes of 8"),
        ("image.codes", None, "missing, expected 4000 bytes"),
        ("image.codes", lambda content: content[:-1] + bytes([content[-1] ^ 8]), "codes: damaged, its check"),
        ("image.items", b"{}\n", "1 lines, expected 500 items"),
        ("image.equal", lambda content: b"\1" * len(content), "equal: damaged; build"),
        ("image.faiss", lambda content: content[:-9], "build the index again"),
        ("image.faiss", lambda content: b"x" * len(content), "damaged, its checksum differs"),
        ("index.json", b"{", "index.json: cannot be read as JSON"),
        ("index.json", {"bits": 63}, "bits is 63, expected a multiple of 8"),
        ("index.json", {"parts": {}}, r"parts are \[\], expected image, text or pair"),
        ("index.json", {"parts": [3]}, r"parts is \[3\], expected an object"),
        ("index.json", {"more": 1}, "'more' is no field of it, expected bits, model, parts"),
        ("index.json", {"format": 9}, "not a note of format 1"),
        ("index.json", {"image": {"distinct": -1}}, "distinct is -1, expected a whole number"),
        ("index.json", {"image": {"parameters": {"b": 3}}}, r"'hnsw' with \['b'\]; expected flat"),
        (
            "index.json",
            {"image": OLD},
            r"'multihash' with \['nhash', 'b', 'nflip'\]; expected flat, hash, hnsw; build the index again",
        ),
    ],
)
def test_damage_is_named(tmp_path, file, change, message):
    source = saved(tmp_path / "c", clustered(500))
    build_index([source], tmp_path / "i", "hnsw")
    damage(tmp_path / "i" / file, change)
    with pytest.raises(DataError, match=message):
        open_index(tmp_path / "i")
    if "multihash" in message:
        build_index([source], tmp_path / "i", "hash")
        assert open_index(tmp_path / "i").parts["image"].kind == "hash"


@pytest.mark.parametrize("earlier", [False, True])
def test_a_flipped_bit_is_found_by_a_checksum_that_earlier_versions_did_not_keep(
    tmp_path, monkeypatch, earlier
):
    monkeypatch.setattr("gch.search.codes_folder.PART_ITEMS", 20)
    codes, path = clustered(50), tmp_path / "codes.json"
    note = CodesNote(
        bits=64, modality="image", model=MODEL, root="/r", source="s", shard=(1, 1), entries=len(codes)
    )
    for start, stop in ((0, 27), (27, 50)):  # the second resumes in the middle of a part
        with CodesWriter(tmp_path, note) as writer:
            writer.write(codes[start:stop], ((str(row), None) for row in range(start, stop)))
            writer.save(stop)
        if earlier and start == 0:
            noted = json.loads(path.read_text())
            noted["parts"] = [{n: v for n, v in one.items() if n != "checksum"} for one in noted["parts"]]
            path.write_text(json.dumps(noted))
    np.testing.assert_array_equal(open_codes(tmp_path).codes, codes)
    file = tmp_path / "00001.codes"
    damage(file, lambda content: content[:50] + bytes([content[50] ^ 1]) + content[51:])
    damaged = pytest.raises(DataError, match=r"00001\.codes: damaged, its checksum differs; encode into")
    with contextlib.nullcontext() if earlier else damaged:
        open_codes(tmp_path)


def test_items_are_found_in_a_file_of_which_a_part_is_in_memory(tmp_path):
    texts = ["x" * length for length in (5_000_000, 2**20, 1, 2**20 - 12, 3_000_000)]
    (tmp_path / "items").write_bytes(b"".join(item_line(str(row), text) for row, text in enumerate(texts)))
    tracemalloc.start()
    try:
        items = Items([(tmp_path / "items", len(texts))])
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    assert [items[row]["text"] == text for row, text in enumerate(texts)] == [True] * 5


def test_pictures_outside_their_folder_have_no_path(tmp_path):
    root = tmp_path / "pictures"
    root.mkdir()
    (tmp_path / "secret").write_text("x")
    os.symlink(tmp_path / "secret", root / "link.png")
    codes = saved(tmp_path / "c", clustered(4), root=str(root))
    names = ["../secret", str(tmp_path / "secret"), "link.png", "a\0b"]
    (tmp_path / "c" / "00000.items").write_text("".join(json.dumps({"id": name}) + "\n" for name in names))
    part = open_index(codes.path).parts["image"]
    for row in range(4):
        with pytest.raises(DataError, match="expected a picture inside"):
            part.picture_path(row, names[row])


def test_many_threads_search_at_once(tmp_path):
    codes, queries = clustered(2000), clustered(64, seed=1)
    source = saved(tmp_path / "c", codes)
    for kind in ("flat", "hash", "hnsw"):
        build_index([source], tmp_path / kind, kind)
        search = open_index(tmp_path / kind).parts["image"].search
        with ThreadPoolExecutor(8) as pool:
            alone = list(pool.map(lambda query: search(query[None], 5).distances[0], queries))  # noqa: B023
        np.testing.assert_array_equal(alone, search(queries, 5).distances)


def test_the_command_prints_what_it_built_and_why(command, tmp_path):
    saved(tmp_path / "a", clustered(40))
    saved(tmp_path / "t", clustered(30), modality="text")
    status, output, error = command("index", tmp_path / "a", tmp_path / "t", f"--out={tmp_path / 'i'}")
    assert (status, error) == (0, "")
    assert f"40 images: flat index, exact (auto: flat up to {FLAT_ITEMS:,}, hash above)\n" in output
    assert "30 texts: flat index, exact" in output
    assert f"Codes of 64 bits in {tmp_path / 'i'}, 0.0 MB" in output
    status, output, _ = command(
        "index", tmp_path / "a", f"--out={tmp_path / 'h'}", "--kind=hnsw", "--parameters=M=8,efSearch=9"
    )
    assert "40 images: hnsw index, M=8, efConstruction=80, efSearch=9\n" in output


def test_a_terminal_that_lacks_a_character_shows_its_number(tmp_path, monkeypatch):
    saved(tmp_path / "a", clustered(4))
    out = tmp_path / "größer \udcff"
    shown = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr("sys.stdout", shown)
    assert main(["gch", "index", str(tmp_path / "a"), f"--out={out}"]) == 0
    shown.flush()
    assert b"gr\\xf6\\xdfer \\udcff, 0.0 MB" in shown.buffer.getvalue()


def test_without_faiss_flat_works_and_others_say_what_to_install(command, tmp_path, monkeypatch):
    codes = clustered(40)
    saved(tmp_path / "a", codes)
    monkeypatch.setitem(sys.modules, "faiss", None)
    status, _, error = command("index", tmp_path / "a", f"--out={tmp_path / 'h'}", "--kind=hash")
    assert status == 1
    assert 'FAISS is not installed; expected pip install "gch[search]"' in error
    assert not (tmp_path / "h").exists()
    assert command("index", tmp_path / "a", f"--out={tmp_path / 'i'}")[0] == 0
    found = open_index(tmp_path / "i").parts["image"].search(codes[:5], 40)
    np.testing.assert_array_equal(found, nearest(codes, codes[:5], 40))
