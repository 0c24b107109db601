"""One file, one picture: as the bytes that an exported model takes, and as a file that is encoded."""

import functools
import io
import itertools
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from written import chunk

from gch.data.pictures import FITS, decode_picture
from gch.export.pictures import decoded

SIDE = 32
WRONG = tf.errors.InvalidArgumentError


def photograph(height: int, width: int, mode: str = "RGB") -> Image.Image:
    """Smooth colours with some noise."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    waves = [127 + 120 * np.sin(x / (7 + 5 * c) + y / (11 - 2 * c) + c) for c in range(4)]
    pixels = np.stack(waves, axis=2) + random.normal(0, 6, (height, width, 4))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).convert(mode)


def content(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@functools.cache
def compiled(fit: str):
    """`decoded` as a graph."""
    signature = [tf.TensorSpec([], tf.string)]
    return tf.function(lambda data: decoded(data, tf.constant(7), SIDE, fit), signature, autograph=False)


def check(data: bytes, fit: str = "crop") -> None:
    np.testing.assert_array_equal(compiled(fit)(data), decode_picture(data, "picture", SIDE, fit))


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    ("shape", "kind", "options"),
    [
        ((70, 50), "JPEG", {"quality": 95, "subsampling": 0}),
        ((301, 517), "JPEG", {"progressive": True}),  # decoded at a fourth
        ((1033, 779), "JPEG", {}),  # at an eighth
        ((3, 400), "PNG", {}),
        ((33, 45), "BMP", {}),
    ],
)
def test_files_of_any_shape(shape, kind, options, fit):
    check(content(photograph(*shape), kind, **options), fit)


@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from(["JPEG", "PNG"]), st.sampled_from(FITS))
def test_any_size(height, width, kind, fit):
    check(content(photograph(height, width), kind), fit)


def png(depth: int, kind: int, clear: bool) -> bytes:
    """A PNG of any depth and colour type (0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA)."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    random = np.random.default_rng(depth + kind)
    rows = random.integers(0, 256, (40, 48 * channels * depth // 8), np.uint8)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 40, depth, kind, 0, 0, 0))]
    if kind == 3:
        parts.append(chunk(b"PLTE", random.integers(0, 256, 3 * 2**depth, np.uint8).tobytes()))
    if not clear:
        alphas = random.integers(0, 256, 2**depth, np.uint8).tobytes() if kind == 3 else b"\0\1" * channels
        parts.append(chunk(b"tRNS", alphas))
    pixels = b"".join(b"\0" + row.tobytes() for row in rows)
    return b"".join([*parts, chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")])


DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PNGS = [
    (depth, kind, clear)
    for kind, depths in DEPTHS.items()
    for depth, clear in itertools.product(depths, (True, False) if kind < 4 else (True,))
]
SAVED = {  # mode, format, options; whether the bytes are read
    **{f"{mode} JPEG": (mode, "JPEG", {}, True) for mode in ("L", "RGB", "CMYK")},
    "CMYK of a large JPEG": ("CMYK", "JPEG", {"quality": 30, "progressive": True}, True),
    **{f"{mode} PNG": (mode, "PNG", {}, True) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")},
    "interlaced PNG": ("RGB", "PNG", {"interlace": 1}, True),
    "RGB BMP": ("RGB", "BMP", {}, True),
    **{f"{mode} BMP": (mode, "BMP", {}, False) for mode in ("1", "L", "P", "RGBA")},
    "P GIF": ("P", "GIF", {}, True),
    "L GIF": ("L", "GIF", {}, True),
    "transparent GIF": ("P", "GIF", {"transparency": 3}, False),
    **{f"{mode} WebP": (mode, "WEBP", {}, False) for mode in ("RGB", "RGBA")},
    **{f"{mode} TIFF": (mode, "TIFF", {}, False) for mode in ("L", "RGB", "CMYK")},
    "PPM": ("RGB", "PPM", {}, False),
}


def equal_or_refused(data: bytes, read: bool) -> None:
    if read:
        check(data)
    else:
        assert decode_picture(data, "picture", SIDE, "crop").shape == (SIDE, SIDE, 3)
        with pytest.raises(WRONG, match=r"picture.*7.*not of a known format"):
            compiled("crop")(data)


@pytest.mark.parametrize(("depth", "kind", "clear"), PNGS)
def test_png_of_every_depth_and_colour_type(depth, kind, clear):
    equal_or_refused(png(depth, kind, clear), read=clear or depth == 8)


@pytest.mark.parametrize("name", SAVED)
def test_every_mode_and_format(name):
    mode, kind, options, read = SAVED[name]
    if mode == "I;16":
        picture = Image.fromarray(np.arange(4000, dtype=np.uint16).reshape(50, 80) * 16)
    else:
        picture = photograph(300 if "large" in name else 60, 80, "RGB" if mode == "P" else mode)
        picture = picture.quantize(64) if mode == "P" else picture
    data = content(picture, kind, **options)
    equal_or_refused(data, read)
    with pytest.raises(WRONG):  # cut short
        compiled("crop")(data[: len(data) // 2])


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(10))
def test_turned_as_the_exif_data_say(orientation, kind):
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    exif[0x0112] = orientation
    check(content(photograph(51, 90), kind, exif=exif), "letterbox")


def test_other_data_than_exif_and_exif_data_that_make_no_sense_do_no_harm():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    check(content(photograph(50, 90), "JPEG", xmp=xmp))
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = content(photograph(50, 90), "JPEG", exif=exif)
    start = whole.index(b"Exif")
    for place, value in ((start + 6, b"XX"), (start + 10, b"\xff\xff\xff\x7f"), (start + 14, b"\xff\xff")):
        damaged = whole[:place] + value + whole[place + len(value) :]
        assert compiled("crop")(damaged).shape == (SIDE, SIDE, 3)


def test_a_gif_whose_first_frame_is_smaller_than_its_canvas_is_refused():
    data = bytearray(content(photograph(40, 40, "L"), "GIF"))
    data[6] += 9
    equal_or_refused(bytes(data), read=False)


HUGE = (2**15).to_bytes(4, "big") * 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        *((data, "not of a known format") for data in (b"", b"no picture", b"BM", b"GIF89a")),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(8) + b"\x08\2", "PNG"),
        (b"\xff\xd8\xff\xe0 cut", "JPEG"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + HUGE + b"\x08\2\0\0\0", "134217728 at most"),
        (b"GIF89a" + b"\xff" * 4 + b"\0\0\0\x2c\0\0\0\0" + b"\xff" * 4, "134217728 at most"),
        (b"BM" + b"\0" * 12 + b"\x28\0\0\0" + HUGE[::-1] + b"\1\0\x18\0", "134217728 at most"),
    ],
)
def test_other_bytes_and_pictures_that_claim_to_be_huge_are_refused(data, message):
    with pytest.raises(WRONG, match=message):
        compiled("crop")(data)
