"""Parts of the methods' networks, on one device and on several."""

from collections.abc import Iterator

import keras
import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext


def initializer(start: str, inputs: int) -> keras.initializers.Initializer:
    """Initial weights of a unit with `inputs` inputs: 'glorot'; 'normal', N(0, 1), GCH's original; 'uniform',
    U(-1/sqrt(inputs), 1/sqrt(inputs)), PyTorch's.
    """
    if start == "normal":
        return keras.initializers.RandomNormal(stddev=1.0)
    if start == "uniform":
        return keras.initializers.RandomUniform(-(inputs**-0.5), inputs**-0.5)
    return keras.initializers.GlorotUniform()


def dense(inputs, units: int, start: str, name: str, activation: str | None = None, dtype: str | None = None):
    """A dense layer on `inputs` (B, F), initialised by `initializer`; biases start like the weights, those
    of 'glorot' at 0. `dtype` None is the global policy's.
    """
    size = inputs.shape[-1]
    return keras.layers.Dense(
        units,
        activation,
        kernel_initializer=initializer(start, size),
        bias_initializer="zeros" if start == "glorot" else initializer(start, size),
        name=name,
        dtype=dtype,
    )(inputs)


def drop(inputs, rate: float, name: str):
    """Dropout at `rate`; no layer if the rate is 0."""
    return keras.layers.Dropout(rate, name=name)(inputs) if rate else inputs


def float32(inputs, name: str):
    """`inputs` as float32 under every precision."""
    return keras.layers.Activation("linear", name=name, dtype="float32")(inputs)


def batch_norms(network: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    """All batch norms of a model, those of models within it too."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from batch_norms(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield layer


def synchronize_batch_norms(backbone: keras.Model) -> None:
    """The batch norms of a backbone take the statistics of the whole batch, not of a replica's share."""
    for norm in batch_norms(backbone):
        norm.synchronized = True


def split_over_replicas(backbone: keras.Model, images: tf.Tensor) -> tf.Tensor:
    """Features of a batch in training, each replica computing its share.

    A backbone takes nearly all the time of a step, so only it is split. The rest of a step (heads, losses,
    memory bank, optimizers) every replica does for the whole batch, on the same numbers, as one device would.
    The gradient of the gathered features adds up over the replicas; `gch.training.loop` divides the loss by
    their number.

    Every replica gets the whole batch `images` (B, H, W, 3), B a multiple of their number, and returns the
    features (B, F) of all of it.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    if replicas == 1:
        return backbone(images, training=True)
    size = images.shape[0] // replicas
    own = images[context.replica_id_in_sync_group * size :][:size]
    features = context.all_gather(backbone(own, training=True), axis=0)
    return tf.ensure_shape(features, (images.shape[0], features.shape[1]))


def compiled_by_xla() -> bool:
    """Whether XLA compiles the function that is being traced, or one around it."""
    return GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
