"""Codes in ClickHouse, by chDB, which is its engine inside a process."""

import contextlib
import fcntl
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import clickhouse_connect
import numpy as np
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from coded import MODEL, clustered, nearest, saved

from gch.errors import DataError, RunError, SettingError
from gch.search.codes_folder import Codes
from gch.search.engine import loading
from gch.search.engine.client import Client, is_engine, read_address
from gch.search.engine.index import open_engine
from gch.search.engine.loading import Loaded, creation, load_into_engine

CLUSTER = read_address("clickhouse://db/photos?cluster=main")


@pytest.fixture
def uri(tmp_path) -> str:
    return f"chdb://{tmp_path}/engine"


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(loading, "BLOCK", 100)


def opened(uri: str):
    return contextlib.closing(open_engine(uri))


def refused(kind: type[Exception], call, *words: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in (*words, "expected"):
        assert word in message


@pytest.mark.parametrize("bits", [8, 64, 264])
def test_finds_the_nearest_and_equal_distances_by_row(tmp_path, uri, bits):
    codes, queries = clustered(1000, bits), clustered(20, bits, seed=1)
    codes[7] = ~codes[3]
    one, two = saved(tmp_path / "one", codes[:600]), saved(tmp_path / "two", codes[600:])
    texts = saved(tmp_path / "texts", codes[:7], "text")
    loaded = load_into_engine([one, texts, two], uri)
    assert loaded == [Loaded("image", 1000, 1000), Loaded("text", 7, 7)]
    with opened(uri) as index:
        assert (index.bits, index.model, list(index.parts)) == (bits, MODEL, ["image", "text"])
        images, few = index.parts["image"], index.parts["text"]
        assert (images.modality, images.kind, len(images), len(few)) == ("image", "clickhouse", 1000, 7)
        found = images.search(queries, 50)
        assert (found.rows.dtype, found.distances.dtype) == (np.int64, np.int32)
        np.testing.assert_array_equal(found, nearest(codes, queries, 50))
        assert any(len(set(line)) < 25 for line in found.distances.tolist())  # some distances are equal
        np.testing.assert_array_equal(few.search(queries[:2], 10), nearest(codes[:7], queries[:2], 7))
        with ThreadPoolExecutor(8) as threads:
            alone = list(threads.map(lambda query: images.search(query[None], 50).rows[0], queries))
        np.testing.assert_array_equal(alone, found.rows)
        assert images.search(codes[3:4], 1000).distances[0, -1] == bits


def test_items_codes_and_pictures_by_row(tmp_path, uri):
    codes, root = clustered(6, 16), tmp_path / "pictures"
    pictures = saved(tmp_path / "p", codes, root=str(root))
    names = ["../x.jpg", "caf\udce9.jpg"]
    odd = Codes(tmp_path, 16, "image", MODEL, str(root), codes[:2], [{"id": name} for name in names])
    texts = saved(tmp_path / "t", codes, "text")
    load_into_engine([pictures, saved(tmp_path / "q", codes[::-1]), texts, odd], uri)
    with opened(uri) as index:
        images, texts = index.parts["image"], index.parts["text"]
        assert images.items([8, 2]) == [{"id": "q/2"}, {"id": "p/2"}]
        assert texts.items([5]) == [{"id": "t/5", "text": "a text"}]
        assert images.items([13]) == [{"id": names[1]}]
        assert images.code(6).tolist() == codes[5].tolist()
        assert images.picture_path(2, "p/2") == (root / "p" / "2").resolve()
        assert images.picture_path(8, "q/2") == Path("/r/q/2")
        refused(DataError, lambda: images.picture_path(12, names[0]), names[0], "outside")
        refused(DataError, lambda: images.items([14]), "no image 14", "0 to 13")


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
        inserted.append(table)
        if inserted.count("image") == 2:  # this block gets through in part, as when a machine is lost
            whole(self, database, table, {name: values[::3] for name, values in columns.items()})
            raise RunError("stopped")
        whole(self, database, table, columns)

    with monkeypatch.context() as patch:
        patch.setattr(Client, "insert", stopping)
        with pytest.raises(RunError, match="stopped"):
            load_into_engine([codes], uri)
    refused(DataError, lambda: open_engine(uri), "134 of 250 images")
    assert load_into_engine([codes], uri) == [Loaded("image", 250, 116)]
    with opened(uri) as index:
        found = index.parts["image"].search(codes.codes[:1], 250)
    np.testing.assert_array_equal(found, nearest(codes.codes, codes.codes[:1], 250))


def test_rows_that_are_there_twice_are_noticed(tmp_path, uri):
    codes = saved(tmp_path / "c", clustered(20, 16))
    load_into_engine([codes], uri)
    with contextlib.closing(Client(read_address(uri))) as client:
        client.command("INSERT INTO codes.image SELECT * FROM codes.image WHERE row = 3")
    refused(RunError, lambda: load_into_engine([codes], uri), "21 images")
    refused(DataError, lambda: open_engine(uri), "21 of 20 images")


def test_other_codes_are_refused_and_nothing_changes(tmp_path, uri):
    codes = clustered(20, 16)
    loaded = saved(tmp_path / "loaded", codes, "text")
    load_into_engine([loaded], uri)
    other = saved(tmp_path / "other", clustered(20, 16, seed=5), "text")
    images = saved(tmp_path / "images", codes)
    model = saved(tmp_path / "model", codes, model="cd" * 32)
    bits = saved(tmp_path / "bits", clustered(20, 24))
    refused(RunError, lambda: load_into_engine([other], uri), uri, "20 texts other", "another database")
    refused(RunError, lambda: load_into_engine([images, other], uri), uri, "20 texts other")
    refused(RunError, lambda: load_into_engine([loaded, other], uri), uri, "other than the 40")
    refused(DataError, lambda: load_into_engine([model], uri), "cdcdcdcdcdcd", "abababababab", uri)
    refused(DataError, lambda: load_into_engine([bits], uri), "24 bits", "16 bits", uri)
    refused(DataError, lambda: load_into_engine([loaded, model], uri), "model", "abababababab")
    refused(DataError, lambda: load_into_engine([], uri), "no codes")
    with opened(uri) as index:
        assert {modality: len(part) for modality, part in index.parts.items()} == {"text": 20}


def test_what_is_no_database_of_codes_is_refused(tmp_path, uri):
    refused(DataError, lambda: open_engine(uri), uri, "no such folder")
    assert not (tmp_path / "engine").exists()
    (tmp_path / "engine").mkdir()
    refused(DataError, lambda: open_engine(uri), uri, "no codes there")
    address = read_address(uri)
    with contextlib.closing(Client(address)) as client:
        for statement in creation(address, "notes", 8):
            client.command(statement)
    refused(DataError, lambda: open_engine(uri), uri, "no codes there")
    with contextlib.closing(Client(address)) as client:
        client.insert(address.database, "notes", {"modality": ["image"], "note": ['{"format": 2}']})
    refused(DataError, lambda: open_engine(uri), uri, "not a note of format 1")


def test_a_folder_that_another_process_has_open_is_refused(tmp_path, uri):
    load_into_engine([saved(tmp_path / "c", clustered(5, 8))], uri)
    with open(tmp_path / "engine" / "status", "w") as status:
        fcntl.flock(status, fcntl.LOCK_EX)
        refused(RunError, lambda: open_engine(uri), uri, "another process")
    with opened(uri) as index:
        assert len(index.parts["image"]) == 5


def test_a_server_gets_the_password_of_the_environment_and_answers_the_same(tmp_path, uri, monkeypatch):
    """In the place of a server, the engine inside this process."""
    codes, queries, asked = clustered(300), clustered(5, seed=1), []
    source, server = saved(tmp_path / "c", codes), "clickhouse://ann@db/photos"
    connect = clickhouse_connect.get_client

    def get_client(password, **options):
        if password != "säcret":
            raise DatabaseError("Code: 516. DB::Exception: wrong. (AUTHENTICATION_FAILED)")
        asked.append(options)
        return connect(**read_address(uri).options)

    monkeypatch.setattr(clickhouse_connect, "get_client", get_client)
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "another")
    refused(RunError, lambda: open_engine(server), server, "password is wrong", "CLICKHOUSE_PASSWORD")
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "säcret")
    refused(DataError, lambda: open_engine(server), "no codes there")
    assert load_into_engine([source], server) == [Loaded("image", 300, 300)]
    with opened(server) as index:
        np.testing.assert_array_equal(index.parts["image"].search(queries, 20), nearest(codes, queries, 20))
    # Without a session, which answers one query at a time.
    expected = {"interface": "http", "host": "db", "port": 8123, "username": "ann"}
    assert asked[-1] == expected | {"autogenerate_session_id": False}


