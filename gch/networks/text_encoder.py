"""Encoders of texts: the package of sentences, or a model of the user's that takes strings."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gch.data.pairs import Pairs
from gch.data.sentences import SentenceEncoder
from gch.data.text_parts import TextEncoder, encoded_texts
from gch.errors import WeightsError, reason
from gch.networks.settings import require_keras_file
from gch.run import RunFolder
from gch.settings import Settings
from gch.storage import digest, file_digest
from gch.terminal import Progress


class ModelEncoder:
    """Implements `gch.data.text_parts.TextEncoder` with a Keras model or a SavedModel.

    It maps strings (B,) or (B, 1) to vectors (B, D). Of a SavedModel, the signature serving_default is
    called, or the only one.

    Attributes:
      model: what a SavedModel must hold so that `vectors` can be part of its graphs.

    Raises:
      WeightsError: the file or folder is broken, or maps other things.
    """

    def __init__(self, path: str):
        self.name, expected = path, "expected a model of strings (B,) that gives vectors (B, D)"
        try:
            self.model, self._call = _keras(path) if path.endswith(".keras") else _saved_model(path)
            shape = self.vectors(tf.constant(["a", "b"])).shape
        # Keras and TensorFlow raise nearly any exception on a broken or foreign file.
        except Exception as error:
            raise WeightsError(f"{path}: found {reason(error)}; {expected}") from None
        if len(shape) != 2 or shape[0] != 2:
            raise WeightsError(f"{path}: output of two strings: found {shape}; {expected}")
        self.size = int(shape[1])
        files = [Path(path)] if path.endswith(".keras") else sorted(Path(path).rglob("*"))
        names = (part for file in files if file.is_file() for part in (file.name, file_digest(file)))
        self.digest = digest("text encoder", *names)

    def vectors(self, strings: tf.Tensor) -> tf.Tensor:
        """Vectors float32 (n, D) of strings (n,), in a graph or outside of one."""
        return tf.cast(self._call(strings), tf.float32)

    def encode(self, strings: Sequence[str]) -> np.ndarray:
        """Vectors float32 (n, D)."""
        return np.asarray(self.vectors(tf.constant(list(strings))))


def load_text_encoder(name: str) -> TextEncoder | None:
    """The encoder that `txtStr` names; None for words. Raises SettingError, DataError or WeightsError."""
    if name == "words":
        return None
    return SentenceEncoder() if name == "sentences" else ModelEncoder(name)


def with_encoded_texts(settings: Settings, pairs: Pairs, run: RunFolder, cache: Path) -> Pairs:
    """The data set with text vectors by the encoder that `txtStr` names; unchanged where it has vectors, or
    for words. Raises as `load_text_encoder` and `encoded_texts` do.
    """
    if pairs.text_vectors or (encoder := load_text_encoder(settings.txtStr)) is None:
        return pairs
    run.bind("text encoder", encoder.digest)
    progress = Progress("words or captions", f"Vectors of texts by {encoder.name}, computed once:")
    encoded = encoded_texts(pairs, encoder, cache, progress)
    strings = len(encoded.parts.strings) if encoded.parts else 0
    print(f"Texts: {encoded.texts_in_words} by {encoder.name}, of {strings} different words or captions")
    return encoded


def _keras(path: str) -> tuple[keras.Model, Callable[[tf.Tensor], tf.Tensor]]:
    require_keras_file(path)
    # Without safe_mode a file could run code of its own.
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    column = len(model.input_shape) == 2  # (B, 1), as Keras' text layers take strings
    return model, lambda strings: model(strings[:, None] if column else strings, training=False)


def _saved_model(path: str) -> tuple[tf.Module, Callable[[tf.Tensor], tf.Tensor]]:
    loaded = tf.saved_model.load(path)
    names = list(loaded.signatures)
    signature = loaded.signatures["serving_default" if "serving_default" in names else names[0]]
    ((argument, spec),) = signature.structured_input_signature[1].items()
    column = spec.shape.rank == 2

    def call(strings: tf.Tensor) -> tf.Tensor:
        (output,) = signature(**{argument: strings[:, None] if column else strings}).values()
        return output

    return loaded, call
