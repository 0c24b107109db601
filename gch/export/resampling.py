"""Scaling of pictures in a TensorFlow graph, to the last bit as Pillow does it.

The pictures that a run is trained on are scaled by Pillow (`gch.data.pictures`). A model that is to give the
same codes outside has to scale them in the same way: bicubic weights in fixed point, one pass along the rows
and one along the columns, each rounded to bytes, after a reduction by whole numbers where a picture is much
too large.
All sums are of whole numbers below 2^53, so they are exact in float64, on any device.
"""

import tensorflow as tf

GAP = 2  # a picture is reduced by whole numbers until it is this many times as large as wanted
PRECISION = 2.0**22
SUPPORT = 2.0  # of the bicubic filter, in pixels


def resized(picture: tf.Tensor, size: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    """A part of a picture, scaled.

    Args:
      picture: uint8 (H, W, C).
      size: int32 (2,), height and width of the result.
      box: float64 (4,), the part: top, left, bottom, right, in pixels.

    Returns:
      float64 (size, C), whole numbers in 0..255.
    """
    wanted = tf.cast(size, tf.float64)
    factors = tf.maximum(tf.cast((box[2:] - box[:2]) / wanted / GAP, tf.int32), 1)
    first, last = _reach(tf.shape(picture)[:2], wanted, box)
    # Only what is needed: a very long picture has no scaled copy in between.
    picture = picture[first[0] : last[0], first[1] : last[1]]
    box -= tf.cast(tf.tile(first, [2]), tf.float64)
    picture, box = tf.cond(
        tf.reduce_max(factors) > 1,
        lambda: _reduced(picture, box, factors),
        lambda: (tf.cast(picture, tf.float64), box),
    )
    box = tf.cast(tf.cast(box, tf.float32), tf.float64)  # as precise as Pillow takes it
    shape = tf.shape(picture)
    columns = _weights(shape[1], box[1], box[3], size[1])
    rows = _weights(shape[0], box[0], box[2], size[0])
    picture = _rounded(tf.einsum("ow,hwc->hoc", columns, picture))
    return _rounded(tf.einsum("oh,hwc->owc", rows, picture))


def _reach(limits: tf.Tensor, wanted: tf.Tensor, box: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """First pixels and those after the last, int32 (2,), that scaling the box to `wanted` reads."""
    reach = SUPPORT * tf.maximum((box[2:] - box[:2]) / wanted, 1) + 1
    first = tf.maximum(tf.cast(tf.floor(box[:2] - reach), tf.int32), 0)
    return first, tf.minimum(tf.cast(tf.math.ceil(box[2:] + reach), tf.int32), limits)


def _reduced(picture: tf.Tensor, box: tf.Tensor, factors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Means of blocks of factors (2,) pixels, and the box in them."""
    size = tf.shape(picture)[:2]
    blocks = (size + factors - 1) // factors
    missing = blocks * factors - size
    part = tf.pad(tf.cast(picture, tf.int32), [[0, missing[0]], [0, missing[1]], [0, 0]])
    part = tf.reshape(part, [blocks[0], factors[0], blocks[1], factors[1], -1])
    total = tf.cast(tf.reduce_sum(part, axis=[1, 3]), tf.float64)
    held = [
        tf.minimum(factors[axis], size[axis] - factors[axis] * tf.range(blocks[axis])) for axis in range(2)
    ]
    count = tf.cast(held[0][:, None] * held[1][None, :], tf.float64)[:, :, None]
    means = tf.floor((total + tf.floor(count / 2)) * tf.floor(2.0**24 / count) / 2.0**24)
    return means, box / tf.cast(tf.tile(factors, [2]), tf.float64)


def _weights(length: tf.Tensor, start: tf.Tensor, stop: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Weights (size, length) for an axis whose pixels start..stop are scaled; whole, of PRECISION."""
    scale = (stop - start) / tf.cast(size, tf.float64)
    spread = tf.maximum(scale, 1)
    centre = start + (tf.range(size, dtype=tf.float64)[:, None] + 0.5) * scale
    pixel = tf.range(length, dtype=tf.float64)[None, :]
    first = tf.maximum(_truncated(centre - SUPPORT * spread + 0.5), 0)
    inside = (pixel >= first) & (pixel < _truncated(centre + SUPPORT * spread + 0.5))
    weight = tf.where(inside, _cubic((pixel - centre + 0.5) * (1 / spread)), 0)
    weight *= 1 / tf.reduce_sum(weight, axis=1, keepdims=True) * PRECISION
    return _truncated(weight + 0.5 * tf.sign(weight))


def _cubic(x: tf.Tensor) -> tf.Tensor:
    a, x = -0.5, tf.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return tf.where(x < 1, near, tf.where(x < 2, far, 0))


def _truncated(x: tf.Tensor) -> tf.Tensor:
    return tf.sign(x) * tf.floor(tf.abs(x))


def _rounded(total: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(tf.floor((total + PRECISION / 2) / PRECISION), 0, 255)
