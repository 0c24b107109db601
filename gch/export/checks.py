"""Checks of inputs by the graph itself, with messages that say what was found and what is expected.

A saved signature does not check shapes, so inputs come in with any, and get theirs here.
"""

import tensorflow as tf

MOST_AXES = 4


def check(holds: tf.Tensor, name: str, found: tf.Tensor | str, expected: str) -> tf.Operation:
    """Raises InvalidArgumentError when the graph runs, unless `holds`, a bool scalar, is true."""
    return tf.debugging.Assert(holds, [f"{name}: found", found, f"; {expected}"], summarize=8)


def of_rank(tensor: tf.Tensor, ranks: tuple[int, ...], name: str, expected: str) -> tf.Tensor:
    """A tensor of unknown rank, which is one of `ranks`."""
    holds = tf.reduce_any(tf.rank(tensor) == tf.constant(ranks))
    with tf.control_dependencies([check(holds, f"{name}: shape", tf.shape(tensor), expected)]):
        return tf.identity(tensor)


def vectors(tensor: tf.Tensor, size: int, name: str) -> tf.Tensor:
    """A float tensor of unknown rank as (B, size), of finite numbers."""
    expected = f"expected {name} (B, {size})"
    shape, rank = _padded_shape(tensor), tf.rank(tensor)
    fits = check((rank == 2) & (shape[1] == size), f"{name}: shape", tf.shape(tensor), expected)
    finite = check(tf.reduce_all(tf.math.is_finite(tensor)), name, "nan or inf", "expected finite numbers")
    with tf.control_dependencies([fits, finite]):
        return tf.reshape(tensor, [-1, size])


def pictures(images: tf.Tensor, most_pixels: int) -> tf.Tensor:
    """A tensor of unknown rank, uint8 or float, as pictures (B, H, W, 3), uint8; floats are rounded."""
    expected = "expected one or more pictures (B, H, W, 3), RGB, 0..255"
    shape, rank = _padded_shape(images), tf.rank(images)
    fits = (rank == 4) & (shape[3] == 3) & tf.reduce_all(shape > 0)
    few = tf.reduce_prod(tf.cast(shape[1:3], tf.int64)) <= most_pixels
    checks = [
        check(fits, "images: shape", tf.shape(images), expected),
        check(few, "images: shape", shape, f"expected {most_pixels} pixels a picture at most"),
    ]
    if images.dtype.is_floating:
        checks += _range_checks(images)
    with tf.control_dependencies(checks):
        images = tf.ensure_shape(
            tf.reshape(images, tf.concat([shape[:3], [3]], axis=0)), (None, None, None, 3)
        )
        return tf.cast(tf.round(images), tf.uint8) if images.dtype.is_floating else images


def _padded_shape(tensor: tf.Tensor) -> tf.Tensor:
    """The shape with zeros behind, which can be asked for axes that are not there."""
    return tf.concat([tf.shape(tensor), tf.zeros(MOST_AXES, tf.int32)], axis=0)[:MOST_AXES]


def _range_checks(images: tf.Tensor) -> list[tf.Operation]:
    """Values that leave 0..255, and the common mistake of values in 0..1."""
    extremes = tf.stack([tf.reduce_min(images), tf.reduce_max(images)])
    inside = tf.reduce_all((images >= 0) & (images <= 255))
    scaled = (tf.reduce_max(images) <= 1) & tf.reduce_any(images != tf.round(images))
    return [
        check(inside, "images: values", extremes, "expected 0..255"),
        check(~scaled, "images: values", extremes, "expected 0..255, not pictures that are scaled to 0..1"),
    ]
