"""Indexes over codes: exactness, several sources, damage, and what may not be lost."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from coded import nearest, saved
from hypothesis import given, settings
from hypothesis import strategies as st

from gch.errors import DataError, RunError, SettingError
from gch.search import index_build
from gch.search.codes_folder import open_codes
from gch.search.index import open_index
from gch.search.index_build import build_index
from gch.search.index_kinds import AUTO, FLAT_ITEMS, choose, complete

BITS = 64


def clustered(count: int, seed: int = 0) -> np.ndarray:
    """Codes near 20 centres, many of them equal."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).random((20, BITS)) < 0.5
    flips = random.random((count, BITS)) < random.beta(0.7, 12, (count, 1))
    return np.packbits(centres[random.integers(0, 20, count)] ^ flips, axis=1)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_flat_index_finds_the_first_by_distance_then_row(tmp_path_factory, data):
    width = data.draw(st.integers(1, 9), "bytes")
    items = data.draw(st.integers(1, 40), "items")
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    # Few different bytes, so that distances tie.
    codes, queries = (random.integers(0, 4, (n, width), np.uint8) for n in (items, 3))
    count = data.draw(st.integers(1, 50), "count")
    folder = tmp_path_factory.mktemp("index")
    build_index([saved(folder / "codes", codes)], folder / "index", "flat")
    for index in (open_index(folder / "index"), open_index(folder / "codes")):
        found = index.parts["image"].search(queries, count)
        assert found.rows.shape == found.distances.shape == (3, count)
        rows, distances = nearest(codes, queries, count)
        np.testing.assert_array_equal(found.rows[:, : rows.shape[1]], rows)
        np.testing.assert_array_equal(found.distances[:, : rows.shape[1]], distances)
        assert (found.rows[:, items:] == -1).all()
        assert (found.distances[:, items:] == -1).all()


def test_distances_by_hand(tmp_path):
    codes = np.array([[0b11110000], [0b11111111], [0b00000000], [0b11110001]], np.uint8)
    build_index([saved(tmp_path / "c", codes)], tmp_path / "i")
    found = open_index(tmp_path / "i").parts["image"].search(np.array([[0b11110000]], np.uint8), 4)
    assert found.rows.tolist() == [[0, 3, 1, 2]]
    assert found.distances.tolist() == [[0, 1, 4, 4]]


@pytest.mark.parametrize(("kind", "parameters"), [("hash", {}), ("multihash", {"nflip": 3}), ("hnsw", {})])
def test_other_kinds_find_nearly_all_once_saved(tmp_path, kind, parameters):
    codes, queries = clustered(5000), clustered(50, seed=1)
    build_index([saved(tmp_path / "c", codes)], tmp_path / "i", kind, parameters)
    part = open_index(tmp_path / "i").parts["image"]
    assert (part.kind, len(part)) == (kind, 5000)
    found = part.search(queries, 10)
    _, distances = nearest(codes, queries, 10)
    assert ((found.rows >= 0) & (found.distances <= distances[:, -1:])).mean() > 0.95
    assert (np.diff(np.where(found.distances < 0, 99, found.distances), axis=1) >= 0).all()
    for query, rows, away in zip(queries, *found, strict=True):
        held = rows >= 0
        assert held[:3].all()
        assert len(set(rows[held])) == held.sum()
        assert (away[~held] == -1).all()
        np.testing.assert_array_equal(np.bitwise_count(codes[rows[held]] ^ query).sum(axis=1), away[held])


def test_a_graph_finds_all_of_many_equal_codes(tmp_path):
    """One over the items themselves links equals to equals, and finds few of the others."""
    codes, queries = clustered(20, seed=3)[np.arange(4000) % 20], clustered(30, seed=1)
    build_index([saved(tmp_path / "c", codes)], tmp_path / "i", "hnsw")
    found = open_index(tmp_path / "i").parts["image"].search(queries, 300)
    np.testing.assert_array_equal(found.distances, nearest(codes, queries, 300)[1])


