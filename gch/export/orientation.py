"""The way up of a picture in a TensorFlow graph: EXIF's number, and turning a picture as it says."""

import tensorflow as tf

EXIF_BYTES = 2**17  # of EXIF data that are looked at
ORIENTATION = 0x0112
LONGEST_TABLE = 200  # entries of an EXIF table that are looked at


def upright(picture: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """A picture (H, W, C) turned as EXIF's number says: 5 to 8 change rows and columns."""

    def where(numbers: list[int], turn) -> None:
        nonlocal picture
        picture = tf.cond(tf.reduce_any(orientation == numbers), lambda: turn(picture), lambda: picture)

    where([5, 6, 7, 8], lambda one: tf.transpose(one, [1, 0, 2]))
    where([3, 4, 7, 8], lambda one: one[::-1])
    where([2, 3, 6, 7], lambda one: one[:, ::-1])
    return picture


def orientation_of(exif: tf.Tensor) -> tf.Tensor:
    """EXIF's number, int32 in 1..8; 1 where there is none, or none that makes sense.

    Args:
      exif: string scalar, the file from its EXIF data on; empty where it has none.
    """
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
    found = tf.boolean_mask(number(entries + 8, 2), number(entries, 2) == ORIENTATION)
    value = tf.reduce_sum(found[:1])
    return tf.where((value >= 1) & (value <= 8), value, 1)
