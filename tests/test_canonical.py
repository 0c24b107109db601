"""Canonical correlations: by hand, and against the generalised eigenvalue problem."""

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from gch.methods.gch import canonical
from gch.methods.gch.canonical import Moments, Projection, projections, turned


def related(seed: int, pairs: int, features: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs, (n, F) and (n, D), whose sides share some of what they show."""
    random = np.random.default_rng(seed)
    images = random.normal(size=(pairs, features)) @ random.normal(size=(features, features)) + 3
    texts = images @ random.normal(size=(features, dimensions)) + random.normal(size=(pairs, dimensions))
    return images.astype(np.float32), texts.astype(np.float32)


@pytest.mark.parametrize("ridge", [1e-6, 1.0])
def test_one_number_a_side_by_hand(ridge):
    """Variances 1 and 2, covariance 1: texts are divided by sqrt 2, whatever the ridge."""
    images, texts = np.array([[6.0], [6], [4], [4]]), np.array([[5.0], [3], [3], [1]])
    image, text = projections(Moments.of(images, texts), 1, 4, ridge)
    sign = np.sign(image.matrix[0, 0])
    np.testing.assert_allclose(image(images) * sign, [[1], [1], [-1], [-1]], rtol=1e-5)
    root = np.sqrt(2)
    np.testing.assert_allclose(text(texts) * sign, [[root], [0], [0], [-root]], atol=1e-5)


@pytest.mark.parametrize("width", [1, 2])
def test_two_numbers_a_side_with_a_ridge_by_hand(width):
    """Pictures (a, b) = (±2, ±1), texts (b, a / 2): variances 4, 1 and 1, 1; covariances 2 and 1.

    Ridge 1 adds 2.5 and 1. Correlations: of a 2 / sqrt(6.5 · 2), of b 1 / sqrt(3.5 · 2).
    """
    images = np.array([[2.0, 1], [2, -1], [-2, 1], [-2, -1]])
    texts = np.stack([images[:, 1], images[:, 0] / 2], axis=1)
    first, second = 2 / 13**0.5, 1 / 7**0.5
    of_images = np.array([[first / 6.5**0.5, 0], [0, second / 3.5**0.5]])[:, :width]
    of_texts = np.array([[0, second], [first, 0]])[:, :width] / 2**0.5
    scale = np.sqrt(np.square(images @ of_images).mean())
    found = projections(Moments.of(images, texts), 2, width, 1.0)
    signs = np.sign(np.diag(found[0].matrix))
    np.testing.assert_allclose(found[0].matrix * signs, of_images / scale, atol=1e-6)
    np.testing.assert_allclose(found[1].matrix * signs, of_texts / scale, atol=1e-6)


@given(
    seed=st.integers(0, 2**20),
    features=st.integers(1, 6),
    dimensions=st.integers(1, 6),
    ridge=st.sampled_from([1e-3, 0.3, 2.0]),
)
def test_the_projections_solve_the_generalised_eigenvalue_problem(seed, features, dimensions, ridge):
    """[0 S_xt; S_tx 0] w = r [S_xx 0; 0 S_tt] w, of which w is (x / sqrt 2, t / sqrt 2)."""
    images, texts = related(seed, 50, features, dimensions)
    covariance = np.cov(np.hstack([images, texts]).astype(float), rowvar=False, bias=True)
    sides = slice(0, features), slice(features, None)
    cross, within = np.zeros_like(covariance), np.zeros_like(covariance)
    cross[sides[0], sides[1]] = covariance[sides[0], sides[1]]
    for side in sides:
        own = covariance[side, side]
        within[side, side] = own + ridge * np.trace(own) / len(own) * np.eye(len(own))
    width = min(features, dimensions)
    correlations, directions = scipy.linalg.eigh(cross + cross.T, within)
    expected = (directions * 2**0.5 * correlations)[:, ::-1][:, :width]
    scale = np.sqrt(np.square((images - images.mean(axis=0)) @ expected[sides[0]]).mean())
    found = projections(Moments.of(images, texts), features, 9, ridge)
    assert [one.matrix.shape[1] for one in found] == [width, width]
    joined = np.vstack([one.matrix for one in found])
    # The products hold whatever the signs of the directions are.
    np.testing.assert_allclose(joined @ joined.T, expected @ expected.T / scale**2, atol=1e-3, rtol=1e-3)


@given(seed=st.integers(0, 2**20), count=st.integers(2, 30), data=st.data())
def test_moments_add_up(seed, count, data):
    images, texts = related(seed, count, 3, 2)
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    part, rest, whole = (Moments.of(images[rows], texts[rows]) for rows in (chosen, ~chosen, slice(None)))
    for found, expected in ((whole - part, rest), (part.with_all([rest]), whole)):
        assert found.pairs == expected.pairs
        np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-6, atol=1e-3)
        np.testing.assert_allclose(found.products, expected.products, rtol=1e-5, atol=1e-2)


def test_moments_of_several_blocks_are_those_of_all_pairs(monkeypatch):
    monkeypatch.setattr(canonical, "ROWS", 7)
    images, texts = related(0, 30, 3, 2)
    moments, joined = Moments.of(images, texts), np.hstack([images, texts]).astype(float)
    assert moments.pairs == 30
    np.testing.assert_allclose(moments.sums, joined.sum(axis=0), rtol=1e-6)
    np.testing.assert_allclose(moments.products, joined.T @ joined, rtol=1e-5)
    np.testing.assert_allclose(moments.covariance, np.cov(joined.T, bias=True), rtol=1e-4)


def test_a_mean_that_is_large_beside_the_variance_does_not_drown_it():
    images, texts = related(0, 20_000, 3, 2)
    images, texts = (side + np.float32(10_000) for side in (images, texts))
    joined = np.hstack([images, texts]).astype(float)
    np.testing.assert_allclose(
        Moments.of(images, texts).covariance, np.cov(joined.T, bias=True), rtol=1e-3, atol=1e-3
    )


@given(seed=st.integers(0, 2**20))
def test_a_rotation_is_turned_back(seed):
    images, texts = related(seed, 60, 5, 4)
    moments = Moments.of(images, texts)
    found = projections(moments, 5, 3, 0.5)
    rotation = scipy.stats.ortho_group.rvs(3, random_state=seed)
    away = [Projection(one.mean + 1, one.matrix @ rotation) for one in found]
    for one, other, before in zip(turned(away, found, moments), found, away, strict=True):
        np.testing.assert_allclose(one.matrix, other.matrix, atol=1e-6)
        np.testing.assert_array_equal(one.mean, before.mean)


def test_no_other_rotation_comes_nearer():
    sides = related(1, 60, 5, 4)
    moments = Moments.of(*sides)
    others = projections(moments, 5, 3, 0.5)
    own = projections(Moments.of(*(side[:30] for side in sides)), 5, 3, 0.5)

    def away(of, rotation=None) -> float:
        """From what the others make of all pairs, less the means."""
        rotation = np.eye(3) if rotation is None else rotation
        made = (
            (side - side.mean(axis=0)) @ (one.matrix @ rotation - other.matrix)
            for side, one, other in zip(sides, of, others, strict=True)
        )
        return sum(np.square(one).sum() for one in made)

    least = away(turned(own, others, moments))
    assert least < away(own)
    for seed in range(50):
        assert least < away(own, scipy.stats.ortho_group.rvs(3, random_state=seed))


def test_a_projection_leaves_the_form_of_its_input_alone():
    projection = Projection(np.array([1.0, 2.0]), np.array([[1.0, 0, 1], [0, 2, 1]]))
    found = projection(np.array([[[1, 2], [2, 2]], [[1, 3], [0, 0]]], np.float64))
    assert found.dtype == np.float32
    expected = [[[0, 0, 0], [1, 0, 1]], [[0, 2, 1], [-1, -4, -3]]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 700.3])
def test_columns_that_are_constant_do_not_count(value):
    images, texts = related(2, 40, 4, 3)
    images[:, 1] = texts[:, 2] = value
    image, text = projections(Moments.of(images, texts), 4, 3, 1.0)
    np.testing.assert_allclose(image.matrix[1], 0, atol=1e-4)
    np.testing.assert_allclose(text.matrix[2], 0, atol=1e-4)
    assert np.square(image(images)).mean() == pytest.approx(1, rel=1e-3)


def test_sides_without_any_variance_are_projected_to_zeros():
    image, text = projections(Moments.of(np.full((5, 3), 2.0), np.full((5, 2), 3.0)), 3, 2, 1.0)
    np.testing.assert_allclose(image(np.full((1, 3), 2.0)), 0, atol=1e-3)
    np.testing.assert_allclose(text(np.full((1, 2), 3.0)), 0, atol=1e-3)


def test_pairs_fewer_than_dimensions_still_meet():
    images, texts = related(3, 6, 20, 15)
    image, text = projections(Moments.of(images, texts), 20, 15, 1.0)
    near = scipy.spatial.distance.cdist(image(images), text(texts), "cosine")
    assert np.isfinite(near).all()
    assert near.argmin(axis=1).tolist() == list(range(6))
