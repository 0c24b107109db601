"""Files of pictures in a TensorFlow graph, decoded as `gch.data.pictures` does it or refused.

JPEG, PNG, opaque GIF and BMP of 24 bits decode as in Pillow, to the last bit. What TensorFlow
misreads is refused: PNG with a transparent colour and not 8 bits, GIF that is transparent or smaller than its
canvas, other BMP. WebP, TIFF and PPM are refused too.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from gch.data.pictures import DRAFT, MAX_PIXELS
from gch.data.squares import squared

EXPECTED = "expected the bytes of a JPEG, PNG, GIF or BMP picture, opaque but for PNG of 8 bits or more"
HEADER = 32  # bytes, in which all but a JPEG have their size
EXIF_BYTES = 2**17  # in which a JPEG's EXIF data begin, and of EXIF data that are looked at
EXIF_ORIENTATION = 0x0112
LONGEST_TABLE = 200  # entries of an EXIF table that are looked at


def decoded(content: tf.Tensor, name: tf.Tensor, size: int, fit: str) -> tf.Tensor:
    """The picture that the bytes of a file hold, a string scalar, upright and square: uint8 (size, size, 3).

    When the graph runs, bytes of anything else, and pictures of more than `MAX_PIXELS`, raise
    InvalidArgumentError with `name`, a scalar. `fit` is 'crop' or 'letterbox', see `gch.data.squares`.
    """
    head = tf.strings.substr(tf.strings.join([content, b"\0" * HEADER]), 0, HEADER)
    header = tf.cast(tf.io.decode_raw(head, tf.uint8), tf.int32)

    def starts(*magic: bytes) -> tf.Tensor:
        return tf.reduce_any([tf.strings.substr(content, 0, len(one)) == one for one in magic])

    def numbers(places: tuple[int, int], count: int, big: bool = False) -> tf.Tensor:
        """Height and width, int32 (2,), of `count` bytes each at the places."""
        powers = tf.constant([256**i for i in range(count)][:: -1 if big else 1], tf.int32)
        return tf.stack([tf.reduce_sum(header[place : place + count] * powers) for place in places])

    def kind(shape: Callable[[], tf.Tensor], read: Callable[[], tf.Tensor]) -> Callable[[], tf.Tensor]:
        """The branch of one format, which checks the size before a pixel is decoded."""

        def checked() -> tf.Tensor:
            found = tf.cast(shape(), tf.int64)
            message = ["picture", name, "has", found, f"pixels; expected {MAX_PIXELS} at most"]
            check = tf.debugging.Assert(tf.reduce_prod(found) <= MAX_PIXELS, message)
            with tf.control_dependencies([check]):
                return read()

        return checked

    def refused() -> tf.Tensor:
        message = ["picture", name, "is not of a known format;", EXPECTED]
        with tf.control_dependencies([tf.debugging.Assert(tf.constant(False), message)]):
            return tf.zeros([1, 1, 3], tf.uint8)

    depth, clear = header[24], ~_holds(content, b"tRNS")
    canvas = tf.strings.join([b"\x2c\0\0\0\0", tf.strings.substr(head, 6, 4)])  # a frame that fills it
    frame = tf.strings.join([_after(content, b"\x21\xf9\x04"), b"\0"])
    flags = tf.io.decode_raw(tf.strings.substr(frame, 0, 1), tf.uint8)[0]  # odd where it is transparent
    is_png = starts(b"\x89PNG\r\n\x1a\n") & ((depth == 8) | clear)
    is_gif = starts(b"GIF87a", b"GIF89a") & (flags % 2 == 0) & _holds(content, canvas)
    is_bmp = starts(b"BM") & (header[14] >= 40) & (header[28] == 24) & (header[30] == 0)
    first_of_gif = functools.partial(tf.io.decode_image, content, 3, expand_animations=False)
    jpeg = kind(lambda: tf.io.extract_jpeg_shape(content)[:2], lambda: _jpeg(content, size, fit))
    png = kind(lambda: numbers((20, 16), 4, big=True), lambda: _png(content, header, clear))
    gif = kind(lambda: numbers((8, 6), 2), first_of_gif)
    bmp = kind(lambda: tf.abs(numbers((22, 18), 4)), lambda: tf.io.decode_bmp(content, 3))
    kinds = [(starts(b"\xff\xd8"), jpeg), (is_png, png), (is_gif, gif), (is_bmp, bmp)]
    picture = tf.case(kinds, default=refused, exclusive=False)
    return tf.ensure_shape(squared(picture[None], size, fit)[0], (size, size, 3))


def _jpeg(content: tf.Tensor, size: int, fit: str) -> tf.Tensor:
    """Decoded at a fraction of its size where it is much too large."""
    shape = tf.io.extract_jpeg_shape(content)[:2]
    least = tf.constant(size * DRAFT)
    if fit == "letterbox":
        least = tf.maximum(1, least * tf.reduce_min(shape) // tf.reduce_max(shape))
    power = tf.reduce_sum(tf.cast(tf.reduce_min(shape // least) >= [2, 4, 8], tf.int32))

    def at(ratio: int) -> tf.Tensor:
        picture = tf.io.decode_jpeg(content, 3, ratio, dct_method="INTEGER_ACCURATE")
        whole = (shape + ratio // 2) // ratio  # last pixels that stand for less than half of one go
        return picture[: whole[0], : whole[1]]

    picture = tf.switch_case(power, [functools.partial(at, ratio) for ratio in (1, 2, 4, 8)])
    return _upright(picture, _after(tf.strings.substr(content, 0, EXIF_BYTES), b"Exif\0\0"))


def _png(content: tf.Tensor, header: tf.Tensor, clear: tf.Tensor) -> tf.Tensor:
    depth, kind = header[24], header[25]

    def grey_of_16_bits() -> tf.Tensor:
        grey = tf.cast(tf.io.decode_png(content, 1, tf.uint16), tf.int32)
        return tf.tile(tf.cast((grey + 128) // 257, tf.uint8), [1, 1, 3])

    def on_white(row: tf.Tensor) -> tf.Tensor:
        """RGBA (W, 4) laid on white, rounded as Pillow does."""
        row = tf.cast(row, tf.int32)
        alpha = row[..., 3:]
        total = 255 * (255 - alpha) + row[..., :3] * alpha + 128
        return tf.cast((total // 256 + total) // 256, tf.uint8)

    picture = tf.case(
        [
            ((depth == 16) & (kind == 0), grey_of_16_bits),
            (clear & (kind < 4), lambda: tf.io.decode_png(content, 3)),
        ],
        # Row by row: the numbers in between need four times the memory.
        default=lambda: tf.map_fn(on_white, tf.io.decode_png(content, 4)),
        exclusive=False,
    )
    return _upright(picture, _after(content, b"eXIf"))


def _upright(picture: tf.Tensor, exif: tf.Tensor) -> tf.Tensor:
    """A picture (H, W, C) turned as its EXIF data say, a string scalar that begins with them, or empty."""
    data = tf.cast(tf.io.decode_raw(tf.strings.substr(exif, 0, EXIF_BYTES), tf.uint8), tf.int32)
    data = tf.pad(data, [[0, 16 + 12 * LONGEST_TABLE]])  # reading beyond the end finds zeros
    little = data[0] == ord("I")

    def number(place: int | tf.Tensor, size: int) -> tf.Tensor:
        """Of `size` bytes at places (n,)."""
        place = tf.clip_by_value(place, 0, tf.size(data) - size)
        digits = tf.stack([tf.gather(data, place + i) for i in range(size)], axis=-1)
        powers = tf.constant([256**i for i in range(size)])
        return tf.reduce_sum(digits * tf.where(little, powers, powers[::-1]), axis=-1)

    table = number(4, 4)
    entries = table + 2 + 12 * tf.range(tf.minimum(number(table, 2), LONGEST_TABLE))
    found = tf.boolean_mask(number(entries + 8, 2), number(entries, 2) == EXIF_ORIENTATION)
    orientation = tf.reduce_sum(found[:1])  # what is not in 2..8 turns nothing

    def turned(numbers: list[int], turn: Callable[[tf.Tensor], tf.Tensor], one: tf.Tensor) -> tf.Tensor:
        return tf.cond(tf.reduce_any(orientation == numbers), lambda: turn(one), lambda: one)

    picture = turned([5, 6, 7, 8], lambda one: tf.transpose(one, [1, 0, 2]), picture)
    picture = turned([3, 4, 7, 8], lambda one: one[::-1], picture)
    return turned([2, 3, 6, 7], lambda one: one[:, ::-1], picture)


def _after(content: tf.Tensor, mark: bytes) -> tf.Tensor:
    """What comes after the first mark; empty where there is none."""
    return tf.concat([tf.strings.split(content, mark, 1)[1:], [b""]], axis=0)[0]


def _holds(content: tf.Tensor, mark: bytes | tf.Tensor) -> tf.Tensor:
    return tf.size(tf.strings.split(content, mark, 1)) > 1
