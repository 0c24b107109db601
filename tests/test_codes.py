import numpy as np
import pytest

from gch.evaluation.codes import binarize, bit_agreement, code_statistics, pack
from gch.methods.batch import sign


def test_sign_of_zero_is_plus_one():
    relaxed = np.array([[-0.5, 0.0, -0.0, 1e-30, 3.0]], np.float32)
    assert sign(relaxed).numpy().tolist() == binarize(relaxed).tolist() == [[-1, 1, 1, 1, 1]]
    assert pack(relaxed).tolist() == [[0b01111000]]
    assert pack(np.array([[1, -1, -1, -1, -1, -1, -1, 1, 1]])).tolist() == [[0b10000001, 0b10000000]]


def test_statistics_by_hand():
    relaxed = np.array([[0.5, 1.0], [-0.5, 1.0], [0.5, -1.0], [-0.5, 1.0]])
    # Bits + - + - and + + - +: covariance -1/2, deviations 1 and sqrt(3)/2.
    assert code_statistics(relaxed) == pytest.approx(
        {
            "bit_balance": (0 + 0.25) / 2,
            "bit_correlation": 0.5 / (3**0.5 / 2),
            "quantization_error": 0.125,
            "distinct_codes": 3 / 4,
        }
    )


def test_collapsed_codes_show():
    # Every item has as many +1 as -1, yet each bit is the same for all.
    statistics = code_statistics(np.tile([0.9, -0.9], (10, 2)))
    assert (statistics["bit_balance"], statistics["bit_correlation"]) == (0.5, 1.0)
    assert statistics["distinct_codes"] == 0.1


def test_bit_agreement():
    assert bit_agreement(np.array([[1, -1, 0, 2]]), np.array([[3, 1, 0.1, -2]])) == 0.5
