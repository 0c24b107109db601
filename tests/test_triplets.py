"""The loss over all triplets, against its definition written out."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from gch.methods.agah.losses import all_triplets, cosine_distances


def plain(distances: tf.Tensor, similar: np.ndarray, margin: float) -> tuple[tf.Tensor, tf.Tensor]:
    """The definition, as a tensor (A, B, B)."""
    similar = tf.constant(similar > 0)
    hinges = tf.nn.relu(distances[:, :, None] - distances[:, None, :] + margin)
    hinges = tf.where(similar[:, :, None] & ~similar[:, None, :], hinges, 0.0)
    return tf.reduce_sum(hinges), tf.reduce_sum(tf.cast(hinges > 0, tf.float32))


def with_gradient(loss, distances, similar, margin):
    distances = tf.constant(distances, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(distances)
        total, opened = loss(distances, similar, margin)
    return float(total), float(opened), tape.gradient(total, distances).numpy()


@given(
    st.integers(0, 10**6),
    st.integers(1, 7),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.booleans(),
)
def test_it_is_the_definition(seed, anchors, items, margin, coarse):
    """Coarse distances tie, some of them just at the hinge, where both gradients are 0."""
    random = np.random.default_rng(seed)
    distances = random.uniform(0, 2, (anchors, items))
    distances = np.round(4 * distances) / 4 if coarse else distances
    margin = 0.5 if coarse and margin else margin
    similar = random.integers(0, 3, (anchors, items))
    found = with_gradient(all_triplets, distances, similar, margin)
    expected = with_gradient(plain, distances, similar, margin)
    assert found[0] == pytest.approx(expected[0], rel=1e-5, abs=1e-5)
    assert found[1] == expected[1]
    np.testing.assert_allclose(found[2], expected[2], atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_compiles(jit_compile):
    random = np.random.default_rng(0)
    codes, others = (tf.constant(random.normal(size=(30, 16)), tf.float32) for _ in range(2))
    labels = random.random((30, 5)) < 0.3
    similar = (labels.astype(int) @ labels.T.astype(int)).astype(np.float32)

    @tf.function(jit_compile=jit_compile)
    def step(loss):
        with tf.GradientTape() as tape:
            tape.watch([codes, others])
            total, _ = loss(cosine_distances(codes, others), similar, 0.3)
        return total, tape.gradient(total, [codes, others])

    found, expected = step(all_triplets), step(plain)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    for one, two in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)
