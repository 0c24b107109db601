"""Pictures in the graph against Pillow's, bit for bit."""

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gch.data.pictures import FITS, decode_picture
from gch.export.pictures import decoded

SIDE = 32


def photograph(height: int, width: int, channels: int = 3, seed: int = 0) -> Image.Image:
    """Smooth colours with some noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [127 + 120 * np.sin(x / (7 + 5 * c) + y / (11 - 2 * c) + c) for c in range(channels)]
    pixels = np.stack(waves, axis=2) + random.normal(0, 6, (height, width, channels))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels if channels > 1 else pixels[:, :, 0])


def content(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def compiled():
    """`decoded` as a graph, by fit."""
    signature = [tf.TensorSpec([], tf.string)]
    return {
        fit: tf.function(
            lambda data, fit=fit: decoded(data, tf.constant(7), SIDE, fit), input_signature=signature
        )
        for fit in FITS
    }


def check(compiled, data: bytes, fit: str) -> None:
    np.testing.assert_array_equal(compiled[fit](data), decode_picture(data, "picture", SIDE, fit))


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    ("shape", "kind", "options"),
    [
        ((50, 70), "JPEG", {"quality": 80}),
        ((70, 50), "JPEG", {"quality": 95, "subsampling": 0}),
        ((32, 32), "JPEG", {}),
        ((301, 517), "JPEG", {"progressive": True}),  # decoded at a fourth
        ((1033, 779), "JPEG", {}),  # at an eighth, and reduced
        ((20, 31), "JPEG", {}),  # enlarged
        ((3, 400), "PNG", {}),
        ((451, 613), "PNG", {}),  # reduced by whole numbers
        ((33, 45), "BMP", {}),
    ],
)
def test_files_come_out_as_pillow_reads_them(compiled, shape, kind, options, fit):
    check(compiled, content(photograph(*shape), kind, **options), fit)


@pytest.mark.parametrize("fit", FITS)
def test_grey_transparent_and_palette_pictures(compiled, fit):
    check(compiled, content(photograph(60, 80, 1), "JPEG"), fit)
    check(compiled, content(photograph(60, 80, 1), "PNG"), fit)
    check(compiled, content(photograph(60, 80, 4), "PNG"), fit)
    check(compiled, content(photograph(60, 80).quantize(64), "PNG"), fit)
    check(compiled, content(photograph(60, 80).quantize(64), "GIF"), fit)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("orientation", range(10))
def test_a_jpeg_is_turned_as_its_exif_data_say(compiled, orientation, fit):
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    exif[0x0112] = orientation
    check(compiled, content(photograph(50, 90), "JPEG", exif=exif), fit)


def test_exif_data_that_make_no_sense_do_no_harm(compiled):
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = content(photograph(50, 90), "JPEG", exif=exif)
    start = whole.index(b"Exif")
    for place, value in ((start + 6, b"XX"), (start + 10, b"\xff\xff\xff\x7f"), (start + 14, b"\xff\xff")):
        damaged = whole[:place] + value + whole[place + len(value) :]
        assert compiled["crop"](damaged).shape == (SIDE, SIDE, 3)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from(["JPEG", "PNG"]), st.sampled_from(FITS))
def test_any_size(compiled, height, width, kind, fit):
    check(compiled, content(photograph(height, width), kind), fit)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0 cut"])
def test_other_bytes_are_refused(compiled, data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        compiled["crop"](data)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"picture.*7.*JPEG, PNG, GIF or BMP"):
        compiled["crop"](b"no picture")


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (2**15).to_bytes(4, "big") * 2,
        b"GIF89a" + b"\xff" * 4,
        b"BM" + b"\0" * 16 + (2**15).to_bytes(4, "little") * 2,
    ],
)
def test_a_picture_that_claims_to_be_huge_is_not_decoded(compiled, data):
    with pytest.raises(tf.errors.InvalidArgumentError, match="134217728 at most"):
        compiled["crop"](data)
