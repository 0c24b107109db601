import io
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sources import refusal
from written import encoded, png

from gch.data import pictures
from gch.data.pictures import FITS, MAX_FILE_BYTES, decode_picture, read_picture
from gch.data.squares import LETTERBOX_FILL
from gch.errors import DataError

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def even(mode, colour, kind, **options):
    return encoded(Image.new(mode, (8, 8), colour), kind, **options)


def palette(*colours, **options):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([channel for colour in colours for channel in colour])
    return encoded(image, "PNG", **options)


def cmyk_jpeg_of_adobe():
    # Pillow writes CMYK as Adobe does, inverted and marked so.
    data = even("CMYK", (0, 255, 255, 0), "JPEG", quality=100)
    assert b"Adobe" in data
    return data


def float_picture(*values):
    return encoded(Image.fromarray(np.full((8, 8), values[0], np.float32)), "TIFF")


def big_endian(value):
    # A TIFF of 16 bits by hand: the pixels lie behind a directory of nine entries.
    entries = [(256, 8), (257, 8), (258, 16), (259, 1), (262, 1), (273, 122), (277, 1), (278, 8), (279, 128)]
    data = b"MM" + struct.pack(">HIH", 42, 8, len(entries))
    data += b"".join(struct.pack(">HHII", tag, 4, 1, number) for tag, number in entries)
    return data + struct.pack(">I64H", 0, *[value] * 64)


def animation():
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


MANGLED_EXIF = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01"
MODES = {
    "RGB": (lambda: even("RGB", (10, 20, 30), "PNG"), (10, 20, 30)),
    "1": (lambda: even("1", 1, "PNG"), WHITE),
    "P": (lambda: palette(RED, GREEN), GREEN),
    "P, transparent": (lambda: palette(RED, GREEN, transparency=1), WHITE),
    "P, half transparent": (lambda: palette(RED, (0, 0, 0), transparency=bytes([255, 51])), (204,) * 3),
    "LA": (lambda: even("LA", (0, 51), "PNG"), (204, 204, 204)),
    "RGBA": (lambda: even("RGBA", (255, 0, 0, 51), "PNG"), (255, 204, 204)),
    "RGB, a colour transparent": (lambda: even("RGB", RED, "PNG", transparency=RED), WHITE),
    "RGBA of WebP": (lambda: even("RGBA", (0, 0, 0, 0), "WEBP", lossless=True), WHITE),
    "CMYK": (lambda: even("CMYK", (0, 255, 255, 0), "TIFF"), RED),
    "CMYK of Adobe": (cmyk_jpeg_of_adobe, RED),
    "YCbCr": (
        # As cameras and scanners write it; before 13, Pillow cannot read it uncompressed.
        lambda: even("YCbCr", (100, 128, 128), "TIFF", compression="jpeg"),
        (100, 100, 100),
    ),
    "LAB": (lambda: even("LAB", (128, 128, 128), "TIFF"), (119, 119, 119)),
    "I;16": (lambda: even("I;16", 257 * 100, "PNG"), (100, 100, 100)),
    "I;16 is rounded": (lambda: even("I;16", 257 * 100 + 129, "PNG"), (101, 101, 101)),
    "I;16B": (lambda: big_endian(257 * 3), (3, 3, 3)),
    "I": (lambda: even("I", 257 * 50, "TIFF"), (50, 50, 50)),
    "I, negative": (lambda: even("I", -7, "TIFF"), (0, 0, 0)),
    "I, large": (lambda: even("I", 10**6, "TIFF"), WHITE),
    "PPM of 16 bits": (lambda: b"P5 8 8 65535\n" + struct.pack(">H", 257 * 9) * 64, (9, 9, 9)),
    "F to 1": (lambda: float_picture(0.2), (51, 51, 51)),
    "F to 255": (lambda: float_picture(51.0), (51, 51, 51)),
    "F, large": (lambda: float_picture(1e30), WHITE),
    "F, not finite": (lambda: float_picture(np.nan), (0, 0, 0)),
    "animation": (animation, RED),
    "mangled EXIF": (lambda: even("RGB", RED, "PNG", exif=MANGLED_EXIF), RED),
    "two pictures of MPO": (lambda: even("RGB", (90, 90, 90), "MPO", save_all=True), (90, 90, 90)),
}


@pytest.mark.parametrize("name", MODES)
def test_every_mode_becomes_rgb(name):
    make, colour = MODES[name]
    for size, fit in ((4, "crop"), (8, "letterbox"), (16, "crop")):
        array = decode_picture(make(), name, size, fit)
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, np.broadcast_to(colour, (size, size, 3)))


