"""What several methods need of a batch: draws, and a memory's rows."""

import numpy as np
import pytest
import tensorflow as tf

from gch.methods.agah.method import mixed
from gch.methods.batch import (
    draw_beta,
    draw_numbers,
    draw_order,
    draw_uniform,
    likelihood_pair_loss,
    replace_rows,
)

BATCH = tf.constant([7, 3, 11, 2], tf.int32)


def test_the_pair_likelihood_by_hand():
    codes = tf.constant([[1.0, 1.0, -1.0, 1.0]])
    others = tf.constant([[1.0, 1.0, 1.0, 1.0], [-1.0, -1.0, 1.0, 1.0]])
    # Inner products 2 and -2; with the papers' 1/2, theta is 1 and -1.
    for scale, theta in ((0.0, 1), (8.0, 4)):
        expected = (np.log1p(np.exp(theta)) - theta + np.log1p(np.exp(-theta))) / 2
        found = likelihood_pair_loss(codes, others, tf.constant([[1.0, 0.0]]), scale)
        assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])  # of batches that are drawn, and that are streamed
@pytest.mark.parametrize("jit_compile", [False, True])
def test_rows_are_replaced_and_the_others_left_alone(jit_compile, dtype):
    table = np.arange(8, dtype=np.float32).reshape(4, 2)
    variable = tf.Variable(table)
    replace = tf.function(replace_rows, jit_compile=jit_compile)
    replace(variable, tf.constant([2, 1], dtype), tf.constant(-table[:2]))
    np.testing.assert_array_equal(variable, [table[0], -table[1], -table[0], table[3]])


def test_draws_depend_on_the_batch_and_the_stream_alone():
    drawn = draw_numbers(BATCH, 0, 200, below=7).numpy()
    assert set(drawn) == set(range(7))
    np.testing.assert_array_equal(drawn, draw_numbers(BATCH, 0, 200, below=7))
    assert (drawn != draw_numbers(BATCH + 1, 0, 200, below=7).numpy()).any()
    first, second = (draw_numbers(BATCH, stream, 200, below=2).numpy() for stream in (1, 2))
    assert 0.3 < first.mean() < 0.7
    assert 0.3 < (first == second).mean() < 0.7
    one, two = (draw_uniform(BATCH, stream, (50_000,)).numpy() for stream in (1, 2))
    assert one.mean() == pytest.approx(0.5, abs=0.01)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.02


@pytest.mark.parametrize("concentration", [0.5, 1.0, 5.0])
def test_shares_have_the_moments_of_a_beta_distribution(concentration):
    shares = draw_beta(BATCH, 1, 100_000, concentration).numpy()
    assert 0 <= shares.min() <= shares.max() <= 1
    assert shares.mean() == pytest.approx(0.5, abs=0.01)
    assert shares.var() == pytest.approx(1 / (4 * (2 * concentration + 1)), rel=0.03)


def test_an_order_is_a_permutation_of_its_own_under_xla_too():
    seed, orders = tf.constant([3, 5], tf.int64), []
    for number in (0, 1):
        plain, compiled = (
            tf.function(draw_order, jit_compile=jit)(seed, tf.constant(number), 50).numpy()
            for jit in (False, True)
        )
        np.testing.assert_array_equal(plain, compiled)
        assert sorted(plain) == list(range(50))
        orders.append(tuple(plain))
    assert len(set(orders)) == 2


def test_mix_up_gives_all_parts_of_an_item_the_same_share_of_the_same_partner():
    pixels = tf.constant(np.arange(4 * 12).reshape(4, 2, 2, 3), tf.uint8)
    images, shares = mixed(BATCH, 0.5, pixels, tf.eye(4))
    shares = shares.numpy()
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    for item in range(4):
        before = (item - 1) % 4
        assert set(np.flatnonzero(shares[item])) <= {item, before}
        expected = shares[item, item] * pixels[item].numpy() + shares[item, before] * pixels[before].numpy()
        np.testing.assert_allclose(images[item], expected, rtol=1e-5)
    assert not np.allclose(shares, mixed(BATCH + 1, 0.5, tf.eye(4))[0])
