"""The exported model of a run: from pictures and texts to codes, with all preprocessing inside."""

from collections.abc import Callable, Collection

import keras
import tensorflow as tf

from gch.data.pictures import MAX_PIXELS
from gch.data.squares import squared
from gch.export.pictures import decoded
from gch.export.text_model import TextModel
from gch.export.words import Words
from gch.networks.of_user import SavedModel

_VECTORS, _PICTURES = 16, 2  # rows that networks get multiples of


class SearchModel(tf.Module):
    """Encodes pictures, texts and pairs of both; `signatures` lists its functions.

    Each function returns a dictionary of
      codes: uint8 (B, K / 8), packed as by numpy.packbits and as FAISS reads them: the first bit is the
        highest of the first byte, and 1 where the relaxed code is 0 or more.
      relaxed: float32 (B, K), in (-1, 1).
      labels: float32 (B, C), independent probabilities of the labels; C is 0 without labels.
      words: int32 (B,), where texts are strings, how many words of the vocabulary the text holds, or, with an
        encoder of texts, how many lines or tags.

    A saved signature does not check shapes, so inputs of any shape arrive. A wrong input raises
    InvalidArgumentError with a message that says what was found and what is expected.

    An item has the same code alone and in a batch. With few rows, or an odd number, TensorFlow multiplies
    matrices in another order, which moves relaxed codes by 1e-5 and sometimes flips a bit. So batches are
    padded.
    """

    def __init__(
        self,
        *,
        image: keras.Model,
        text: keras.Model,
        pair: keras.Model | None = None,  # of the inputs of both, as a list; None: there are no unified codes
        backbone: keras.Model | None,  # from pixels to the features that `image` and `pair` take
        image_size: int,  # side of the pictures; 0 where there are features of a data set in their place
        fit: str,  # how a picture becomes a square, 'crop' or 'letterbox'
        words: Words | TextModel | None,  # None where strings cannot become what `text` takes
        vectors: Collection[str] = (),  # 'image', 'text': of which modalities the data set has vectors
        fill: bool = True,  # not where a code depends on its batch
    ):
        super().__init__(name="search_model")
        self._fill, self._vectors = fill, vectors
        self._image, self._text = Network(image), Network(text)
        self._pair = Network(pair) if pair is not None else None
        self._backbone = Network(backbone) if backbone is not None else None
        self._size, self._fit, self._words = image_size, fit, words
        self._feature_size, self._vector_size = image.input_shape[-1], text.input_shape[-1]

    def signatures(self) -> dict[str, Callable]:
        """Functions of tensors of any shape by name, for `tf.saved_model.save`."""
        image = tf.TensorSpec(None, tf.float32, "features")
        taken: dict[str, tuple | None] = {"encode_image_features": (image,)}
        if self._size:
            image = tf.TensorSpec(None, tf.uint8, "images")
            contents = tf.TensorSpec(None, tf.string, "contents")
            taken = {"encode_image": None, "encode_image_bytes": (contents,)}
        text = tf.TensorSpec(None, tf.float32, "texts")
        taken["encode_text"] = (text,)
        if self._words is not None:
            text = tf.TensorSpec(None, tf.string, "texts")
            taken["encode_text_string"] = (text,)
        for modality in ("image", "text"):
            if modality in self._vectors:
                taken[f"encode_{modality}_vector"] = (tf.TensorSpec(None, tf.float32, "vectors"),)
        if self._pair is not None:
            taken["encode_pair"] = image, text
        # All are traced by `tf.saved_model.save`, which would trace again what was traced before.
        for name, one in taken.items():
            setattr(self, name, tf.function(getattr(self, name), one, autograph=False))
        functions = {name: getattr(self, name) for name in taken}
        if self._size:
            encode = functions.pop("encode_image")  # of two types, so of no signature of its own
            floats = tf.TensorSpec(None, tf.float32, "images")
            functions = {
                "encode_image": tf.function(lambda images: encode(images), [image]),
                "encode_image_float": tf.function(lambda images: encode(images), [floats]),
                **functions,
            }
        return functions

    def encode_image(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encodes pictures (B, H, W, 3), uint8 or float, RGB, 0..255."""
        return self._of_squares(self._squares(images))

    def encode_image_bytes(self, contents: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encodes the bytes of picture files, string (B,)."""
        fits = (tf.rank(contents) == 1) & (tf.size(contents) > 0)
        expected = "expected the bytes of one or more picture files (B,)"
        contents = tf.reshape(_shaped(contents, "contents", fits, expected), [-1])
        squares = tf.map_fn(
            lambda one: decoded(one[0], one[1], self._size, self._fit),
            (contents, tf.range(tf.size(contents))),
            fn_output_signature=tf.TensorSpec((self._size, self._size, 3), tf.uint8),
        )
        return self._of_squares(squares)

    def encode_image_features(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encodes features, float (B, F), of a data set that has them in place of pictures."""
        features = _vectors(features, self._feature_size, "features")
        return encoded(self._outputs(self._image, features))

    def encode_image_vector(self, vectors: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encodes vectors of pictures, float (B, F), as the data set has them."""
        return encoded(self._outputs(self._image, _vectors(vectors, self._feature_size, "vectors")))

    def encode_text_vector(self, vectors: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encodes vectors of texts, float (B, D), as the data set or its encoder of texts has them."""
        return encoded(self._outputs(self._text, _vectors(vectors, self._vector_size, "vectors")))

    def encode_text(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encodes texts as the data set has them, float (B, D)."""
        return encoded(self._outputs(self._text, _vectors(texts, self._vector_size, "texts")))

    def encode_text_string(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encodes free texts, string (B,), or tags, string (B, T)."""
        vectors, counts = self._of_strings(texts)
        return encoded(self._outputs(self._text, vectors)) | {"words": counts}

    def encode_pair(self, images: tf.Tensor, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encodes pairs: B pictures as of `encode_image`, or features in their place, and B texts, strings as
        of `encode_text_string` or vectors.
        """
        assert self._pair is not None
        if self._size:
            seen, multiple = self._features(self._squares(images))
        else:
            seen, multiple = _vectors(images, self._feature_size, "features"), _VECTORS
        if strings := texts.dtype == tf.string:
            vectors, counts = self._of_strings(texts)
        else:
            vectors, counts = _vectors(texts, self._vector_size, "texts"), None
        count = tf.shape(vectors)[0]
        fits, expected = count == tf.shape(seen)[0], "expected a text for each picture"
        with tf.control_dependencies([_check(fits, "texts", count, expected)]):
            outputs = encoded(self._outputs(self._pair, [tf.identity(seen), tf.identity(vectors)], multiple))
        return outputs | {"words": counts} if strings else outputs

    def _squares(self, images: tf.Tensor) -> tf.Tensor:
        images = _pictures(images)
        fits = tf.reduce_all(tf.shape(images)[1:3] == self._size)
        return tf.cond(fits, lambda: images, lambda: squared(images, self._size, self._fit))

    def _of_squares(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return encoded(self._outputs(self._image, *self._features(images)))

    def _features(self, images: tf.Tensor) -> tuple[tf.Tensor, int]:
        """What the networks take of squares, and the multiple of rows that they get."""
        images = tf.ensure_shape(images, (None, self._size, self._size, 3))
        if self._backbone is None:
            return images, _PICTURES
        return self._outputs(self._backbone, images, _PICTURES), _VECTORS

    def _of_strings(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What `text` takes, (B, D), of strings (B,) or (B, T), and how many known words each has, (B,)."""
        fits = (tf.rank(texts) == 1) | (tf.rank(texts) == 2)
        expected = "expected free texts (B,), or tags (B, T) with '' where there are fewer"
        assert self._words is not None
        vectors, counts = self._words(_shaped(texts, "texts", fits, expected))
        return tf.ensure_shape(vectors, (None, self._vector_size)), counts

    def _outputs(self, network: "Network", rows: tf.Tensor | list[tf.Tensor], multiple: int = _VECTORS):
        """Outputs for rows, which are padded with zeros to a multiple on their way through the network."""
        count = tf.shape(tf.nest.flatten(rows)[0])[0]

        def padded(tensor: tf.Tensor) -> tf.Tensor:
            return tf.pad(tensor, [[0, -count % multiple], *[[0, 0]] * (tensor.shape.rank - 1)])

        if self._fill:
            rows = tf.nest.map_structure(padded, rows)
        return tf.nest.map_structure(lambda output: output[:count], network(rows))


def encoded(outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The outputs of `SearchModel`, from the outputs code and, with labels, label of an encoder."""
    relaxed = tf.cast(outputs["code"], tf.float32)
    ones = tf.cast(relaxed >= 0, tf.int32)
    bytes_of_bits = tf.reshape(ones, [tf.shape(ones)[0], ones.shape[1] // 8, 8])
    places = tf.constant([128, 64, 32, 16, 8, 4, 2, 1])
    return {
        "codes": tf.cast(tf.reduce_sum(bytes_of_bits * places, axis=2), tf.uint8),
        "relaxed": relaxed,
        "labels": tf.sigmoid(tf.cast(outputs.get("label", relaxed[:, :0]), tf.float32)),
    }


class Network(tf.Module):
    """A network as functions and variables, without Keras' own metadata."""

    def __init__(self, network: keras.Model):
        super().__init__()
        self._variables = [variable.value for variable in network.variables]
        self._loaded = [layer.loaded for layer in network.layers if isinstance(layer, SavedModel)]
        # Traced once, not in each function that calls it, and not as a function of the saved model.
        traced = tf.function(lambda inputs: network(inputs, training=False), autograph=False)
        self._call = lambda inputs: traced(inputs)

    def __call__(self, inputs: tf.Tensor | list[tf.Tensor]):
        """The outputs in inference mode."""
        return self._call(inputs)


def _check(holds: tf.Tensor, name: str, found: tf.Tensor | str, expected: str) -> tf.Operation:
    """Raises InvalidArgumentError when the graph runs, unless `holds`, a bool scalar, is true."""
    return tf.debugging.Assert(holds, [f"{name}: found", found, f"; {expected}"], summarize=8)


def _shaped(tensor: tf.Tensor, name: str, fits: tf.Tensor, expected: str, *checks: tf.Operation) -> tf.Tensor:
    """A tensor of unknown rank, once its shape fits and the checks hold."""
    with tf.control_dependencies([_check(fits, f"{name}: shape", tf.shape(tensor), expected), *checks]):
        return tf.identity(tensor)


def _vectors(tensor: tf.Tensor, size: int, name: str) -> tf.Tensor:
    fits = (tf.rank(tensor) == 2) & (_four_axes(tensor)[1] == size)
    finite = _check(tf.reduce_all(tf.math.is_finite(tensor)), name, "nan or inf", "expected finite numbers")
    return tf.reshape(_shaped(tensor, name, fits, f"expected {name} (B, {size})", finite), [-1, size])


def _pictures(images: tf.Tensor) -> tf.Tensor:
    """A tensor of unknown rank, uint8 or float, as pictures (B, H, W, 3), uint8; floats are rounded."""
    shape = _four_axes(images)
    fits = (tf.rank(images) == 4) & (shape[3] == 3) & tf.reduce_all(shape > 0)
    few = tf.reduce_prod(tf.cast(shape[1:3], tf.int64)) <= MAX_PIXELS
    checks = [_check(few, "images: shape", shape, f"expected {MAX_PIXELS} pixels a picture at most")]
    if images.dtype.is_floating:
        extremes = tf.stack([tf.reduce_min(images), tf.reduce_max(images)])
        inside = tf.reduce_all((images >= 0) & (images <= 255))
        scaled = (extremes[1] <= 1) & tf.reduce_any(images != tf.round(images))
        mistake = "expected 0..255, not pictures scaled to 0..1"
        checks.append(_check(inside, "images: values", extremes, "expected 0..255"))
        checks.append(_check(~scaled, "images: values", extremes, mistake))
    expected = "expected one or more pictures (B, H, W, 3), RGB, 0..255"
    images = _shaped(images, "images", fits, expected, *checks)
    images = tf.reshape(images, tf.concat([shape[:3], [3]], axis=0))
    images = tf.ensure_shape(images, (None, None, None, 3))
    return tf.cast(tf.round(images), tf.uint8) if images.dtype.is_floating else images


def _four_axes(tensor: tf.Tensor) -> tf.Tensor:
    """The shape, padded with zeros, so that it can be indexed beyond the last axis."""
    return tf.concat([tf.shape(tensor), tf.zeros(4, tf.int32)], axis=0)[:4]
