"""Codes in ClickHouse: by chDB, which is its engine inside a process, and over its HTTP interface."""

import contextlib
import fcntl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import pytest
from clickhouse_server import serving
from coded import MODEL, nearest, saved

from gch.errors import DataError, RunError
from gch.search.codes_folder import Codes
from gch.search.engine import loading, tables
from gch.search.engine.address import read_address
from gch.search.engine.client import Client
from gch.search.engine.index import open_engine
from gch.search.engine.loading import Loaded, load_into_engine


@pytest.fixture
def uri(tmp_path) -> str:
    return f"chdb://{tmp_path}/engine"


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(loading, "BLOCK", 100)


def clustered(count: int, bits: int, seed: int = 0) -> np.ndarray:
    """Packed codes, uint8 (count, bits / 8), near some 20 others: distances are few and repeat."""
    random = np.random.default_rng(seed)
    near = random.random((20, bits)) < 0.5
    return np.packbits(near[random.integers(0, 20, count)] ^ (random.random((count, bits)) < 0.03), axis=1)


def opened(uri: str):
    return contextlib.closing(open_engine(uri))


def refused(kind: type[Exception], call, *words: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in (*words, "expected"):
        assert word in message


def test_finds_what_a_flat_index_of_faiss_finds_ties_by_row(tmp_path, uri):
    codes, queries = clustered(5000, 64), clustered(40, 64, seed=1)
    one, two = saved(tmp_path / "one", codes[:3000]), saved(tmp_path / "two", codes[3000:])
    texts = saved(tmp_path / "texts", codes[:7], "text")
    loaded = load_into_engine([one, texts, two], uri)
    assert loaded == [Loaded("image", 5000, 5000), Loaded("text", 7, 7)]
    flat = faiss.IndexBinaryFlat(64)
    flat.add(codes)

    with opened(uri) as index:
        assert (index.bits, index.model, list(index.parts)) == (64, MODEL, ["image", "text"])
        images, few = index.parts["image"], index.parts["text"]
        assert (images.modality, images.kind, len(images), len(few)) == ("image", "clickhouse", 5000, 7)
        found = images.search(queries, 50)
        assert found.rows.dtype == np.int64
        assert found.distances.dtype == np.int32
        np.testing.assert_array_equal(found.distances, flat.search(queries, 50)[0])
        rows, _ = nearest(codes, queries, 50)
        np.testing.assert_array_equal(found.rows, rows)
        assert any(len(set(line)) < 25 for line in found.distances.tolist())  # there were ties to settle

        fewer = few.search(queries[:2], 10)
        np.testing.assert_array_equal(fewer.rows[:, :7], nearest(codes[:7], queries[:2], 7)[0])
        assert (fewer.rows[:, 7:] == -1).all()
        assert (fewer.distances[:, 7:] == -1).all()


@pytest.mark.parametrize("bits", [8, 16, 48, 264])
def test_every_length_of_a_code(tmp_path, uri, bits):
    codes = np.random.default_rng(bits).integers(0, 256, (200, bits // 8), np.uint8)
    codes[5], codes[7] = codes[3], ~codes[3]
    load_into_engine([saved(tmp_path / "c", codes)], uri)
    with opened(uri) as index:
        found = index.parts["image"].search(codes[3:4], 200)
    rows, distances = nearest(codes, codes[3:4], 200)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.distances, distances)
    assert found.distances[0, -1] == bits


def test_items_codes_and_pictures_by_row(tmp_path, uri):
    codes, root = clustered(6, 16), tmp_path / "pictures"
    pictures = saved(tmp_path / "p", codes, root=str(root))
    load_into_engine(
        [pictures, saved(tmp_path / "q", codes[::-1]), saved(tmp_path / "t", codes, "text")], uri
    )
    with opened(uri) as index:
        images, texts = index.parts["image"], index.parts["text"]
        assert images.item(2) == {"id": "p/2"}
        assert images.item(8) == {"id": "q/2"}
        assert texts.item(5) == {"id": "t/5", "text": "a text"}
        assert images.code(6).tolist() == codes[5].tolist()
        assert images.picture_path(2) == (root / "p" / "2").resolve()
        assert images.picture_path(8) == Path("/r/q/2")
        refused(DataError, lambda: images.item(12), "no image 12", "0 to 11")


def test_a_picture_outside_its_folder_is_not_told(tmp_path, uri):
    root = tmp_path / "pictures"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    names = ["../x.jpg", "/etc/passwd", "out/x.jpg", "in.jpg", "caf\udce9.jpg"]
    codes = Codes(tmp_path, 8, "image", MODEL, str(root), clustered(5, 8), [{"id": name} for name in names])
    load_into_engine([codes], uri)
    with opened(uri) as index:
        images = index.parts["image"]
        for row in range(3):
            refused(DataError, lambda row=row: images.picture_path(row), names[row], "outside")
        assert images.picture_path(3) == (root / "in.jpg").resolve()
        assert images.item(4) == {"id": names[4]}


def test_loading_again_adds_nothing(tmp_path, uri, small_blocks):
    codes = saved(tmp_path / "c", clustered(250, 16))
    counted = []
    assert load_into_engine([codes], uri, counted.append) == [Loaded("image", 250, 250)]
    assert load_into_engine([codes], uri, counted.append) == [Loaded("image", 250, 0)]
    assert counted == [100, 100, 50] * 2
    texts = saved(tmp_path / "t", clustered(3, 16), "text")
    assert load_into_engine([texts], uri) == [Loaded("text", 3, 3)]
    with opened(uri) as index:
        assert [len(part) for part in index.parts.values()] == [250, 3]


def test_a_load_that_was_stopped_goes_on(tmp_path, uri, small_blocks, monkeypatch):
    codes = saved(tmp_path / "c", clustered(250, 16))
    whole, inserted = Client.insert, []

    def stopping(self, database, table, columns):
        if table == "image" and inserted:  # the second block gets through in part, as when a machine is lost
            whole(self, database, table, {name: values[::3] for name, values in columns.items()})
            raise RunError("stopped")
        inserted.append(table == "image") if table == "image" else None
        whole(self, database, table, columns)

    monkeypatch.setattr(Client, "insert", stopping)
    with pytest.raises(RunError, match="stopped"):
        load_into_engine([codes], uri)
    monkeypatch.setattr(Client, "insert", whole)
    refused(DataError, lambda: open_engine(uri), "134 of 250 images")
    assert load_into_engine([codes], uri) == [Loaded("image", 250, 116)]
    with opened(uri) as index:
        found = index.parts["image"].search(codes.codes[:1], 250)
    np.testing.assert_array_equal(found.rows, nearest(codes.codes, codes.codes[:1], 250)[0])


def test_rows_that_are_there_twice_are_told(tmp_path, uri):
    codes = saved(tmp_path / "c", clustered(20, 16))
    load_into_engine([codes], uri)
    with contextlib.closing(Client(read_address(uri))) as client:
        client.command("INSERT INTO codes.image SELECT * FROM codes.image WHERE row = 3")
    refused(RunError, lambda: load_into_engine([codes], uri), "21 images")
    refused(DataError, lambda: open_engine(uri), "21 of 20 images")


def test_other_codes_are_refused_and_nothing_changes(tmp_path, uri):
    codes = clustered(20, 16)
    held = saved(tmp_path / "held", codes)
    load_into_engine([held], uri)
    other = saved(tmp_path / "other", clustered(20, 16, seed=5))
    model = saved(tmp_path / "model", codes, "text", model="cd" * 32)
    bits = saved(tmp_path / "bits", clustered(20, 24), "text")
    refused(RunError, lambda: load_into_engine([other], uri), uri, "20 images other", "another database")
    refused(RunError, lambda: load_into_engine([held, other], uri), uri, "other than the 40")
    refused(DataError, lambda: load_into_engine([model], uri), "cdcdcdcdcdcd", "abababababab", uri)
    refused(DataError, lambda: load_into_engine([bits], uri), "24 bits", "of 16", uri)
    refused(DataError, lambda: load_into_engine([held, model], uri), "model", "abababababab")
    refused(DataError, lambda: load_into_engine([], uri), "no codes")
    with opened(uri) as index:
        assert {modality: len(part) for modality, part in index.parts.items()} == {"image": 20}


def test_where_nothing_was_loaded_nothing_is_opened_or_made(tmp_path, uri):
    refused(DataError, lambda: open_engine(uri), uri, "no such folder")
    assert not (tmp_path / "engine").exists()
    (tmp_path / "engine").mkdir()
    refused(DataError, lambda: open_engine(uri), uri, "no codes there")


def test_notes_of_another_program_are_told(uri):
    address = read_address(uri)
    with contextlib.closing(Client(address)) as client:
        for statement in tables.notes_creation(address):
            client.command(statement)
        client.insert(address.database, "notes", {"modality": ["image"], "note": ['{"format": 2}']})
    refused(DataError, lambda: open_engine(uri), uri, "another format")


def test_a_folder_that_another_has_open_is_told(tmp_path, uri):
    load_into_engine([saved(tmp_path / "c", clustered(5, 8))], uri)
    with open(tmp_path / "engine" / "status", "w") as status:
        fcntl.flock(status, fcntl.LOCK_EX)
        refused(RunError, lambda: open_engine(uri), uri, "another process")
    with opened(uri) as index:
        assert len(index.parts["image"]) == 5


def test_several_threads_may_search_at_once(tmp_path, uri):
    codes = clustered(500, 32)
    load_into_engine([saved(tmp_path / "c", codes)], uri)
    rows, _ = nearest(codes, codes[:40], 10)
    with opened(uri) as index, ThreadPoolExecutor(8) as threads:
        search = index.parts["image"].search
        found = list(threads.map(lambda row: search(codes[row : row + 1], 10).rows[0], range(40)))
    np.testing.assert_array_equal(found, rows)


def test_the_same_over_http(tmp_path):
    codes, queries = clustered(300, 64), clustered(5, 64, seed=1)
    source = saved(tmp_path / "c", codes)
    with serving(tmp_path / "engine") as port:
        uri = f"clickhouse://127.0.0.1:{port}/photos"
        refused(DataError, lambda: open_engine(uri), "no codes there")
        assert load_into_engine([source], uri) == [Loaded("image", 300, 300)]
        assert load_into_engine([source], uri) == [Loaded("image", 300, 0)]
        with opened(uri) as index:
            found = index.parts["image"].search(queries, 20)
            assert index.parts["image"].item(299) == {"id": "c/299"}
            assert index.parts["image"].code(1).tolist() == codes[1].tolist()
    rows, distances = nearest(codes, queries, 20)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.distances, distances)


def test_the_password_is_that_of_the_environment(tmp_path, monkeypatch):
    with serving(tmp_path / "engine", ("ann", "säcret")) as port:
        uri = f"clickhouse://ann@127.0.0.1:{port}/photos"
        monkeypatch.setenv("CLICKHOUSE_PASSWORD", "another")
        refused(RunError, lambda: open_engine(uri), uri, "password is wrong", "CLICKHOUSE_PASSWORD")
        monkeypatch.setenv("CLICKHOUSE_PASSWORD", "säcret")
        refused(DataError, lambda: open_engine(uri), "no codes there")


def test_statements_for_a_cluster_are_ones_that_the_engine_reads(uri):
    address = read_address("clickhouse://db/photos?cluster=main")
    with contextlib.closing(Client(read_address(uri))) as client:
        for statement in (*tables.notes_creation(address), *tables.codes_creation(address, "text", 64)):
            assert client.columns(f"EXPLAIN AST {statement}")