def test_tables_of_a_cluster_are_spread_by_row_in_statements_that_the_engine_reads(uri):
    database, shard, whole = creation(CLUSTER, "image", 64)
    assert database == "CREATE DATABASE IF NOT EXISTS `photos` ON CLUSTER `main`"
    assert "`photos`.`image_shard` ON CLUSTER `main`" in shard
    assert shard.endswith("ENGINE = MergeTree ORDER BY row")
    assert "`photos`.`image` ON CLUSTER `main`" in whole
    assert whole.endswith("ENGINE = Distributed(`main`, `photos`, `image_shard`, row)")
    with contextlib.closing(Client(read_address(uri))) as client:
        for statement in (*creation(CLUSTER, "notes", 8), database, shard, whole):
            assert client.columns(f"EXPLAIN AST {statement}")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("clickhouse://db.example/photos", ("http", "db.example", 8123, None, "photos", "")),
        ("clickhouses://db/photos", ("https", "db", 8443, None, "photos", "")),
        ("clickhouses://ann%40x@db:9440/p?cluster=main", ("https", "db", 9440, "ann@x", "p", "main")),
    ],
)
def test_a_uri_is_read_with_the_usual_ports(uri, expected):
    found = read_address(uri)
    options = [found.options[name] for name in ("interface", "host", "port", "username")]
    assert (*options, found.database, found.cluster) == expected
    assert (is_engine(uri), is_engine(Path("/data/index")), is_engine("index")) == (True, False, False)


