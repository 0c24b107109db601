"""Pictures in a TensorFlow graph, of any size, as bytes or pixels: what `gch.data.pictures` does with files.

JPEG, PNG of 8 bits, BMP and the first picture of a GIF come out as Pillow reads them, to the last bit. What
differs: grey PNG of 16 bits keep the upper 8 only, transparent parts of a GIF and CMYK JPEG are coloured by
TensorFlow's rules, EXIF data count in JPEG alone, and WebP, TIFF and BMP with a palette are not read.
"""

import tensorflow as tf

from gch.data.pictures import LETTERBOX_FILL
from gch.export.resampling import GAP, resized

EXPECTED = "expected the bytes of a JPEG, PNG, GIF or BMP picture"
EXIF = b"Exif\x00\x00"
EXIF_BYTES = 2**17  # of a JPEG, in which its EXIF data are looked for
ORIENTATION = 0x0112
LONGEST_TABLE = 200  # entries of an EXIF table that are looked at


def decoded(content: tf.Tensor, size: int, fit: str) -> tf.Tensor:
    """The picture that the bytes of a picture file hold, upright and square.

    Args:
      content: string scalar.
      size: side of the result in pixels.
      fit: 'crop' or 'letterbox', as of `gch.data.pictures.decode_picture`.

    Returns:
      uint8 (size, size, 3), RGB. In a graph, other bytes raise InvalidArgumentError when it runs.
    """

    def starts(*magic: bytes) -> tf.Tensor:
        return tf.reduce_any([tf.strings.substr(content, 0, len(one)) == one for one in magic])

    upright = tf.constant(1)
    picture, extent, orientation = tf.case(
        [
            (starts(b"\xff\xd8"), lambda: (*_jpeg(content, size, fit), _orientation(content))),
            (starts(b"\x89PNG"), lambda: (*_whole(_on_white(tf.io.decode_png(content, 4))), upright)),
            (starts(b"GIF8"), lambda: (*_whole(_first(content)), upright)),
            (starts(b"BM"), lambda: (*_whole(_bitmap(content)), upright)),
        ],
        default=lambda: (*_whole(_unknown()), upright),
        exclusive=False,
    )
    return squared(picture, extent, orientation, size, fit)


def squared(picture: tf.Tensor, extent: tf.Tensor, orientation: tf.Tensor, size: int, fit: str) -> tf.Tensor:
    """A picture scaled, turned and cropped or padded to a square.

    Args:
      picture: float64 (H, W, 3), whole numbers in 0..255.
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
        square = _turned(resized(picture, tf.constant([size, size]), box), orientation)
    else:
        wanted = tf.maximum(tf.cast(tf.round(extent * size / tf.reduce_max(extent)), tf.int32), 1)
        scaled = _turned(resized(picture, wanted, tf.concat([tf.zeros_like(extent), extent], 0)), orientation)
        free = size - tf.shape(scaled)[:2]
        before = free // 2
        margins = tf.concat([tf.stack([before, free - before], axis=1), [[0, 0]]], axis=0)
        fill = tf.constant(LETTERBOX_FILL, tf.float64)
        square = tf.pad(scaled - fill, margins) + fill
    return tf.ensure_shape(tf.cast(square, tf.uint8), (size, size, 3))


def _jpeg(content: tf.Tensor, size: int, fit: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Decoded at a fraction of its size where it is much too large, and its extent in those pixels."""
    shape = tf.io.extract_jpeg_shape(content)[:2]
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
    return tf.cast(picture, tf.float64), tf.cast(shape, tf.float64) / 2.0 ** tf.cast(power, tf.float64)


def _whole(picture: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    picture = tf.cast(picture, tf.float64)
    return picture, tf.cast(tf.shape(picture)[:2], tf.float64)


def _on_white(picture: tf.Tensor) -> tf.Tensor:
    """RGBA laid on white, rounded as Pillow does."""
    picture = tf.cast(picture, tf.int32)
    alpha = picture[..., 3:]
    total = 255 * (255 - alpha) + picture[..., :3] * alpha + 128
    return (total // 256 + total) // 256


def _first(content: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.decode_gif(content)[0], tf.int32)


def _bitmap(content: tf.Tensor) -> tf.Tensor:
    picture = tf.cast(tf.io.decode_bmp(content), tf.int32)
    return tf.cond(tf.shape(picture)[2] >= 3, lambda: picture[..., :3], lambda: tf.tile(picture, [1, 1, 3]))


def _unknown() -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.Assert(tf.constant(False), [EXPECTED])]):
        return tf.zeros([1, 1, 3], tf.int32)


def _turned(picture: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turned as EXIF's number says: 5 to 8 change rows and columns."""

    def where(numbers: list[int], turn) -> None:
        nonlocal picture
        picture = tf.cond(tf.reduce_any(orientation == numbers), lambda: turn(picture), lambda: picture)

    where([5, 6, 7, 8], lambda one: tf.transpose(one, [1, 0, 2]))
    where([3, 4, 7, 8], lambda one: one[::-1])
    where([2, 3, 6, 7], lambda one: one[:, ::-1])
    return picture


def _orientation(content: tf.Tensor) -> tf.Tensor:
    """EXIF's number of a JPEG, int32; 1 where there is none, or none that makes sense."""
    data = tf.cast(tf.io.decode_raw(tf.strings.substr(content, 0, EXIF_BYTES), tf.uint8), tf.int32)
    data = tf.pad(data, [[0, 16 + 12 * LONGEST_TABLE]])  # reading beyond the end finds zeros
    places = tf.size(data) - len(EXIF)
    matches = tf.reduce_all([data[i : places + i] == byte for i, byte in enumerate(EXIF)], axis=0)
    header = tf.cast(tf.argmax(matches), tf.int32) + len(EXIF)
    little = data[header] == ord("I")

    def number(place: tf.Tensor, size: int) -> tf.Tensor:
        """Of `size` bytes at places (n,)."""
        place = tf.clip_by_value(place, 0, tf.size(data) - size)
        digits = tf.stack([tf.gather(data, place + i) for i in range(size)], axis=-1)
        powers = tf.constant([256**i for i in range(size)])
        return tf.reduce_sum(digits * tf.where(little, powers, powers[::-1]), axis=-1)

    table = header + number(header + 4, 4)
    entries = table + 2 + 12 * tf.range(tf.minimum(number(table, 2), LONGEST_TABLE))
    found = tf.boolean_mask(number(entries + 8, 2), number(entries, 2) == ORIENTATION)
    value = tf.reduce_sum(found[:1])
    return tf.where(tf.reduce_any(matches) & (value >= 1) & (value <= 8), value, 1)
