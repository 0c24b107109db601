"""What a browser gets of the server: the page, the pictures, and nothing else of the machine."""

import io
import socket

import numpy as np
import pytest
from PIL import Image
from served import ColourModel, Searcher, collection, connected, refused, square

from gch.serve.limits import Limits


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("served") / "pictures"


@pytest.fixture(scope="module")
def client(folder):
    with connected(Searcher(ColourModel(), collection(folder))) as client:
        yield client


def test_a_picture_is_the_file(client, folder):
    answer = client.get("/pictures/3")
    assert answer.content == (folder / "blue.png").read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_thumbnail_is_small_and_kept_by_the_browser(client):
    answer = client.get("/pictures/1?size=160")
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.format, image.size) == ("WEBP", (64, 64))
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - (255, 128, 0)).max() <= 4
    tag = {"if-none-match": answer.headers["etag"]}
    again = client.get("/pictures/1?size=160", headers=tag)
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/pictures/2?size=160", headers=tag).status_code == 200
    refused(client.get("/pictures/1?size=50"), 400, "size: 50, expected one of 160, 240, 480, 960")


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "..%2fsecret.txt",
        "%2e%2e/secret.txt",
        "%2e%2e%2fsecret.txt",
        "..%5csecret.txt",
        "0%00",
        "0/../../secret.txt",
        "red.png",
    ],
)
@pytest.mark.parametrize("place", ["pictures", "page"])
def test_no_path_leads_to_another_file(client, folder, place, path):
    (folder.parent / "secret.txt").write_text("a secret")
    with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        head = f"GET /{place}/{path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split()[1] in (b"400", b"404")
    assert b"a secret" not in answer


def test_items_that_lead_out_of_the_collection_are_not_shown(tmp_path, monkeypatch):
    parts = collection(tmp_path / "pictures")
    outside = tmp_path / "outside.png"
    outside.write_bytes(square((9, 9, 9)))
    (tmp_path / "pictures" / "link.png").symlink_to(outside)
    (tmp_path / "pictures" / "words.png").write_text("no picture")
    parts["image"].items[:3] = [{"id": "../outside.png"}, {"id": "link.png"}, {"id": "words.png"}]
    (tmp_path / "pictures" / "blue.png").unlink()
    with connected(Searcher(ColourModel(), parts), Limits(), hosts=None) as client:
        for row in range(4):
            for size in ("", "?size=240"):
                refused(client.get(f"/pictures/{row}{size}"), 404, f"picture {row}: its file cannot be shown")


def test_the_page_has_all_its_files_and_asks_no_other_host(client):
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http://" not in page.text
    assert "https://" not in page.text
    for path in ("main.js", "base.css", "icon.svg"):
        answer = client.get(f"/page/{path}")
        assert f'"/page/{path}"' in page.text
        assert answer.status_code == 200
        tag = {"if-none-match": answer.headers["etag"]}
        assert client.get(f"/page/{path}", headers=tag).status_code == 304


def test_the_documentation_tells_every_route_and_its_refusals(client):
    told = client.get("/openapi.json").json()
    paths = {path: next(iter(methods.values())) for path, methods in told["paths"].items()}
    assert paths.keys() == {
        "/api/info",
        "/api/sample",
        "/api/search/text",
        "/api/search/picture",
        "/api/search/row",
        "/pictures/{row}",
    }
    assert set(paths["/api/search/picture"]["responses"]) == set(
        ["200", "400", "404", "408", "413", "415", "503", "504"]
    )
    assert "422" not in paths["/api/search/row"]["responses"]
    body = paths["/api/search/text"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"].keys() == {"text", "tags", "find", "count"}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""])
def test_another_name_of_this_server_is_refused(client, host):
    answer = client.get("/api/info", headers={"host": host})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("host ")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000"])
def test_names_of_this_machine_are_taken(client, host):
    assert client.get("/api/info", headers={"host": host}).status_code == 200


def test_any_name_is_taken_where_the_server_is_not_of_this_machine_only(folder):
    with connected(Searcher(ColourModel(), collection(folder)), hosts=None) as client:
        assert client.get("/api/info", headers={"host": "search.example"}).status_code == 200
