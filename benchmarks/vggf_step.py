"""The training step of VGG-F, as a share of what this machine's matrix product reaches.

A step is the project's own: the image network's step of the stage image/label with a trained backbone, on
one batch of pixels that are in memory. It runs as

project  the project's step, without XLA
xla      the same, compiled by XLA
plain    the papers' formulation: fc6 and fc7 written as convolutions, TensorFlow's own response normalisation

Every round times the matrix product and one step of each, so all of them see the same load of the machine.
'of product' is the step's floating-point operations a second over those of the fastest matrix product; once
by the clock and once by processor time, which other people's work disturbs less.

    python benchmarks/vggf_step.py --batch 128 --steps 5
    python benchmarks/vggf_step.py --batch 32 --variants project,plain --determinism off
"""

import argparse
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from measuring import Seconds, image_step, median, settings, table, timed

from gch.data.generated import generate
from gch.networks.backbone import Backbone, load_backbone
from gch.networks.matconvnet import MEAN_COLOR
from gch.networks.vggf_layers import SubtractMeanImage
from gch.settings import Settings
from gch.training.device import configure_device

VARIANTS = ("project", "xla", "plain")
IMAGE_SIZE = 224
PRODUCT_SIZES = (2048, 4096)


class BuiltInNormalization(layers.Layer):
    """TensorFlow's operation, with the constants of VGG-F."""

    def call(self, inputs):
        """Normalises `inputs` (B, H, W, C)."""
        return tf.nn.local_response_normalization(inputs, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)


def plain_vggf() -> keras.Model:
    """VGG-F as the papers write it; the same function of its weights as `gch.networks.vggf.vggf`."""
    preprocessing = SubtractMeanImage()
    images = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3))
    x = preprocessing(images)
    x = layers.Conv2D(64, 11, strides=4, activation="relu")(x)
    x = BuiltInNormalization()(x)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    x = layers.Conv2D(256, 5, padding="same", activation="relu")(x)
    x = BuiltInNormalization()(x)
    x = layers.MaxPooling2D(3, 2)(x)
    for _ in range(3):
        x = layers.Conv2D(256, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D(3, 2)(x)
    x = layers.Conv2D(4096, 6, activation="relu")(x)
    x = layers.Conv2D(4096, 1, activation="relu")(x)
    preprocessing.set_mean(MEAN_COLOR)
    return keras.Model(images, layers.Flatten()(x), name="plain_vggf")


def training_gigaflops(model: keras.Model) -> float:
    """Operations that forward and backward pass need for an image, in 10^9, counted from the layers' shapes.

    Counted are the products with weights: forward, gradient of the weights, gradient of the input. The first
    layer needs no gradient of its input.
    """
    weighted = [layer for layer in model.layers if isinstance(layer, (layers.Conv2D, layers.Dense))]
    total = 0
    for number, layer in enumerate(weighted):
        places = np.prod(layer.output.shape[1:-1])  # 1 for a dense layer
        forward = 2 * np.prod(layer.kernel.shape, dtype=np.int64) * places
        total += forward * (3 if number else 2)
    return float(total) / 1e9


def products() -> dict[str, tuple[float, Callable[[], object]]]:
    """Matrix products by name: 10^9 operations, and a function that runs one."""
    multiply = tf.function(lambda matrix: tf.reduce_sum((matrix @ matrix)[0]))
    found = {}
    for size in PRODUCT_SIZES:
        array = np.random.default_rng(0).standard_normal((size, size), np.float32)
        tensor = tf.constant(array)
        found[f"TensorFlow, {size}"] = 2e-9 * size**3, lambda tensor=tensor: multiply(tensor).numpy()
        found[f"NumPy, {size}"] = 2e-9 * size**3, lambda array=array: array @ array
    return found


def build(variant: str, changed: Settings, pairs) -> Callable[[], object]:
    """The step of a variant."""
    backbone = Backbone("plain", plain_vggf(), "") if variant == "plain" else load_backbone(changed)
    return image_step(changed, pairs, backbone)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=128, help="images in a step")
    parser.add_argument("--steps", type=int, default=5, help="rounds; the median counts")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="which of " + ", ".join(VARIANTS))
    parser.add_argument(
        "--determinism",
        choices=("on", "off"),
        default="on",
        help="on: operations that repeat bit by bit, as the project asks TensorFlow for",
    )
    given = parser.parse_args()
    variants = given.variants.split(",")
    if not set(variants) <= set(VARIANTS):
        parser.error(f"--variants: found {given.variants}, expected some of {','.join(VARIANTS)}")

    def changed(variant: str) -> Settings:
        # Without the graph half there is one optimizer of the image network, not two.
        return settings(
            netStr="vggf",
            backbone="trained",
            backbone_start="random",
            batch_size=given.batch,
            jit_compile="on" if variant == "xla" else "off",
            graph="none",
        )

    if given.determinism == "on":
        configure_device(changed("project"))
    else:
        keras.utils.set_random_seed(0)
    counted = load_backbone(changed("project"))
    gigaflops = given.batch * training_gigaflops(counted.model)
    del counted
    print(
        f"VGG-F, batch {given.batch}, {IMAGE_SIZE} x {IMAGE_SIZE}, determinism {given.determinism}: "
        f"{gigaflops / given.batch:.2f} GFLOP an image, {gigaflops:.0f} a step; "
        f"medians of {given.steps} rounds"
    )

    pairs = generate(max(given.batch, 8), image_size=IMAGE_SIZE)
    steps, first, failed = {}, {}, {}
    for variant in variants:
        step = build(variant, changed(variant), pairs)
        try:
            first[variant] = timed(step).wall
        except tf.errors.UnimplementedError as error:
            failed[variant] = error.message.strip().splitlines()[0]
            continue
        step()
        steps[variant] = step
    matrix = products()
    for _, multiply in matrix.values():
        multiply()

    times = {name: [] for name in (*matrix, *steps)}
    for _ in range(given.steps):
        for name, (_, multiply) in matrix.items():
            times[name].append(timed(multiply))
        for variant, step in steps.items():
            times[variant].append(timed(step))

    rates = {}
    for name, (operations, _) in matrix.items():
        taken = median(times[name])
        rates[name] = Seconds(operations / taken.wall, operations / taken.processor)
    best = Seconds(*map(max, zip(*rates.values(), strict=True)))
    print()
    table(
        ("matrix product", "GFLOP/s", "a processor second"),
        [(name, f"{rate.wall:.0f}", f"{rate.processor:.0f}") for name, rate in rates.items()],
    )
    print()
    rows = []
    for variant in steps:
        taken = median(times[variant])
        compiled = first[variant] - taken.wall
        rows.append(
            (
                variant,
                f"{max(compiled, 0.0):.1f}",
                f"{taken.wall:.2f}",
                f"{taken.processor:.2f}",
                f"{given.batch / taken.wall:.1f}",
                f"{gigaflops / taken.wall:.0f}",
                f"{gigaflops / taken.wall / best.wall:.2f}",
                f"{gigaflops / taken.processor / best.processor:.2f}",
            )
        )
    table(
        (
            "step",
            "compile s",
            "s",
            "processor s",
            "images/s",
            "GFLOP/s",
            "of product",
            "of product, processor",
        ),
        rows,
    )
    for variant, reason in failed.items():
        print(f"{variant}: TensorFlow refuses: {reason}")


if __name__ == "__main__":
    main()
