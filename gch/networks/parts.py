"""Parts that the networks of the methods are built of."""

from collections.abc import Iterator

import keras


def initializer(start: str, inputs: int) -> keras.initializers.Initializer:
    """The distribution of a layer's initial weights.

    Args:
      start: 'glorot'; 'normal' for N(0, 1), GCH's original; 'uniform' for U(-1/sqrt(inputs), 1/sqrt(inputs)),
        PyTorch's.
      inputs: number of a unit's inputs.
    """
    if start == "normal":
        return keras.initializers.RandomNormal(stddev=1.0)
    if start == "uniform":
        return keras.initializers.RandomUniform(-(inputs**-0.5), inputs**-0.5)
    return keras.initializers.GlorotUniform()


def dense(inputs, units: int, start: str, name: str, activation: str | None = None, dtype: str | None = None):
    """A dense layer on `inputs`; the biases start as the weights do, those of 'glorot' at 0.

    Args:
      inputs: Keras tensor (B, F).
      units: number of units.
      start: as of `initializer`.
      name: of the layer.
      activation: of Keras, by name.
      dtype: of the layer; None is the global policy's.
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
    """Dropout at `rate`; no layer where that is 0."""
    return keras.layers.Dropout(rate, name=name)(inputs) if rate else inputs


def float32(inputs, name: str):
    """`inputs` as float32 under every precision."""
    return keras.layers.Activation("linear", name=name, dtype="float32")(inputs)


def image_network(backbone: keras.Model, head: keras.Model) -> keras.Model:
    """The backbone, images (B, H, W, 3) of 0..255 to features (B, F), with the head on it."""
    inputs = keras.Input(backbone.input_shape[1:], name="images")
    return keras.Model(inputs, head(backbone(inputs)), name="image")


def layers_of(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """All layers of a model, those of models within it too."""
    for layer in network.layers:
        yield from layers_of(layer) if isinstance(layer, keras.Model) else (layer,)