@pytest.mark.parametrize("rest", ["", "/photos/x", "/pho`tos", ":port/photos", "/p?cluster=a'b", "/p?c=a"])
def test_another_uri_is_refused(rest):
    for uri in ("milvus://db/photos", "clickhouse:///photos", "chdb://", f"clickhouse://db{rest}"):
        refused(SettingError, lambda uri=uri: read_address(uri), uri, "expected clickhouse://")


@pytest.mark.parametrize("uri", ["chdb:/x", "chdb:x", "clickhouse:/db/photos", Path("chdb://x")])
def test_a_uri_without_two_slashes_is_no_name_of_a_folder(uri):
    assert is_engine(uri)
    refused(SettingError, lambda: read_address(str(uri)), str(uri), "or chdb://FOLDER")


def test_a_password_in_a_uri_is_refused_and_not_repeated():
    with pytest.raises(SettingError, match="CLICKHOUSE_PASSWORD") as caught:
        read_address("clickhouse://ann:secret@db/photos")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("missing", ["clickhouse_connect", "chdb"])
def test_a_missing_extra_is_named(monkeypatch, tmp_path, uri, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    words = missing.replace("_", "-"), 'pip install "gch[embedded]"'
    refused(RunError, lambda: Client(read_address(uri)), *words)
    assert not (tmp_path / "engine").exists()


def test_a_server_that_is_not_there_is_named_in_one_line():
    with pytest.raises(
        RunError, match=r"^clickhouse://127.0.0.1:1/p: cannot be reached, .*Connection refused"
    ):
        Client(read_address("clickhouse://127.0.0.1:1/p"))
