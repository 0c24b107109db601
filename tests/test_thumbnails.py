"""Small pictures for the page: upright, on white, and not too many of them."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from gch.errors import DataError
from gch.serve.thumbnails import Picture, Thumbnails, media_type, thumbnail

RED, BLUE = (255, 0, 0), (0, 0, 255)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def pixels(picture):
    with Image.open(io.BytesIO(picture.content)) as image:
        assert picture.type == f"image/{image.format.lower()}" == "image/webp"
        return np.asarray(image.convert("RGB")).astype(int)


def close(found, colour):
    return np.abs(found - colour).max() <= 6


def test_the_long_side_is_brought_to_the_size_and_nothing_is_enlarged(tmp_path):
    wide = saved(tmp_path / "wide.jpg", Image.new("RGB", (900, 300), RED))
    assert pixels(thumbnail(wide, 240)).shape == (80, 240, 3)
    assert pixels(thumbnail(wide, 960)).shape == (300, 900, 3)
    assert close(pixels(thumbnail(wide, 240)), RED)


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
def test_what_is_transparent_is_white(tmp_path, mode):
    image = Image.new(mode, (8, 8), 0)
    options = {"transparency": 0} if mode == "P" else {}
    assert close(pixels(thumbnail(saved(tmp_path / "clear.png", image, **options), 160)), 255)


def test_sixteen_bits_are_scaled(tmp_path):
    grey = saved(tmp_path / "grey.png", Image.fromarray(np.full((8, 8), 128 * 257, np.uint16)))
    assert close(pixels(thumbnail(grey, 160)), 128)


@pytest.mark.parametrize("show", [media_type, lambda path: thumbnail(path, 160)])
def test_what_cannot_be_shown_is_a_fault(tmp_path, show):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")  # Opening it would wait for ever.
    for name in ("text.png", "folder.png", "pipe.png", "missing.png"):
        with pytest.raises(DataError):
            show(tmp_path / name)


def test_a_picture_that_ends_early_is_a_fault(tmp_path):
    path = saved(tmp_path / "whole.png", Image.effect_noise((64, 64), 50))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError):
        thumbnail(path, 160)


def test_types_are_those_of_the_content(tmp_path):
    assert media_type(saved(tmp_path / "a.png", Image.new("L", (4, 4)), format="JPEG")) == "image/jpeg"


def test_those_that_were_not_asked_for_longest_are_dropped():
    kept, picture = Thumbnails(size=30), Picture(bytes(10), "image/webp")
    for key in "abc":
        kept.keep(key, picture)
    assert kept.get("a") is picture
    kept.keep("d", picture)  # b goes: a was asked for since.
    assert [key for key in "abcd" if kept.get(key)] == ["a", "c", "d"]
    kept.keep("a", Picture(bytes(25), "image/webp"))
    assert [key for key in "abcd" if kept.get(key)] == ["a"]
    kept.keep("e", Picture(bytes(31), "image/webp"))
    assert [key for key in "abcde" if kept.get(key)] == []
