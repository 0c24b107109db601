"""URIs of engines, and the statements that make tables."""

import sys
from pathlib import Path

import pytest

from gch.errors import RunError, SettingError
from gch.search.engine import tables
from gch.search.engine.address import Address, is_engine, read_address
from gch.search.engine.client import Client


def test_a_uri_is_read_with_the_usual_ports():
    plain = read_address("clickhouse://db.example/photos")
    assert (plain.host, plain.port, plain.database, plain.secure) == ("db.example", 8123, "photos", False)
    assert (plain.user, plain.cluster, plain.folder) == ("", "", None)

    full = read_address("clickhouses://ann%40x@db:9440/photos?cluster=main")
    assert (full.host, full.port, full.user, full.secure, full.cluster) == (
        "db",
        9440,
        "ann@x",
        True,
        "main",
    )
    assert read_address("clickhouses://db/photos").port == 8443
    assert read_address("chdb:///data/codes").folder == Path("/data/codes")
    assert read_address("chdb://codes").folder == Path("codes")


def test_a_uri_is_told_from_a_folder():
    assert is_engine("chdb://codes")
    assert is_engine("clickhouse://db/photos")
    assert not is_engine(Path("/data/index"))
    assert not is_engine("index")


@pytest.mark.parametrize(
    "uri",
    [
        "milvus://db/photos",
        "clickhouse://db",
        "clickhouse:///photos",
        "clickhouse://db/photos/x",
        "clickhouse://db/pho`tos",
        "clickhouse://db:port/photos",
        "clickhouse://db/photos?cluster=a'b",
        "clickhouse://db/photos?clutser=a",
        "clickhouse://db/photos?cluster",
        "chdb://",
    ],
)
def test_another_uri_is_refused_and_told(uri):
    with pytest.raises(SettingError, match="expected clickhouse://") as caught:
        read_address(uri)
    assert str(caught.value).startswith(uri)
    assert "\n" not in str(caught.value)


def test_a_password_in_a_uri_is_refused_and_not_repeated():
    with pytest.raises(SettingError, match="CLICKHOUSE_PASSWORD") as caught:
        read_address("clickhouse://ann:secret@db/photos")
    assert "secret" not in str(caught.value)


def test_tables_of_one_machine_are_plain():
    database, table = tables.codes_creation(read_address("clickhouse://db/photos"), "image", 48)
    assert database == "CREATE DATABASE IF NOT EXISTS `photos`"
    assert "`photos`.`image`" in table
    assert "FixedString(6)" in table
    assert table.endswith("ENGINE = MergeTree ORDER BY row")


def test_tables_of_a_cluster_are_made_on_all_its_machines_and_spread_by_row():
    address = read_address("clickhouse://db/photos?cluster=main")
    database, shard, whole = tables.codes_creation(address, "image", 64)
    assert database == "CREATE DATABASE IF NOT EXISTS `photos` ON CLUSTER `main`"
    assert "`photos`.`image_shard` ON CLUSTER `main`" in shard
    assert shard.endswith("ENGINE = MergeTree ORDER BY row")
    assert "`photos`.`image` ON CLUSTER `main`" in whole
    assert whole.endswith("ENGINE = Distributed(`main`, `photos`, `image_shard`, row)")


@pytest.mark.parametrize("missing", ["clickhouse_connect", "chdb"])
def test_a_missing_extra_is_told(monkeypatch, tmp_path, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    address = Address(uri="chdb://x", database="codes", folder=tmp_path / "x")
    with pytest.raises(RunError, match=r"pip install -e '\.\[embedded\]'") as caught:
        Client(address)
    assert missing.replace("_", "-") in str(caught.value)
    assert not (tmp_path / "x").exists()


def test_a_server_that_is_not_there_is_told_in_one_line():
    uri = "clickhouse://127.0.0.1:1/photos"
    with pytest.raises(RunError, match="cannot be reached") as caught:
        Client(read_address(uri))
    assert str(caught.value).startswith(uri)
    assert "Connection refused" in str(caught.value)
    assert "\n" not in str(caught.value)
