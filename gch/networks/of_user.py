"""Models of the user's own: Keras files and SavedModels."""

import itertools
from pathlib import Path

import keras
import tensorflow as tf

from gch.networks.settings import require_keras_file
from gch.storage import digest, file_digest


class SavedModel(keras.layers.Layer):
    """A SavedModel as a layer of one input and one output: its signature serving_default, or the only one.

    Attributes:
      loaded: what must be part of a SavedModel that calls the layer.
    """

    def __init__(self, path: str):
        super().__init__(name="saved_model", dtype="float32", trainable=False)
        self.loaded = tf.saved_model.load(path)
        names = list(self.loaded.signatures)
        name = "serving_default" if "serving_default" in names else names[0]
        self._signature = self.loaded.signatures[name]
        ((self._argument, self._spec),) = self._signature.structured_input_signature[1].items()

    def call(self, inputs):
        """The output of the signature for inputs, cast to what it takes; strings (B,) also as (B, 1)."""
        dtype, rank = self._spec.dtype, self._spec.shape.rank
        inputs = inputs if inputs.dtype == dtype else tf.cast(inputs, dtype)
        if dtype == tf.string and rank == 2:
            inputs = inputs[:, None]
        (output,) = self._signature(**{self._argument: inputs}).values()
        return output


def load_model(path: str) -> keras.Model | SavedModel:
    """The model of a .keras file or in the folder of a SavedModel. On a broken or foreign one, Keras and
    TensorFlow raise nearly any exception; WeightsError where a file cannot be read.
    """
    if not path.endswith(".keras"):
        return SavedModel(path)
    require_keras_file(path)
    # Without safe_mode a file could run code of its own.
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def model_digest(path: str) -> str:
    """Digest of the content of a model's file or folder."""
    if path.endswith(".keras"):
        return file_digest(path)
    files = sorted(file for file in Path(path).rglob("*") if file.is_file())
    parts = ((file.relative_to(path).as_posix(), file_digest(file)) for file in files)
    return digest(*itertools.chain.from_iterable(parts))
