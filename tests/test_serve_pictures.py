"""What a browser gets of the server: the page, the pictures, and nothing else of the machine."""

import io
import os
import socket

import numpy as np
import pytest
from PIL import Image
from served import colours, connected, refused, square

from gch.errors import DataError
from gch.serve.pictures import media_type, thumbnail

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def client(folder):
    with connected(colours(folder)) as client:
        yield client


def pixels(content):
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "WEBP"
        return np.asarray(image.convert("RGB")).astype(int)


def close(found, colour):
    return np.abs(found - colour).max() <= 6


def test_a_picture_is_the_file(client, folder):
    answer = client.get("/pictures/3")
    assert answer.content == (folder / "blue.png").read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    for name, value in (("if-none-match", "etag"), ("if-modified-since", "last-modified")):
        again = client.get("/pictures/3", headers={name: answer.headers[value]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("wanted", ["x", "bytes=5-2", "bytes=99999999-", "bytes=0-3"])
@pytest.mark.parametrize("path", ["pictures/3", "page/main.js"])
def test_a_file_comes_whole_whatever_range_is_asked_for(client, path, wanted):
    whole, answer = client.get(f"/{path}"), client.get(f"/{path}", headers={"range": wanted})
    assert (answer.status_code, answer.content) == (200, whole.content)
    assert "accept-ranges" not in answer.headers


def test_a_thumbnail_is_kept_by_the_browser(client):
    answer = client.get("/pictures/1?size=160")
    assert answer.headers["content-type"] == "image/webp"
    assert close(pixels(answer.content), (255, 128, 0))
    tag = {"if-none-match": answer.headers["etag"]}
    again = client.get("/pictures/1?size=160", headers=tag)
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/pictures/2?size=160", headers=tag).status_code == 200
    refused(client.get("/pictures/1?size=50"), 400, "size: 50, expected one of 160, 240, 480, 960")


def test_a_thumbnail_is_that_of_the_file_as_it_is_now(client, folder):
    before = (folder / "red.png").read_bytes()
    assert close(pixels(client.get("/pictures/0?size=160").content), RED)
    (folder / "red.png").write_bytes(square(BLUE))
    os.utime(folder / "red.png", (1, 1))
    assert close(pixels(client.get("/pictures/0?size=160").content), BLUE)
    (folder / "red.png").write_bytes(before)


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
        assert "no-cache" in answer.headers["cache-control"]
        tag = {"if-none-match": answer.headers["etag"]}
        assert client.get(f"/page/{path}", headers=tag).status_code == 304


UP = ("../", "%2e%2e%2f", "..%5c", "0/../../")


@pytest.mark.parametrize("path", [*(f"{up}secret.txt" for up in UP), "0%00", "red.png"])
@pytest.mark.parametrize("place", ["pictures", "page"])
def test_no_path_leads_to_another_file(client, folder, place, path):
    (folder.parent / "secret.txt").write_text("a secret")
    with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        head = f"GET /{place}/{path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split()[1] in (b"400", b"404")
    assert b"a secret" not in answer


def test_items_that_lead_out_of_the_collection_are_not_shown(tmp_path):
    folder = tmp_path / "pictures"
    names = ("../outside.png", "link.png", "words.png", "gone.png", "white.png", "black.png")
    searcher = colours(folder, image=[{"id": name} for name in names])
    outside = tmp_path / "outside.png"
    outside.write_bytes(square((9, 9, 9)))
    (folder / "link.png").symlink_to(outside)
    (folder / "words.png").write_text("no picture")
    with connected(searcher) as client:
        for row in range(4):
            for size in ("", "?size=240"):
                refused(client.get(f"/pictures/{row}{size}"), 404, f"picture {row}: its file cannot be shown")


def test_only_names_of_this_machine_are_accepted_unless_it_serves_others(client, folder):
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000"):
        assert client.get("/api/info", headers={"host": host}).status_code == 200
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""):
        answer = client.get("/api/info", headers={"host": host})
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("host ")
    with connected(colours(folder), hosts=None) as others:
        assert others.get("/api/info", headers={"host": "search.example"}).status_code == 200


def saved(path, image, **options):
    image.save(path, **options)
    return path


def test_the_long_side_is_scaled_down_and_never_up(tmp_path):
    wide = saved(tmp_path / "wide.jpg", Image.new("RGB", (900, 300), RED))
    small, large = (pixels(thumbnail(wide, longest)) for longest in (240, 960))
    assert (small.shape, large.shape) == ((80, 240, 3), (300, 900, 3))
    assert close(small, RED)


def test_a_turned_picture_is_upright(tmp_path):
    image = Image.new("RGB", (40, 20), RED)
    image.paste(BLUE, (0, 0, 20, 20))
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees clockwise: the left side comes up
    found = pixels(thumbnail(saved(tmp_path / "turned.png", image, exif=exif), 160))
    assert found.shape == (40, 20, 3)
    assert close(found[:16], BLUE)
    assert close(found[24:], RED)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_white(tmp_path, mode):
    image = Image.new(mode, (8, 8), 0)
    options = {"transparency": 0} if mode == "P" else {}
    assert close(pixels(thumbnail(saved(tmp_path / "clear.png", image, **options), 160)), 255)


def test_sixteen_bits_are_scaled(tmp_path):
    grey = saved(tmp_path / "grey.png", Image.fromarray(np.full((8, 8), 128 * 257, np.uint16)))
    assert close(pixels(thumbnail(grey, 160)), 128)


@pytest.mark.parametrize("show", [media_type, lambda path: thumbnail(path, 160)])
def test_a_file_that_is_no_picture_is_a_fault(tmp_path, show):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")  # Opening it would wait for ever.
    for name in ("text.png", "folder.png", "pipe.png", "missing.png"):
        with pytest.raises(DataError):
            show(tmp_path / name)
    early = saved(tmp_path / "whole.png", Image.effect_noise((64, 64), 50))
    early.write_bytes(early.read_bytes()[:1000])
    with pytest.raises(DataError):
        thumbnail(early, 160)


def test_media_types_are_those_of_the_content(tmp_path):
    picture = Image.new("RGB", (4, 4))
    assert media_type(saved(tmp_path / "a.png", picture, format="JPEG")) == "image/jpeg"
    both = {"format": "MPO", "save_all": True, "append_images": [picture]}  # as phones write them
    assert media_type(saved(tmp_path / "b.png", picture, **both)) == "image/jpeg"
