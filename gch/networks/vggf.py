"""VGG-F, the image network of the papers, up to its second fully connected layer.

Source: Chatfield, Simonyan, Vedaldi, Zisserman: Return of the Devil in the Details (BMVC 2014), the
network CNN-F, in the form in which MatConvNet distributes it (imagenet-vgg-f.mat).
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from gch.networks.matconvnet import MEAN_COLOR
from gch.networks.vggf_layers import (
    BlockConvolution,
    LocalResponseNormalization,
    MaxPooling,
    SubtractMeanImage,
)

WIDTHS = (64, 256, 256, 256, 256, 4096, 4096)  # of conv1 ... conv5, fc6, fc7


def vggf(
    image_size: int = 224,
    mean_image: np.ndarray = MEAN_COLOR,
    seed: int = 0,
    as_agah: bool = False,
    widths: Sequence[int] = WIDTHS,
) -> keras.Model:
    """Builds VGG-F with He initialisation and zero biases.

    Args:
      image_size: height and width of the images in pixels, 64 or more. The published weights fit 224 only,
        because fc6 sees the whole map.
      mean_image: to subtract from the images, RGB 0..255: float (image_size, image_size, 3) or (3,).
      seed: of the initial weights.
      as_agah: normalise and pool as the original of AGAH does: over two channels with half the alpha, pool1
        padded twice (28 x 28 in place of 27 x 27), pool2 and pool5 not at all.
      widths: channels of conv1 ... conv5, fc6, fc7.

    Returns a model from images (B, image_size, image_size, 3), RGB, uint8 or float, 0..255, to the
    activations of fc7 (B, last of `widths`), 0 or more, in the compute dtype of the policy.
    """
    seeds = keras.random.SeedGenerator(seed)

    def convolution(filters: int, kernel: int, name: str):
        start = keras.initializers.HeNormal(seeds)
        return layers.Conv2D(
            filters, kernel, padding="same", activation="relu", kernel_initializer=start, name=name
        )

    def fully_connected(units: int, name: str):
        start = keras.initializers.HeNormal(seeds)
        return layers.Dense(units, "relu", kernel_initializer=start, name=name)

    def normalization(name: str):
        window, alpha = ((1, 0), 1e-4 / 2) if as_agah else ((2, 2), 1e-4)
        return LocalResponseNormalization(window, alpha, name=name)

    def pool(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        # VGG-F pads one row below and one column at the right; AGAH leaves out what fills no window. On a
        # map of odd size no window reaches the padding, and on one of even size 'same' pads just there.
        # The padded value does not matter, as the maps are never negative.
        padding = "valid" if as_agah or x.shape[1] % 2 else "same"
        return MaxPooling(padding, name=name)(x)

    conv1, conv2, conv3, conv4, conv5, fc6, fc7 = widths
    images = keras.Input((image_size, image_size, 3), name="images")
    preprocessing = SubtractMeanImage(name="subtract_mean")
    x = preprocessing(images)
    start = keras.initializers.HeNormal(seeds)
    x = BlockConvolution(conv1, 11, 4, activation="relu", kernel_initializer=start, name="conv1")(x)
    x = normalization("norm1")(x)
    if as_agah:
        x = layers.ZeroPadding2D(((1, 2), (1, 2)), name="pad1")(x)
    x = pool(x, "pool1")
    x = convolution(conv2, 5, "conv2")(x)
    x = normalization("norm2")(x)
    x = pool(x, "pool2")
    x = convolution(conv3, 3, "conv3")(x)
    x = convolution(conv4, 3, "conv4")(x)
    x = convolution(conv5, 3, "conv5")(x)
    x = pool(x, "pool5")
    # Dense on the flattened map: the 6 x 6 and 1 x 1 convolutions that the papers write compute the same,
    # but slower on a CPU (benchmarks/vggf_step.py).
    x = layers.Flatten(name="flatten")(x)
    x = fully_connected(fc6, "fc6")(x)
    x = fully_connected(fc7, "fc7")(x)
    preprocessing.set_mean(mean_image)
    return keras.Model(images, x, name="vggf")