def striped(width, height):
    # A third red, a third green, a third blue along the longer side.
    array = np.zeros((height, width, 3), np.uint8)
    long = array if height >= width else array.swapaxes(0, 1)
    third = len(long) // 3
    long[:third], long[third : 2 * third], long[2 * third :] = RED, GREEN, BLUE
    return Image.fromarray(array)


def test_letterbox_keeps_all_and_fills_evenly():
    wide = decode_picture(encoded(striped(48, 16), "PNG"), "", 24, "letterbox")
    assert (wide[:8] == LETTERBOX_FILL).all()
    assert (wide[16:] == LETTERBOX_FILL).all()
    assert (wide[8:16, :6] == RED).all()
    assert (wide[8:16, 10:14] == GREEN).all()
    assert (wide[8:16, 18:] == BLUE).all()
    tall = decode_picture(encoded(striped(16, 48), "PNG"), "", 24, "letterbox")
    np.testing.assert_array_equal(tall, wide.swapaxes(0, 1))


def test_picture_of_the_size_asked_for_is_not_resampled(tmp_path):
    path = tmp_path / "picture.bin"
    noise = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (9, 9, 3), np.uint8)
    for fit in FITS:
        array = decode_picture(encoded(Image.fromarray(noise), "PNG"), "", 9, fit)
        np.testing.assert_array_equal(array, noise)
    # Nor is one side, where only the other is too long.
    path.write_bytes(encoded(Image.fromarray(noise[:6]), "PNG"))
    np.testing.assert_array_equal(read_picture(path, 6, "crop"), noise[:6, 1:7])


QUADRANTS = np.zeros((8, 24, 3), np.uint8)
QUADRANTS[:4, 8:12], QUADRANTS[:4, 12:16], QUADRANTS[4:, 8:12] = RED, GREEN, BLUE


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "corners"),
    [
        (1, (RED, GREEN, BLUE)),
        (2, (GREEN, RED, (0, 0, 0))),
        (3, ((0, 0, 0), BLUE, GREEN)),
        (4, (BLUE, (0, 0, 0), RED)),
        (5, (RED, BLUE, GREEN)),
        (6, (BLUE, RED, (0, 0, 0))),
        (7, ((0, 0, 0), GREEN, BLUE)),
        (8, (GREEN, (0, 0, 0), RED)),
        (99, (RED, GREEN, BLUE)),
    ],
)
def test_turned_as_exif_says(kind, orientation, corners):
    exif = Image.Exif()
    exif[0x0112] = orientation
    best = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    data = encoded(Image.fromarray(QUADRANTS), kind, exif=exif, **best.get(kind, {}))
    cropped = decode_picture(data, "", 8, "crop").astype(int)
    for (row, column), corner in zip([(0, 0), (0, 7), (7, 0)], corners, strict=True):
        np.testing.assert_allclose(cropped[row, column], corner, atol=40)
    boxed = decode_picture(data, "", 24, "letterbox")
    upright = boxed.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else boxed
    assert (upright[:8] == LETTERBOX_FILL).all()
    assert not (upright[8:16] == LETTERBOX_FILL).all(-1).any()


def test_very_long_pictures_of_which_a_crop_keeps_the_centre():
    for width, height in ((1, 5000), (2, 60_000), (5000, 1)):
        data = encoded(striped(width, height), "PNG")
        for size in (8, 64):
            assert (decode_picture(data, "", size, "crop") == GREEN).all()
        boxed = decode_picture(data, "", 64, "letterbox")
        inside = (boxed != LETTERBOX_FILL).any(-1)
        assert inside.sum() == 64
        assert (boxed[inside][[0, 32, 63]] == [RED, GREEN, BLUE]).all()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("width", "height", "size"), [(1501, 1003, 64), (129, 257, 8)])
