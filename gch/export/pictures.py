"""Pictures in a TensorFlow graph, of any size, as bytes or pixels: what `gch.data.pictures` does with files.

JPEG, PNG of 8 bits, BMP and the first picture of a GIF come out as Pillow reads them, to the last bit. What
differs: grey PNG of 16 bits keep the upper 8 only, transparent parts of a GIF and CMYK JPEG are coloured by
TensorFlow's rules, EXIF data count in JPEG alone, and WebP, TIFF and BMP with a palette are not read.
"""

import tensorflow as tf

from gch.data.pictures import LETTERBOX_FILL, MAX_PIXELS
from gch.export.orientation import exif_orientation, upright
from gch.export.resampling import GAP, resized

EXPECTED = "expected the bytes of a JPEG, PNG, GIF or BMP picture"
HEADER = 32  # bytes, in which all but a JPEG tell their size


def decoded(content: tf.Tensor, name: tf.Tensor, size: int, fit: str) -> tf.Tensor:
    """The picture that the bytes of a picture file hold, upright and square.

    Args:
      content: string scalar.
      name: scalar of any type, for messages.
      size: side of the result in pixels.
      fit: 'crop' or 'letterbox', as of `gch.data.pictures.decode_picture`.

    Returns:
      uint8 (size, size, 3), RGB. When the graph runs, bytes of anything else, and pictures of more than
      `MAX_PIXELS`, raise InvalidArgumentError.
    """
    header = _header(content)

    def starts(*magic: bytes) -> tf.Tensor:
        return tf.reduce_any([tf.strings.substr(content, 0, len(one)) == one for one in magic])

    def kind(shape, read):
        """What is done with one format: its size is checked before a pixel is decoded."""
        return lambda: _checked(shape, name, read)

    def jpeg():
        shape = tf.io.extract_jpeg_shape(content)[:2]
        return _checked(lambda: shape, name, lambda: _jpeg(content, shape, size, fit))

    picture, extent, orientation = tf.case(
        [
            (starts(b"\xff\xd8"), jpeg),
            (
                starts(b"\x89PNG\r\n\x1a\n"),
                kind(
                    lambda: _numbers(header, (20, 16), 4, big=True),
                    lambda: _whole(_on_white(tf.io.decode_png(content, 4))),
                ),
            ),
            (
                starts(b"GIF87a", b"GIF89a"),
                kind(lambda: _numbers(header, (8, 6), 2), lambda: _whole(_first(content))),
            ),
            (
                starts(b"BM"),
                kind(lambda: tf.abs(_numbers(header, (22, 18), 4)), lambda: _whole(_bitmap(content))),
            ),
        ],
        default=lambda: _unknown(name),
        exclusive=False,
    )
    return squared(picture, extent, orientation, size, fit)


def squared(picture: tf.Tensor, extent: tf.Tensor, orientation: tf.Tensor, size: int, fit: str) -> tf.Tensor:
    """A picture scaled, turned and cropped or padded to a square.

    Args:
      picture: uint8 (H, W, 3).
      extent: float64 (2,), height and width, which need not be whole for a JPEG decoded at a fraction.
      orientation: int32 scalar, EXIF's number in 1..8.
      size: side of the result in pixels.
      fit: 'crop' or 'letterbox'.

    Returns:
      uint8 (size, size, 3).
    """
    if fit == "crop":
        side = tf.reduce_min(extent)
        start = (extent - side) / 2
        start = tf.where(side == size, tf.floor(start), start)  # no half pixels where nothing is scaled
        box = tf.concat([start, start + side], axis=0)
        square = upright(resized(picture, tf.constant([size, size]), box), orientation)
    else:
        wanted = tf.maximum(tf.cast(tf.round(extent * size / tf.reduce_max(extent)), tf.int32), 1)
        scaled = upright(resized(picture, wanted, tf.concat([tf.zeros_like(extent), extent], 0)), orientation)
        free = size - tf.shape(scaled)[:2]
        before = free // 2
        margins = tf.concat([tf.stack([before, free - before], axis=1), [[0, 0]]], axis=0)
        fill = tf.constant(LETTERBOX_FILL, tf.float64)
        square = tf.pad(scaled - fill, margins) + fill
    return tf.ensure_shape(tf.cast(square, tf.uint8), (size, size, 3))


def _checked(shape, name: tf.Tensor, read) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    found = tf.cast(shape(), tf.int64)
    fits = tf.reduce_prod(found) <= MAX_PIXELS
    told = ["picture", name, "has", found, f"pixels; expected {MAX_PIXELS} at most"]
    with tf.control_dependencies([tf.debugging.Assert(fits, told)]):
        return read()


def _header(content: tf.Tensor) -> tf.Tensor:
    padded = tf.strings.join([tf.strings.substr(content, 0, HEADER), tf.constant(b"\0" * HEADER)])
    return tf.cast(tf.io.decode_raw(tf.strings.substr(padded, 0, HEADER), tf.uint8), tf.int32)


def _numbers(header: tf.Tensor, places: tuple[int, int], size: int, big: bool = False) -> tf.Tensor:
    """Height and width, int32 (2,), of `size` bytes each at the places."""
    powers = tf.constant([256**i for i in range(size - 1)] + [256 ** (size - 1)], tf.int32)
    powers = powers[::-1] if big else powers
    return tf.stack([tf.reduce_sum(header[place : place + size] * powers) for place in places])


def _jpeg(content: tf.Tensor, shape: tf.Tensor, size: int, fit: str):
    """Decoded at a fraction of its size where it is much too large; its extent in those pixels."""
    least = tf.constant(size * GAP)
    if fit == "letterbox":
        least = tf.maximum(1, least * tf.reduce_min(shape) // tf.reduce_max(shape))
    times = tf.reduce_min(shape // least)
    power = tf.reduce_sum(tf.cast(times >= [2, 4, 8], tf.int32))
    picture = tf.switch_case(
        power,
        [
            lambda ratio=ratio: tf.io.decode_jpeg(content, 3, ratio, dct_method="INTEGER_ACCURATE")
            for ratio in (1, 2, 4, 8)
        ],
    )
    extent = tf.cast(shape, tf.float64) / 2.0 ** tf.cast(power, tf.float64)
    return picture, extent, exif_orientation(content)


def _whole(picture: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    return tf.cast(picture, tf.uint8), tf.cast(tf.shape(picture)[:2], tf.float64), tf.constant(1)


def _on_white(picture: tf.Tensor) -> tf.Tensor:
    """RGBA laid on white, rounded as Pillow does."""
    picture = tf.cast(picture, tf.int32)
    alpha = picture[..., 3:]
    total = 255 * (255 - alpha) + picture[..., :3] * alpha + 128
    return (total // 256 + total) // 256


def _first(content: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(content, 3, expand_animations=False)


def _bitmap(content: tf.Tensor) -> tf.Tensor:
    picture = tf.io.decode_bmp(content)
    return tf.cond(tf.shape(picture)[2] >= 3, lambda: picture[..., :3], lambda: tf.tile(picture, [1, 1, 3]))


def _unknown(name: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    told = tf.debugging.Assert(tf.constant(False), ["picture", name, "is none that is known here;", EXPECTED])
    with tf.control_dependencies([told]):
        return _whole(tf.zeros([1, 1, 3], tf.uint8))
