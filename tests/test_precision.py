import keras
import pytest
import tensorflow as tf

from gch.networks.precision import PRECISIONS, set_precision


@pytest.fixture(autouse=True)
def restored():
    policy, tf32 = keras.config.dtype_policy(), tf.config.experimental.tensor_float_32_execution_enabled()
    yield
    keras.mixed_precision.set_global_policy(policy)
    tf.config.experimental.enable_tensor_float_32_execution(tf32)


@pytest.mark.parametrize(
    ("name", "compute", "tf32"),
    [
        ("float32", "float32", False),
        ("tf32", "float32", True),
        ("mixed_bfloat16", "bfloat16", True),
        ("mixed_float16", "float16", True),
    ],
)
def test_what_networks_compute_in(name, compute, tf32):
    for other in PRECISIONS:  # whatever was set before
        set_precision(other)
        set_precision(name)
        layer = keras.layers.Dense(1)
        layer.build((None, 1))
        assert (layer.compute_dtype, layer.kernel.dtype) == (compute, "float32")
        assert tf.config.experimental.tensor_float_32_execution_enabled() == tf32
