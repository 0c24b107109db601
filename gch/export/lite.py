"""The encoders for small devices, in TensorFlow Lite: one item at a time, weights of 8 bits.

Weights are whole numbers of 8 bits with a scale for each channel; what is computed from them stays float32.
So nothing has to be calibrated, but some bits of a code differ from those of the SavedModel.
"""

from collections.abc import Mapping

import keras
import tensorflow as tf

from gch.errors import RunError
from gch.export.model import Network, encoded
from gch.terminal import quiet_stderr


def lite_models(networks: Mapping[str, keras.Model], image_size: int) -> dict[str, bytes]:
    """Contents of TensorFlow Lite files of the encoders 'image', behind a 'backbone' if any, and 'text'.

    They take `images`, uint8 (1, S, S, 3), or, where the image size S is 0, `features`, float32 (1, F);
    `texts`, float32 (1, D), bags of words or vectors. They give what `SearchModel` does: codes, relaxed and,
    if there are any, labels. Raises RunError if TensorFlow Lite lacks an operation of a network.
    """
    vector, bag = networks["image"].input_shape[-1], networks["text"].input_shape[-1]
    images = tf.TensorSpec((1, vector), tf.float32, "features")
    if image_size:
        images = tf.TensorSpec((1, image_size, image_size, 3), tf.uint8, "images")
    through = [networks[name] for name in ("backbone", "image") if name in networks]
    texts = tf.TensorSpec((1, bag), tf.float32, "texts")
    return {"image": _converted(through, images), "text": _converted([networks["text"]], texts)}


def _converted(networks: list[keras.Model], taken: tf.TensorSpec) -> bytes:
    module = tf.Module()
    module.networks = [Network(network) for network in networks]

    @tf.function
    def encode(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        for network in module.networks:
            inputs = network(inputs)
        # TensorFlow Lite cannot give out labels of no columns.
        return {name: output for name, output in encoded(inputs).items() if output.shape[1]}

    concrete = encode.get_concrete_function(taken)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    try:
        with quiet_stderr():
            return converter.convert()
    except Exception as error:  # the converter's own type is private, and its message a page
        reason = (str(error).partition("error: ")[2] or str(error) or type(error).__name__).splitlines()[0]
        raise RunError(f"lite: TensorFlow Lite cannot hold the encoder of {taken.name}, {reason}") from error