def test_large_photograph_looks_as_resampled_in_full(width, height, size, fit):
    rows, columns = np.mgrid[:height, :width]
    smooth = np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 256 // 2], -1)
    data = encoded(Image.fromarray(smooth.astype(np.uint8)), "JPEG", quality=95)
    got = decode_picture(data, "", size, fit).astype(float)
    full = Image.open(io.BytesIO(data))
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        wanted = full.resize((size, size), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
    else:
        short = round(size * min(width, height) / max(width, height))
        shape = (size, short) if width >= height else (short, size)
        wanted = Image.new("RGB", (size, size), LETTERBOX_FILL)
        offset = tuple((size - length) // 2 for length in shape)
        wanted.paste(full.resize(shape, Image.Resampling.BICUBIC), offset)
    assert np.abs(got - np.asarray(wanted, float)).mean() < 0.9


def test_large_photograph_is_not_decoded_in_full():
    data = encoded(Image.new("RGB", (800, 600), RED), "JPEG")
    with mock.patch.object(pictures, "_rgb", side_effect=pictures._rgb) as decoded:
        decode_picture(data, "", 32, "crop")
    assert decoded.call_args.args[0].size == (100, 75)


NOISE = Image.fromarray(np.random.Generator(np.random.PCG64(1)).integers(0, 256, (24, 20, 3), np.uint8))
BAD = {
    "empty": (b"", "empty file, expected a picture"),
    "text": (b"hello", "not a picture of a known format, expected JPEG, PNG"),
    "html": (b"\r\n<!DOCTYPE html><html>Not found</html>", "an HTML page, expected JPEG, PNG"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture of a known format"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "not a picture of a known format"),
    "cut png": (encoded(NOISE, "PNG")[:-700], "cannot be decoded, .*; expected a whole picture"),
    "cut jpeg": (encoded(NOISE, "JPEG")[:-300], "cannot be decoded, OSError image file is truncated"),
    "cut webp": (encoded(NOISE, "WEBP")[:-100], "cannot be decoded|not a picture"),
    "cut tiff": (encoded(NOISE, "TIFF")[:-1300], "cannot be decoded|not a picture"),
    "bomb": (png(20_000, 20_000), r"Image size \(400000000 pixels\), expected 134217728 pixels at most"),
    "little too large": (png(12_000, 12_000), "12000 x 12000 pixels, expected 134217728 pixels at most"),
    "too long": (png(2**21, 1), "2097152 x 1 pixels, expected .* at most, 1048576 a side"),
    "no height": (png(8, 0), "cannot be decoded|not a picture"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_bytes_are_told_in_one_line(tmp_path, name):
    data, line = BAD[name]
    path = tmp_path / "bad.jpg"
    path.write_bytes(data)
    with warnings.catch_warnings(record=True) as warned, refusal(line, f"{path}: "):
        read_picture(path, 8, "crop")
    assert not warned


def test_bad_files_are_told(tmp_path):
    path = tmp_path / "large.jpg"
    with refusal("large.jpg: not found, expected a picture file"):
        read_picture(path, 8, "crop")
    with open(path, "wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with refusal("large.jpg: 268435457 bytes, expected 268435456 at most"):
        read_picture(path, 8, "crop")


def test_picture_above_pillow_s_own_limit_is_read_without_a_warning(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    data = encoded(NOISE, "PNG")
    with warnings.catch_warnings(record=True) as caught, ThreadPoolExecutor(4) as pool:
        for array in pool.map(lambda _: decode_picture(data, "", 20, "crop"), range(40)):
            assert array.shape == (20, 20, 3)
    assert not caught
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.raises(DataError, match="Image size"):
        decode_picture(encoded(NOISE, "PNG"), "", 20, "crop")


EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
SEEDS = {
    "JPEG": encoded(NOISE, "JPEG", exif=EXIF),
    "JPEG, progressive": encoded(NOISE.convert("CMYK"), "JPEG", progressive=True),
    "PNG": encoded(NOISE, "PNG"),
    "PNG, palette": encoded(NOISE.quantize(16), "PNG", transparency=3),
    "GIF": encoded(NOISE, "GIF", save_all=True, append_images=[NOISE.rotate(90)]),
    "TIFF": encoded(NOISE, "TIFF"),
    "TIFF, deflated": encoded(NOISE, "TIFF", compression="tiff_adobe_deflate"),
    "TIFF, I;16": big_endian(9),
    "BMP": encoded(NOISE, "BMP"),
    "WEBP": encoded(NOISE, "WEBP"),
    "PPM": encoded(NOISE, "PPM"),
}


@st.composite
def mutations(draw):
    # Mostly near the start, where the headers are.
    places = st.floats(0, 1).map(lambda share: share**3)
    changes = draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6))
    return changes, draw(st.just(1.0) | st.floats(0, 1))


@pytest.mark.parametrize("name", SEEDS)
def test_broken_bytes_give_a_picture_or_are_told(name):
    told = []

    @settings(max_examples=30, deadline=None, database=None)
    @given(mutations(), st.sampled_from(FITS))
    def check(mutation, fit):
        changes, kept = mutation
        data = bytearray(SEEDS[name])
        for place, byte in changes:
            data[int(place * (len(data) - 1))] = byte
        data = bytes(data[: int(kept * len(data))])
        try:
            array = decode_picture(data, "x", 8, fit)
        except DataError as error:
            told.append(str(error))
        else:
            assert (array.dtype, array.shape) == (np.uint8, (8, 8, 3))

    with mock.patch.object(pictures, "MAX_PIXELS", 2**20), warnings.catch_warnings(record=True) as caught:
        check()
    assert not caught
    assert told
    assert not any("\n" in line for line in told)
