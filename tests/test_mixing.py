import numpy as np
import pytest
import tensorflow as tf

from gch.methods.agah.method import mixed
from gch.methods.batch import draw_beta, draw_uniform

POSITIONS = tf.constant([7, 3, 11, 2], tf.int32)


def test_all_parts_of_an_item_take_the_same_share_of_the_same_partner():
    pixels = tf.constant(np.arange(4 * 12).reshape(4, 2, 2, 3), tf.uint8)
    labels = tf.eye(4)
    images, shares = mixed(POSITIONS, 0.5, pixels, labels)
    shares = shares.numpy()
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    for item in range(4):
        before = (item - 1) % 4
        assert set(np.flatnonzero(shares[item])) <= {item, before}
        expected = shares[item, item] * pixels[item].numpy() + shares[item, before] * pixels[before].numpy()
        np.testing.assert_allclose(images[item], expected, rtol=1e-5)


def test_the_same_batch_is_mixed_in_the_same_way_and_another_is_not():
    part = tf.random.stateless_normal([4, 5], (0, 0))
    (one,), (same,), (other,) = (
        mixed(positions, 0.5, part) for positions in (POSITIONS, POSITIONS, POSITIONS + 1)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


@pytest.mark.parametrize("concentration", [0.5, 1.0, 5.0])
def test_shares_have_the_moments_of_a_beta_distribution(concentration):
    shares = draw_beta(POSITIONS, 1, 100_000, concentration).numpy()
    assert 0 <= shares.min() <= shares.max() <= 1
    assert shares.mean() == pytest.approx(0.5, abs=0.01)
    assert shares.var() == pytest.approx(1 / (4 * (2 * concentration + 1)), rel=0.03)


def test_uniform_draws_of_two_streams_have_nothing_in_common():
    one, two = (draw_uniform(POSITIONS, stream, [50_000]).numpy() for stream in (1, 2))
    assert one.mean() == pytest.approx(0.5, abs=0.01)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.02
