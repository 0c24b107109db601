"""The optimizers' own formulas; RatedAdam against the original's steps is in test_gch_parity.py."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from gch.methods.agah.losses import all_triplets, cosine_distances
from gch.methods.optimizer import RatedAdam, RatedAdamax, learning_rate

RANDOM = np.random.default_rng(0)
START = RANDOM.normal(size=(3, 4)).astype(np.float32)
GRADIENTS = RANDOM.normal(size=(6, 3, 4)).astype(np.float32)


def steps(optimizer: keras.optimizers.Optimizer, *variables: keras.Variable) -> list[np.ndarray]:
    """Where the gradients take the variables, which all have the same."""
    optimizer.learning_rate = 0.01
    optimizer.build(list(variables))
    for gradient in GRADIENTS:
        optimizer.apply([tf.constant(gradient)] * len(variables), variables)
    return [np.asarray(variable) for variable in variables]


def test_nothing_keeps_the_graph_of_a_step():
    variable, codes = keras.Variable(START), tf.constant(START)
    optimizer = RatedAdam("adam")
    optimizer.build([variable])

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss, _ = all_triplets(cosine_distances(codes, variable.value), tf.eye(len(codes)), 0.3)
        optimizer.apply([tape.gradient(loss, variable.value)], [variable])

    graph = weakref.ref(step.get_concrete_function().graph)
    del step
    gc.collect()
    assert graph() is None


def adamax(beta_1: float, penalty: float) -> np.ndarray:
    """As PyTorch writes it: decay is added to the gradient, the norm is a running maximum."""
    weights, moment, norm = START, np.zeros_like(START), np.zeros_like(START)
    for step, gradient in enumerate(GRADIENTS, start=1):
        gradient = gradient + penalty * weights
        moment = beta_1 * moment + (1 - beta_1) * gradient
        norm = np.maximum(0.999 * norm, np.abs(gradient) + 1e-8)
        weights = weights - 0.01 / (1 - beta_1**step) * moment / norm
    return weights


@pytest.mark.parametrize(("beta_1", "penalty"), [(0.9, 5e-4), (0.5, 0.0)])
def test_adamax_is_pytorchs(beta_1, penalty):
    (found,) = steps(RatedAdamax("adamax", penalty, betas=(beta_1, 0.999)), keras.Variable(START))
    np.testing.assert_allclose(found, adamax(beta_1, penalty), rtol=1e-5, atol=1e-6)


def test_adam_is_keras_own():
    (found,) = steps(RatedAdam("adam"), keras.Variable(START))
    (expected,) = steps(keras.optimizers.Adam(epsilon=1e-8), keras.Variable(START))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [RatedAdam, RatedAdamax])
def test_some_variables_learn_slower(kind):
    one, slowed = keras.Variable(START), keras.Variable(START)
    moved, less = (after - START for after in steps(kind("rated", slowed=[slowed], factor=0.25), one, slowed))
    np.testing.assert_allclose(less, 0.25 * moved, rtol=1e-3, atol=1e-6)


def test_the_schedule_by_hand():
    assert [learning_rate(8.0, 0.5, 2, epoch) for epoch in range(5)] == [8, 8, 4, 4, 2]
    # The original of AGAH cuts after epochs 0, 100, 200: here after 0, 2, 4.
    assert [learning_rate(8.0, 0.5, 2, epoch, early=True) for epoch in range(6)] == [8, 4, 4, 2, 2, 1]


def test_the_schedule_of_gchs_original(golden):
    data = golden("gch_lr")
    for name, base in (("lr_img", 1e-4), ("lr_txt", 1e-2), ("lr_lab", 1e-2), ("lr_gph", 1e-3)):
        ours = [learning_rate(base, 0.5, 1, int(epoch)) for epoch in data["epochs"]]
        np.testing.assert_allclose(ours, data[name], rtol=1e-5)
