import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from gch.networks import pooling
from gch.networks.pooling import MaxPooling, max_pool, max_pool_gradient

SHAPES = [((3, 13, 11, 5), "VALID"), ((3, 12, 14, 5), "SAME"), ((3, 12, 14, 5), "VALID")]


def value_and_gradient(pool, x, dy):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = pool(x)
    return y, tape.gradient(y, x, dy)


@pytest.mark.parametrize(("shape", "padding"), SHAPES)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_value_and_gradient_are_the_built_in_ones(shape, padding, ties, dtype):
    random = np.random.default_rng(0)
    values = random.integers(-3, 2, shape).clip(0) if ties else random.permutation(np.prod(shape)) / 64
    x = tf.cast(values.reshape(shape), dtype)
    y = tf.nn.max_pool2d(x, 3, 2, padding)
    dy = tf.cast(random.integers(-5, 6, y.shape), dtype)  # sums of whole numbers are exact in any order
    expected = value_and_gradient(lambda x: tf.nn.max_pool2d(x, 3, 2, padding), x, dy)[1]
    np.testing.assert_array_equal(max_pool_gradient(x, dy), expected)
    compiled = tf.function(value_and_gradient, jit_compile=True)
    found = compiled(lambda x: max_pool(x, padding.lower()), x, dy)
    np.testing.assert_array_equal(found[0], y)
    np.testing.assert_array_equal(found[1], expected)


def test_a_tie_goes_to_the_first_by_hand():
    x = np.zeros((1, 3, 5, 1), np.float32)
    x[0, 1, 2, 0] = x[0, 2, 1, 0] = 7
    found = max_pool_gradient(tf.constant(x), tf.constant([[[[10.0], [1.0]]]]))
    expected = np.zeros((3, 5))
    expected[1, 2] = 11  # the first maximum of both windows
    np.testing.assert_array_equal(found[0, :, :, 0], expected)
    found = max_pool_gradient(tf.zeros((1, 3, 5, 1)), tf.constant([[[[10.0], [1.0]]]]))
    expected = np.zeros((3, 5))
    expected[0, 0], expected[0, 2] = 10, 1
    np.testing.assert_array_equal(found[0, :, :, 0], expected)


def test_the_built_in_gradient_is_kept_outside_xla(monkeypatch):
    used = []
    monkeypatch.setattr(pooling, "max_pool_gradient", lambda x, dy: used.append(1) or tf.zeros_like(x))
    x, dy = tf.random.normal((1, 5, 5, 2)), tf.ones((1, 2, 2, 2))

    def in_a_loop(x, dy):
        total = tf.zeros_like(x)
        for _ in tf.range(2):
            total += value_and_gradient(max_pool, x, dy)[1]
        return total

    assert tf.reduce_sum(tf.function(in_a_loop)(x, dy)) == 16
    assert value_and_gradient(max_pool, x, dy)[1].numpy().any()
    assert not used
    tf.function(in_a_loop, jit_compile=True)(x, dy)
    assert used


def test_the_layer_is_saved_and_loaded(tmp_path):
    images = keras.Input((8, 8, 2))
    model = keras.Model(images, MaxPooling("same", name="pool1")(images))
    assert model.output.shape == (None, 4, 4, 2)
    model.save(tmp_path / "pool.keras")
    loaded = keras.saving.load_model(tmp_path / "pool.keras")
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 2)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), tf.nn.max_pool2d(x, 3, 2, "SAME"))
    assert [layer.name for layer in loaded.layers[1:]] == ["pool1"]


DETERMINISTIC = """
import tensorflow as tf, keras
tf.config.experimental.enable_op_determinism()
keras.utils.set_random_seed(0)
from gch.networks.vggf import vggf
for as_agah in (False, True):
    model = vggf(64, seed=0, as_agah=as_agah)
    images = tf.random.stateless_uniform((2, 64, 64, 3), (1, 2), maxval=255)

    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(images))
        return tape.gradient(loss, [model.get_layer("conv1").kernel.value])[0]

    def twice():
        return tf.while_loop(lambda n, g: n < 2, lambda n, g: (n + 1, gradients()), (0, gradients()))[1]

    plain, compiled = tf.function(gradients)(), tf.function(twice, jit_compile=True)()
    print(float(tf.norm(plain - compiled) / tf.norm(plain)))
"""


def test_vggf_trains_under_xla_and_determinism():
    """In a process of its own, since determinism is switched on for a whole process."""
    done = subprocess.run([sys.executable, "-c", DETERMINISTIC], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [float(line) < 1e-4 for line in done.stdout.split()] == [True, True]