@pytest.mark.parametrize(
    ("kind", "few", "many"),
    [
        ("hnsw", {"M": 2, "efConstruction": 2, "efSearch": 1}, {}),
        ("hash", {"nflip": 0}, {}),
        ("multihash", {"nflip": 0}, {"nflip": 3}),
    ],
)
def test_parameters_are_saved_with_the_index(tmp_path, kind, few, many):
    codes = np.random.default_rng(0).integers(0, 256, (3000, 8), np.uint8)
    queries = np.random.default_rng(1).integers(0, 256, (50, 8), np.uint8)
    source, found = saved(tmp_path / "c", codes), []
    for number, parameters in enumerate((few, many)):
        note = build_index([source], tmp_path / f"i{number}", kind, parameters)
        assert note.parts["image"].parameters.items() >= parameters.items()
        distances = open_index(tmp_path / f"i{number}").parts["image"].search(queries, 5).distances
        found.append((distances == nearest(codes, queries, 5)[1]).mean())
    assert found[0] < found[1]


def test_images_and_texts_of_several_folders_are_joined(tmp_path):
    parts = [clustered(5), clustered(7, 1), clustered(3, 2)]
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
    assert images.item(6) == {"id": "b/1"}
    assert images.picture_path(4) == tmp_path.resolve() / "pa" / "a" / "4"
    assert images.picture_path(5) == tmp_path.resolve() / "pb" / "b" / "0"
    assert index.parts["text"].item(2) == {"id": "t/2", "text": "a text"}
    for row in (-1, 12):
        with pytest.raises(IndexError):
            images.code(row)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"model": "n" * 64}, "by the model nnnn"), ({"codes": clustered(4)[:, :4]}, "codes of 32 bits")],
)
def test_codes_of_different_models_are_not_mixed(tmp_path, change, message):
    first = saved(tmp_path / "a", clustered(4))
    second = saved(tmp_path / "b", **({"codes": clustered(4)} | change))
    with pytest.raises(
        DataError, match=f"{tmp_path}/b.*{message}.*{tmp_path}/a.*expected codes of one model"
    ):
        build_index([first, second], tmp_path / "i")
    assert not (tmp_path / "i").exists()


def test_auto_goes_by_the_number_of_items():
    assert choose(AUTO, FLAT_ITEMS) == "flat"
    assert choose(AUTO, FLAT_ITEMS + 1) == "hash"
    assert choose("multihash", 1) == "multihash"


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("hnsw", {"m": 3}, "hnsw has no parameter 'm'; expected M, efConstruction, efSearch"),
        ("flat", {"M": 3}, "flat has no parameter 'M'; expected none"),
        ("hnsw", {"M": 1}, "M is 1; expected 2 to 512"),
        (
            "multihash",
            {"nhash": 8, "b": 16},
            "nhash x b is 8 x 16; expected 64 at most, the bits of a code",
        ),
        ("multihash", {"b": 2, "nflip": 3}, "nflip is 3; expected b = 2 at most"),
    ],
)
def test_wrong_parameters_are_named(kind, given, message):
    with pytest.raises(SettingError, match=message):
        complete(kind, given, BITS)
    with pytest.raises(
        SettingError, match="kind is 'ivf'; expected one of auto, flat, hash, multihash, hnsw"
    ):
        choose("ivf", 3)


def test_tables_of_short_codes_share_their_bits():
    assert complete("multihash", {}, 16) == {"nhash": 4, "b": 4, "nflip": 1}
    assert complete("hash", {}, 8) == {"b": 8, "nflip": 4}


