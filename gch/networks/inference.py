"""Running a network over many items without training it."""

import contextlib
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from gch.data.pairs import Pictures
from gch.data.stream import reading_errors, sequential_batches

PIXEL_BATCH = 32  # as fast as 64 on a CPU, in 300 MB less
VECTOR_BATCH = 1024  # texts, labels and features


def infer(network: keras.Model, batches: Iterable[np.ndarray | tf.Tensor], *outputs: str) -> list[np.ndarray]:
    """Outputs of a network for all batches, with the moving statistics of its batch norms.

    Args:
      network: a model that returns a tensor or a dictionary of tensors. Its prediction function is compiled
        once and kept with it, without XLA, under which EfficientNet-Lite0 was ten times slower on a CPU.
      batches: inputs, (B, ...) each; B may vary.
      outputs: keys of the dictionary; none when the network returns one tensor.

    Returns:
      float32 (all items, ...) for each of `outputs`, or one array where none is named.
    """
    network.jit_compile = False
    parts = []
    for batch in batches:
        result = network.predict_on_batch(batch)
        parts.append([result[key] for key in outputs] if outputs else [result])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def infer_under_dropout(
    network: keras.Model, batches: Callable[[], Iterable[tf.Tensor]], output: str, draws: int
) -> np.ndarray:
    """One output of a network for all batches, several times, under dropout.

    Batch norm uses its moving statistics, so that an item's output depends on that item and its dropout
    alone. The network is left as it was, the states of its dropout too.

    Args:
      network: a model that returns a dictionary of tensors.
      batches: gives the inputs, (B, ...) each, once for every draw.
      output: key of the dictionary.
      draws: how often dropout is drawn.

    Returns:
      float32 (draws, all items, ...).
    """
    kept = [variable.numpy() for variable in network.non_trainable_variables]

    @tf.function(reduce_retracing=True)
    def run(batch):
        return network(batch, training=True)[output]

    with _moving_statistics(network):
        drawn = [np.concatenate([run(batch) for batch in batches()]) for _ in range(draws)]
    for variable, value in zip(network.non_trainable_variables, kept, strict=True):
        variable.assign(value)
    return np.stack(drawn)


@contextlib.contextmanager
def _moving_statistics(network: keras.Model) -> Iterator[None]:
    """Batch norms use their moving statistics under `training=True`: Keras does so for frozen ones."""
    norms = [layer for layer in _layers(network) if isinstance(layer, keras.layers.BatchNormalization)]
    trained = [norm for norm in norms if norm.trainable]
    try:
        for norm in trained:
            norm.trainable = False
        yield
    finally:
        for norm in trained:
            norm.trainable = True


def _layers(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """All layers of a model, those of models within it too."""
    for layer in network.layers:
        yield from _layers(layer) if isinstance(layer, keras.Model) else (layer,)


def slices(array: np.ndarray | tf.Tensor, size: int, dtype=None) -> Iterator[tf.Tensor]:
    """Consecutive parts of `array` along its first axis, `size` items each but the last."""
    for start in range(0, len(array), size):
        part = tf.convert_to_tensor(array[start : start + size])
        yield part if dtype is None else tf.cast(part, dtype)


def sequential_images(pictures: Pictures, rows: np.ndarray, size: int = PIXEL_BATCH) -> Iterator[tf.Tensor]:
    """The pixels of `rows` in order, uint8 (B, H, W, 3) with B = `size` but for the last, read ahead; raises
    DataError.
    """
    with reading_errors():
        for _, images in sequential_batches(pictures, rows, size):
            yield images
