"""The model that a run is exported as: from pictures and texts to codes, with all preprocessing inside."""

from collections.abc import Callable

import keras
import tensorflow as tf

from gch.data.pictures import MAX_PIXELS
from gch.data.squares import squared
from gch.export import checks
from gch.export.pictures import decoded
from gch.export.words import Words

_VECTORS, _PICTURES = 16, 2  # rows that networks get multiples of


class SearchModel(tf.Module):
    """Encodes pictures and texts; `signatures` says what it can do.

    Each function returns a dictionary of
      codes: uint8 (B, K / 8), packed as by numpy.packbits and as FAISS reads them: the first bit is the
        highest of the first byte, and 1 where the relaxed code is 0 or more.
      relaxed: float32 (B, K), in (-1, 1).
      labels: float32 (B, C), probabilities of the labels, each by itself.
      words: int32 (B,), of `encode_text_string` only, how many words of the vocabulary the text holds.

    The shapes of inputs are checked by the graph itself, since a saved signature does not: its inputs have no
    shape of their own. What is wrong raises InvalidArgumentError with a message that says what is expected.

    An item has the same code alone and in company: with few rows, or an odd number, TensorFlow multiplies
    matrices in another order, which moves relaxed codes by 1e-5 and turns a bit now and then. So batches are
    filled up.

    Args:
      image: encoder of pictures, from pixels or, behind a backbone, features.
      text: encoder of texts.
      backbone: from pixels to features; None where `image` takes what pictures are.
      image_size: side of the pictures that the networks take; 0 where they take features of a data set.
      fit: how a picture becomes a square, 'crop' or 'letterbox'.
      words: looks up words, or None where the data set does not tell what its columns mean.
      fill: whether batches are filled up; not where a code depends on its batch.
    """

    def __init__(
        self,
        *,
        image: keras.Model,
        text: keras.Model,
        backbone: keras.Model | None,
        image_size: int,
        fit: str,
        words: Words | None,
        fill: bool = True,
    ):
        super().__init__(name="search_model")
        self._fill = fill
        self._image, self._text = Network(image), Network(text)
        self._backbone = Network(backbone) if backbone is not None else None
        self._size, self._fit, self._words = image_size, fit, words
        self._feature_size, self._vector_size = image.input_shape[-1], text.input_shape[-1]
        if image_size:
            self.encode_image = tf.function(self._encode_image)
            self.encode_image_bytes = tf.function(self._encode_image_bytes)
        else:
            self.encode_image_features = tf.function(self._encode_image_features)
        self.encode_text = tf.function(self._encode_text)
        if words is not None:
            self.encode_text_string = tf.function(lambda texts: self._encode_text_string(words, texts))

    def signatures(self) -> dict[str, Callable]:
        """Functions of tensors of any shape by name, for `tf.saved_model.save`."""

        def of(function, dtype: tf.DType, name: str) -> Callable:
            return function.get_concrete_function(tf.TensorSpec(None, dtype, name))

        if self._size:
            found = {
                "encode_image": of(self.encode_image, tf.uint8, "images"),
                "encode_image_float": of(self.encode_image, tf.float32, "images"),
                "encode_image_bytes": of(self.encode_image_bytes, tf.string, "contents"),
            }
        else:
            found = {"encode_image_features": of(self.encode_image_features, tf.float32, "features")}
        found["encode_text"] = of(self.encode_text, tf.float32, "texts")
        if self._words is not None:
            found["encode_text_string"] = of(self.encode_text_string, tf.string, "texts")
        return found

    def _encode_image(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        images = checks.pictures(images, MAX_PIXELS)
        fits = tf.reduce_all(tf.shape(images)[1:3] == self._size)
        return self._of_squares(tf.cond(fits, lambda: images, lambda: squared(images, self._size, self._fit)))

    def _encode_image_bytes(self, contents: tf.Tensor) -> dict[str, tf.Tensor]:
        contents = checks.of_rank(contents, (1,), "contents", "expected the bytes of picture files (B,)")
        contents = tf.reshape(contents, [-1])
        squares = tf.map_fn(
            lambda one: decoded(one[0], one[1], self._size, self._fit),
            (contents, tf.range(tf.size(contents))),
            fn_output_signature=tf.TensorSpec((self._size, self._size, 3), tf.uint8),
        )
        return self._of_squares(squares)

    def _of_squares(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        images = tf.ensure_shape(images, (None, self._size, self._size, 3))
        count = tf.shape(images)[0]
        images = self._filled(images, _PICTURES)
        if self._backbone is None:
            return encoded(_first(self._image(images), count))
        return self._of_vectors(self._image, self._backbone(images)[:count])

    def _encode_image_features(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._of_vectors(self._image, checks.vectors(features, self._feature_size, "features"))

    def _encode_text(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._of_vectors(self._text, checks.vectors(texts, self._vector_size, "texts"))

    def _encode_text_string(self, words: Words, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        expected = "expected free texts (B,), or tags (B, T) with '' where there are fewer"
        bags = words.bags(checks.of_rank(texts, (1, 2), "texts", expected))
        bags = tf.ensure_shape(bags, (None, self._vector_size))
        known = tf.cast(tf.reduce_sum(bags, axis=1), tf.int32)
        return self._of_vectors(self._text, bags) | {"words": known}

    def _of_vectors(self, network: "Network", vectors: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(vectors)[0]
        return encoded(_first(network(self._filled(vectors, _VECTORS)), count))

    def _filled(self, rows: tf.Tensor, multiple: int) -> tf.Tensor:
        """Rows, and noughts up to a multiple."""
        if not self._fill:
            return rows
        missing = -tf.shape(rows)[0] % multiple
        return tf.pad(rows, [[0, missing], *[[0, 0]] * (rows.shape.rank - 1)])


def _first(outputs: dict[str, tf.Tensor], count: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: output[:count] for name, output in outputs.items()}


def encoded(outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """What `SearchModel` returns, from the outputs code and label of an encoder."""
    relaxed = tf.cast(outputs["code"], tf.float32)
    ones = tf.cast(relaxed >= 0, tf.int32)
    bytes_of_bits = tf.reshape(ones, [tf.shape(ones)[0], ones.shape[1] // 8, 8])
    places = tf.constant([128, 64, 32, 16, 8, 4, 2, 1])
    return {
        "codes": tf.cast(tf.reduce_sum(bytes_of_bits * places, axis=2), tf.uint8),
        "relaxed": relaxed,
        "labels": tf.sigmoid(tf.cast(outputs["label"], tf.float32)),
    }


class Network(tf.Module):
    """A network as functions and variables, without what only Keras knows of it."""

    def __init__(self, network: keras.Model):
        super().__init__()
        self._held = [variable.value for variable in network.variables]
        self._call = lambda inputs: network(inputs, training=False)

    def __call__(self, inputs: tf.Tensor):
        """Outputs, as when the network is used and not trained."""
        return self._call(inputs)
