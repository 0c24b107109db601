"""The ridge regression from vectors to labels."""

import numpy as np

from gch.methods.gch import regression
from gch.methods.gch.regression import ridge_regression

RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.normal(size=(30, 5)).astype(np.float32)
LABELS = (VECTORS @ RANDOM.normal(size=(5, 3)) + 0.3 > 0).astype(np.float32)


def test_of_two_items_by_hand():
    """Mean 1, variance 1, covariance 1/2: W = 1/4; a regression on one item predicts that item's label."""
    found = ridge_regression(np.float32([[0], [2]]), np.float32([[0], [1]]))
    np.testing.assert_allclose(found.kernel, [[0.25]])
    np.testing.assert_allclose(found.bias, [0.25])
    np.testing.assert_allclose(found.left_out, [[[1], [0]]], atol=1e-6)


def test_left_out_is_what_a_regression_on_all_others_predicts():
    view = RANDOM.normal(size=VECTORS.shape).astype(np.float32)
    found = ridge_regression(VECTORS, LABELS, view)
    weight = len(VECTORS) * VECTORS.var(axis=0).mean()
    for row in range(len(VECTORS)):
        others, labels = np.delete(VECTORS, row, axis=0), np.delete(LABELS, row, axis=0)
        around = others - others.mean(axis=0)
        kernel = np.linalg.solve(around.T @ around + weight * np.eye(5), around.T @ labels)
        for seen, left_out in zip((VECTORS, view), found.left_out, strict=True):
            predicted = labels.mean(axis=0) + (seen[row] - others.mean(axis=0)) @ kernel
            np.testing.assert_allclose(left_out[row], predicted, atol=1e-5)


def test_of_many_columns_those_that_vary_most_are_read(monkeypatch):
    wide = np.hstack([1e-3 * RANDOM.normal(size=(30, 4)).astype(np.float32), VECTORS])
    monkeypatch.setattr(regression, "WIDEST", 5)
    found, expected = ridge_regression(wide, LABELS, wide), ridge_regression(VECTORS, LABELS, VECTORS)
    assert not found.kernel[:4].any()
    np.testing.assert_allclose(found.kernel[4:], expected.kernel, atol=1e-9)
    np.testing.assert_allclose(found.left_out, expected.left_out, atol=1e-5)


def test_vectors_that_are_all_alike_predict_the_shares_of_the_labels():
    found = ridge_regression(np.ones((4, 2), np.float32), np.float32([[1], [1], [1], [0]]))
    np.testing.assert_allclose(np.ones(2) @ found.kernel + found.bias, [0.75])
    np.testing.assert_allclose(found.left_out, [[[2 / 3], [2 / 3], [2 / 3], [1]]], atol=1e-6)
