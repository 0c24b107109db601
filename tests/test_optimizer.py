"""The optimizers' own formulas; RatedAdam against the original's steps is in test_gch_parity.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gch.methods.optimizer import RatedAdamax, learning_rate


def adamax(weights, gradients, rate, beta_1, beta_2, penalty):
    """As PyTorch writes it: decay is added to the gradient, the norm is a running maximum."""
    moment = norm = np.zeros_like(weights)
    for step, gradient in enumerate(gradients, start=1):
        gradient = gradient + penalty * weights
        moment = beta_1 * moment + (1 - beta_1) * gradient
        norm = np.maximum(beta_2 * norm, np.abs(gradient) + 1e-8)
        weights = weights - rate / (1 - beta_1**step) * moment / norm
    return weights


@pytest.mark.parametrize(("beta_1", "penalty"), [(0.9, 5e-4), (0.5, 0.0)])
def test_adamax_is_pytorchs(beta_1, penalty):
    random = np.random.default_rng(0)
    start = random.normal(size=(3, 4)).astype(np.float32)
    gradients = random.normal(size=(6, 3, 4)).astype(np.float32)
    variable = keras.Variable(start)
    optimizer = RatedAdamax("adamax", beta_1, penalty=penalty)
    optimizer.learning_rate = 0.01
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient)], [variable])
    expected = adamax(start, gradients, 0.01, beta_1, 0.999, penalty)
    np.testing.assert_allclose(variable, expected, rtol=1e-5, atol=1e-6)


def test_some_variables_learn_slower():
    one, slowed = (keras.Variable(np.ones(3, np.float32)) for _ in range(2))
    optimizer = RatedAdamax("adamax", slowed=[slowed], factor=0.1)
    optimizer.learning_rate = 0.01
    optimizer.build([one, slowed])
    optimizer.apply([tf.ones(3), tf.ones(3)], [one, slowed])
    np.testing.assert_allclose(1 - np.asarray(slowed), 0.1 * (1 - np.asarray(one)), rtol=1e-4)


def test_the_schedule_by_hand():
    assert [learning_rate(8.0, 0.5, 2, epoch) for epoch in range(5)] == [8, 8, 4, 4, 2]
    # The original of AGAH cuts after epochs 0, 100, 200: here after 0, 2, 4.
    assert [learning_rate(8.0, 0.5, 2, epoch, early=True) for epoch in range(6)] == [8, 4, 4, 2, 2, 1]