def test_an_index_of_other_codes_is_not_overwritten(tmp_path):
    first, second = saved(tmp_path / "a", clustered(4)), saved(tmp_path / "b", clustered(4, 1))
    build_index([first], tmp_path / "i")
    build_index([first], tmp_path / "i", "hnsw")  # the same codes in another way
    with pytest.raises(RunError, match="holds an index of other codes; expected a new folder"):
        build_index([second], tmp_path / "i")
    assert open_index(tmp_path / "i").parts["image"].kind == "hnsw"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    with pytest.raises(RunError, match="holds something else than an index"):
        build_index([first], tmp_path / "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "i", "mine"]


def test_a_build_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    source = saved(tmp_path / "a", clustered(4))
    build_index([source], tmp_path / "i")
    before = (tmp_path / "i" / "index.json").read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index_build, "write_note_file", full)
    for out in ("i", "new"):
        with pytest.raises(RunError, match=f"{out}: cannot be written, No space left"):
            build_index([source], tmp_path / out)
    assert (tmp_path / "i" / "index.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "i"]


def test_no_codes_are_no_index(tmp_path):
    empty = saved(tmp_path / "a", np.empty((0, 8), np.uint8))
    with pytest.raises(DataError, match="no codes to index"):
        build_index([empty], tmp_path / "i")
    with pytest.raises(DataError, match=r"no index\.json or codes\.json in it; expected a folder"):
        open_index(tmp_path)


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("image.codes", lambda path: path.write_bytes(b"short"), "5 bytes, expected 500 codes of 8"),
        ("image.codes", Path.unlink, "cannot be read"),
        ("image.items", lambda path: path.write_bytes(b"{}\n"), "1 lines, expected 500 items"),
        ("image.equal", Path.unlink, "0 bytes, expected .* build the index again"),
        ("image.faiss", Path.unlink, "0 bytes, expected .* build the index again"),
        ("image.faiss", lambda path: path.write_bytes(path.read_bytes()[:-9]), "build the index again"),
        ("image.faiss", lambda path: path.write_bytes(b"x" * path.stat().st_size), "FAISS cannot read it"),
        ("index.json", lambda path: path.write_text("{"), "not the note of an index"),
        ("index.json", lambda path: edit(path, bits=63), "not the note of an index, 63 bits"),
        ("index.json", lambda path: edit(path, parts={}), "not the note of an index, model .* parts none"),
        ("index.json", lambda path: edit(path, format=9), "another format than 1"),
    ],
)
def test_damage_is_told(tmp_path, file, damage, message):
    build_index([saved(tmp_path / "c", clustered(500))], tmp_path / "i", "hnsw")
    damage(tmp_path / "i" / file)
    with pytest.raises(DataError, match=message):
        open_index(tmp_path / "i")


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_pictures_outside_their_folder_have_no_path(tmp_path):
    root = tmp_path / "pictures"
    root.mkdir()
    (tmp_path / "secret").write_text("x")
    os.symlink(tmp_path / "secret", root / "link.png")
    codes = saved(tmp_path / "c", clustered(4), root=str(root))
    items = tmp_path / "c" / "00000.items"
    names = ["../secret", str(tmp_path / "secret"), "link.png", "a\0b"]
    items.write_text("".join(json.dumps({"id": name}) + "\n" for name in names))
    build_index([open_codes(codes.path)], tmp_path / "i")
    part = open_index(tmp_path / "i").parts["image"]
    for row in range(4):
        with pytest.raises(DataError, match=r"expected (a picture|one) inside"):
            part.picture_path(row)


def test_many_threads_search_at_once(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    codes, queries = clustered(2000), clustered(64, 1)
    for kind in ("flat", "hash", "hnsw", "multihash"):
        build_index([saved(tmp_path / f"c{kind}", codes)], tmp_path / kind, kind)
        part = open_index(tmp_path / kind).parts["image"]
        together = part.search(queries, 5).distances
        with ThreadPoolExecutor(8) as pool:
            alone = list(pool.map(lambda query: part.search(query[None], 5).distances[0], queries))  # noqa: B023
        np.testing.assert_array_equal(alone, together)


def test_the_command_tells_what_it_built_and_why(command, tmp_path):
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


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--out=OUT"], 2, "no codes given"),
        (["CODES"], 2, "out is missing"),
        (["CODES", "--out=OUT", "--kind=best"], 2, "kind is 'best'"),
        (["CODES", "--out=OUT", "--kind=hnsw", "--parameters=M"], 2, "expected NAME=NUMBER"),
        (["CODES", "--out=chdb://x", "--kind=hnsw"], 2, "kind and parameters are of FAISS"),
        (["NONE", "--out=OUT"], 1, "no codes.json in it"),
    ],
)
def test_wrong_calls_are_refused(command, tmp_path, words, status, message):
    saved(tmp_path / "a", clustered(4))
    places = {"CODES": tmp_path / "a", "OUT": tmp_path / "i", "NONE": tmp_path / "none"}
    for name, path in places.items():
        words = [word.replace(name, str(path)) for word in words]
    found, _, error = command("index", *words)
    assert found == status
    assert message in error
    assert not (tmp_path / "i").exists()


def test_without_faiss_it_says_what_to_install(command, tmp_path, monkeypatch):
    saved(tmp_path / "a", clustered(4))
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    status, _, error = command("index", tmp_path / "a", f"--out={tmp_path / 'i'}")
    assert status == 1
    assert "FAISS is not installed; expected pip install -e '.[search]'" in error
