from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gch.networks.lrn import LocalResponseNormalization, local_response_normalization

GOLDEN = Path(__file__).parent / "golden" / "gch_lrn.npz"


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(GOLDEN))


def by_definition(x, radius, bias, alpha, beta):
    y = np.empty_like(x)
    for c in range(x.shape[-1]):
        neighbours = x[..., max(0, c - radius) : c + radius + 1]
        y[..., c] = x[..., c] / (bias + alpha * np.sum(neighbours**2, axis=-1)) ** beta
    return y


@pytest.mark.parametrize("jit_compile", [False, True])
def test_value_and_gradient_agree_with_the_original(golden, jit_compile):
    @tf.function(jit_compile=jit_compile)
    def value_and_gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = local_response_normalization(x)
            energy = tf.reduce_sum(y**2)
        return y, tape.gradient(energy, x)

    y, gradient = value_and_gradient(tf.constant(golden["x"]))
    np.testing.assert_allclose(y, golden["y"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradient, golden["grad_of_sum_y2"], rtol=1e-4, atol=1e-4)


def test_a_window_to_one_side_agrees_with_the_original_of_agah():
    golden = np.load(GOLDEN.with_name("agah_lrn.npz"))
    x = tf.constant(golden["x"].transpose(0, 2, 3, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = local_response_normalization(x, depth_radius=1, later=0, alpha=1e-4 / 2)
        energy = tf.reduce_sum(y**2)
    gradient = tape.gradient(energy, x).numpy()
    np.testing.assert_allclose(y.numpy().transpose(0, 3, 1, 2), golden["y"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradient.transpose(0, 3, 1, 2), golden["grad_of_sum_y2"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("setting", [(0, 1.0, 0.5, 1.0), (1, 2.0, 0.1, 0.75), (9, 0.5, 1.0, 0.5)])
def test_agrees_with_its_definition(setting):
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 7))
    y = local_response_normalization(tf.constant(x, tf.float32), *setting)
    np.testing.assert_allclose(y, by_definition(x, *setting), rtol=1e-5)


def test_half_precision_does_not_overflow():
    layer = LocalResponseNormalization(dtype="mixed_float16")
    y = layer(np.full((1, 1, 1, 5), 2000.0, "float32"))
    assert y.dtype == "float16"
    expected = by_definition(np.full((1, 1, 1, 5), 2000.0), 2, 2.0, 1e-4, 0.75)
    np.testing.assert_allclose(y, expected, rtol=2e-3)


def test_layer_survives_its_config(golden):
    layer = LocalResponseNormalization(depth_radius=1, bias=1.0, alpha=0.01, beta=0.5)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    np.testing.assert_array_equal(copy(golden["x"]), layer(golden["x"]))
