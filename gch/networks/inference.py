"""Running a network over many items without training it."""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from gch.data.pairs import Pictures
from gch.data.stream import reading_errors, sequential_batches
from gch.networks.parts import layers_of

PIXEL_BATCH = 32  # as fast as 64 on a CPU, in 300 MB less
VECTOR_BATCH = 1024  # texts, labels and features


def infer(network: keras.Model, batches: Iterable[np.ndarray | tf.Tensor], *outputs: str) -> list[np.ndarray]:
    """Outputs of a network for all batches, with the moving statistics of its batch norms.

    Args:
      network: a model that returns a tensor or a dictionary of tensors. Of several replicas, the first
        computes.
      batches: inputs, (B, ...) each; B may vary.
      outputs: keys of the dictionary; none when the network returns one tensor.

    Returns:
      float32 (all items, ...) for each of `outputs`, or one array where none is named.
    """
    run, parts = _compiled(network, training=False), []
    for batch in batches:
        result = run(batch)
        parts.append([result[key].numpy() for key in outputs] if outputs else [result.numpy()])
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
    run = _compiled(network, training=True)
    with _moving_statistics(network):
        drawn = [np.concatenate([run(batch)[output].numpy() for batch in batches()]) for _ in range(draws)]
    for variable, value in zip(network.non_trainable_variables, kept, strict=True):
        variable.assign(value)
    return np.stack(drawn)


def _compiled(network: keras.Model, training: bool) -> Callable:
    """The network as a function that is traced once for a kind of input, and kept with the network.

    Without XLA, under which EfficientNet-Lite0 was ten times slower on a CPU.
    """
    kept, name = vars(network), f"compiled_{training}"  # past Keras, which would take it for a part
    if name not in kept:
        kept[name] = tf.function(functools.partial(network, training=training), reduce_retracing=True)
    return kept[name]


@contextlib.contextmanager
def _moving_statistics(network: keras.Model) -> Iterator[None]:
    """Batch norms use their moving statistics under `training=True`: Keras does so for frozen ones."""
    norms = [layer for layer in layers_of(network) if isinstance(layer, keras.layers.BatchNormalization)]
    trained = [norm for norm in norms if norm.trainable]
    try:
        for norm in trained:
            norm.trainable = False
        yield
    finally:
        for norm in trained:
            norm.trainable = True


def slices(array: np.ndarray | tf.Tensor, size: int, dtype=None) -> Iterator[tf.Tensor]:
    """Consecutive parts of `array` along its first axis, `size` items each but the last."""
    for start in range(0, array.shape[0], size):
        part = tf.convert_to_tensor(array[start : start + size])
        yield part if dtype is None else tf.cast(part, dtype)


def sequential_images(pictures: Pictures, rows: np.ndarray, size: int = PIXEL_BATCH) -> Iterator[tf.Tensor]:
    """The pixels of `rows` in order, uint8 (B, H, W, 3) with B = `size` but for the last, read ahead; raises
    DataError.
    """
    with reading_errors():
        for _, images in sequential_batches(pictures, rows, size):
            yield images
