"""The baseline of benchmarks/, and the row that its table gets."""

import numpy as np
import pytest


@pytest.fixture
def baseline(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    import baseline

    return baseline


def test_codes_of_labels_are_near_where_labels_are_shared(baseline):
    labels = np.repeat([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], 20, axis=0)
    bits = 64  # few bits of random rotations tell it only of most seeds
    codes, again = (np.where(baseline.label_codes(labels, bits, seed=0) >= 0, 1, -1) for _ in range(2))
    assert codes.shape == (100, bits)
    assert (codes == again).all()
    kinds = codes.reshape(5, 20, bits)
    assert (kinds == kinds[:, :1]).all()  # items of the same labels have one code
    inner = kinds[:, 0] @ kinds[:, 0].T
    similar = labels[::20] @ labels[::20].T > 0
    np.fill_diagonal(similar, False)
    others = ~similar & ~np.eye(5, dtype=bool)
    assert inner[similar].min() > inner[others].max()


def test_more_bits_than_kinds_of_labels_are_filled_by_the_rotation(baseline):
    codes = baseline.label_codes(np.repeat(np.eye(3, dtype=np.uint8), 5, axis=0), 8, seed=0)
    assert codes.shape == (15, 8)
    assert (np.ptp(codes, axis=0) > 0).all()


def test_a_ridge_with_little_weight_finds_a_linear_rule_and_with_much_the_mean(baseline):
    random = np.random.default_rng(0)
    inputs, training = random.normal(size=(300, 4)).astype(np.float32), np.arange(200)
    targets = inputs @ random.normal(size=(4, 3)) + 2
    little, *_, much = baseline.ridges(inputs, training, targets[training])
    np.testing.assert_allclose(little, targets, atol=0.6)
    shrunk = np.abs(much - targets[training].mean(axis=0)).max()
    assert shrunk < 0.05 * np.abs(targets - targets.mean(axis=0)).max()


def test_a_row_has_the_figures_over_all_and_over_new_items(baseline):
    kinds = dict.fromkeys(("bit_balance", "bit_correlation", "quantization_error"), 0.5)
    codes = {"retrieval": {"image": kinds, "text": kinds}, "query": {"image_text_agreement": 0.75}}
    found = [
        {
            "mAP": {"I->T": 0.8 + step, "T->I": 0.7},
            "mAP_not_trained_on": {"I->T": 0.6, "T->I": 0.5 + step},
            "codes": codes,
            "training": {"seconds": 3.0},
        }
        for step in (0.0, 0.02)
    ]
    cells = dict(zip(baseline.HEADER, baseline.row("x", 8, found), strict=True))
    assert cells["all I->T"] == "0.810 ± 0.014"
    assert cells["new I->T"] == "0.600 ± 0.000"
    assert cells["new T->I"] == "0.510 ± 0.014"
