"""Models of the user's own: Keras files and SavedModels."""

import itertools
import re
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gch.errors import WeightsError
from gch.networks.settings import require_keras_file
from gch.storage import digest, file_digest

LARGEST_MOVE = 0.1  # of a vector from batch to batch, by its length; half precision moves it less


class SavedModel(keras.layers.Layer):
    """A SavedModel as a layer of one input and one output: its signature serving_default, or the only one.
    Raises WeightsError where it has none. A SavedModel that calls the layer must hold `loaded`.
    """

    def __init__(self, path: str):
        super().__init__(name="saved_model", dtype="float32", trainable=False)
        self.loaded = tf.saved_model.load(path)
        names = list(self.loaded.signatures)
        name = names[0] if len(names) == 1 else "serving_default"
        if name not in names:
            found = ", ".join(names) or "none"
            raise WeightsError(f"{path}: signatures: found {found}; expected serving_default, or one alone")
        self._signature = self.loaded.signatures[name]
        taken, given = self._signature.structured_input_signature[1], self._signature.structured_outputs
        if (len(taken), len(given)) != (1, 1):
            found = f"{len(taken)} inputs and {len(given)} outputs"
            raise WeightsError(f"{path}: signature {name}: found {found}, expected one of each")
        ((self._argument, self._spec),) = taken.items()

    def call(self, inputs):
        """The output, float32, for inputs, cast to what the signature takes; strings (B,) also as (B, 1)."""
        dtype, rank = self._spec.dtype, self._spec.shape.rank
        inputs = inputs if inputs.dtype == dtype else tf.cast(inputs, dtype)
        if dtype == tf.string and rank == 2:
            inputs = inputs[:, None]
        (output,) = self._signature(**{self._argument: inputs}).values()
        return tf.cast(output, tf.float32)


def load_model(path: str) -> keras.Model | SavedModel:
    """The model of a .keras file or in the folder of a SavedModel. On a broken or foreign one, Keras and
    TensorFlow raise nearly any exception; WeightsError where a file cannot be read.
    """
    if not path.endswith(".keras"):
        return SavedModel(path)
    require_keras_file(path)
    # Without safe_mode a file could run code of its own.
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def in_words(error: Exception) -> str:
    """What Keras or TensorFlow says, in one line; of Keras the cause alone, which it prints in bold."""
    bold = re.search("\x1b\\[1m(.+?)\x1b\\[0m", str(error), re.DOTALL)
    line = " ".join((bold[1] if bold else str(error)).split())[:300] or type(error).__name__
    return line if line.isprintable() else ascii(line)


def model_digest(path: str) -> str:
    """Digest of the content of a model's file or folder."""
    if path.endswith(".keras"):
        return file_digest(path)
    files = sorted(file for file in Path(path).rglob("*") if file.is_file())
    parts = ((file.relative_to(path).as_posix(), file_digest(file)) for file in files)
    return digest(*itertools.chain.from_iterable(parts))


def require_independent(alone: np.ndarray, beside: np.ndarray, where: str, cause: str) -> None:
    """Raises WeightsError if an item's vector depends on its batch: a query, which comes alone, would have
    another code than in training. `alone` and `beside` others are the vectors (n, D) of some items.
    """
    moved, length = (np.linalg.norm(vectors, axis=1) for vectors in (beside - alone, alone))
    if (moved > LARGEST_MOVE * length).any():
        found = "an item has one alone and another in a batch"
        raise WeightsError(f"{where}: found that {found}; expected the same, so {cause}")
