"""An encoder of texts in a TensorFlow graph: the mean of an item's words or captions, as in training."""

import tensorflow as tf

from gch.networks.text_encoder import ModelEncoder

_LINE_ENDS = r"[\r\v\f\x1c-\x1e\x{85}\x{2028}\x{2029}]"  # beside '\n', as `str.splitlines` sees them


class TextModel(tf.Module):
    """Strings to text vectors, as `gch.data.text_parts` makes them; callers normalise strings to NFKC."""

    def __init__(self, encoder: ModelEncoder):
        super().__init__(name="texts")
        self._vectors, self._model, self._directions = encoder.vectors, encoder.model, encoder.directions

    def __call__(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Vectors float32 (B, D), and how many different strings each is the mean of, int32 (B,): of free
        texts, string (B,), each line is one; of tags, string (B, T), each that is not ''.
        """
        count = tf.shape(texts, tf.int64)[0]
        rows, strings = tf.cond(
            tf.rank(texts) == 1,
            lambda: self._lines(texts),
            lambda: (tf.repeat(tf.range(count), tf.shape(texts, tf.int64)[-1]), tf.reshape(texts, [-1])),
        )
        strings = tf.strings.strip(tf.strings.regex_replace(strings, r"[\s\pZ]+", " "))
        kept = strings != ""
        rows, strings = _different(tf.boolean_mask(rows, kept), tf.boolean_mask(strings, kept))
        # A model may not take an empty batch.
        vectors = self._vectors(tf.concat([strings, [" "]], axis=0))[:-1]
        if self._directions:
            vectors = tf.math.divide_no_nan(vectors, tf.norm(vectors, axis=1, keepdims=True))
        counts = tf.math.unsorted_segment_sum(tf.ones_like(rows, tf.int32), rows, count)
        return tf.math.unsorted_segment_mean(vectors, rows, count), counts

    def _lines(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        texts = tf.strings.regex_replace(tf.reshape(texts, [-1]), _LINE_ENDS, "\n")
        lines = tf.strings.split(texts, "\n")
        return lines.value_rowids(), lines.values


def _different(rows: tf.Tensor, strings: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows (n,) and their strings, without those that a row has before."""
    keys, numbers = tf.unique(tf.strings.join([tf.strings.as_string(rows), strings], " "))
    first = tf.math.unsorted_segment_min(tf.range(tf.size(rows)), numbers, tf.size(keys))
    return tf.gather(rows, first), tf.gather(strings, first)
