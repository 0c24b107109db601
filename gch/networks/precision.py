"""How precisely the networks compute."""

import keras
import tensorflow as tf

# Name to Keras' policy, and whether a GPU may round the factors of float32 products to TF32.
PRECISIONS = {
    "float32": ("float32", False),
    "tf32": ("float32", True),
    "mixed_bfloat16": ("mixed_bfloat16", True),
    "mixed_float16": ("mixed_float16", True),
}


def set_precision(name: str) -> None:
    """Sets the precision of this process, before networks are built and functions compiled.

    float32 is float32 on a GPU too. TF32 keeps 10 bits of the fraction, as float16 does and three more than
    bfloat16, so mixed precision uses it for the products that stay float32: it loses nothing there that the
    networks have not lost already. A CPU, and a GPU without TF32, computes tf32 as float32.

    Args:
      name: one of PRECISIONS.
    """
    policy, tf32 = PRECISIONS[name]
    keras.mixed_precision.set_global_policy(policy)
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
