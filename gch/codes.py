"""Signs of relaxed codes, and figures that tell whether codes are good ones."""

import numpy as np


def binarize(relaxed: np.ndarray) -> np.ndarray:
    """Binary codes as int8 -1/+1 with sign(0) = +1, from relaxed codes of any shape."""
    return np.where(relaxed >= 0, 1, -1).astype(np.int8)


def code_statistics(relaxed: np.ndarray) -> dict[str, float]:
    """What tells good codes from collapsed ones.

    Args:
      relaxed: float (N, K), relaxed codes in [-1, 1], N > 1.

    Returns:
      bit_balance: mean over the bits of |share of +1 - 1/2|, in [0, 1/2]; 0 for balanced bits.
      bit_correlation: mean absolute Pearson correlation between two different bits, in [0, 1]; a bit that is
        the same for all items counts as fully correlated with every other.
      quantization_error: mean squared distance of an entry from its sign, in [0, 1].
      distinct_codes: share of different codes among the N, in (0, 1].
    """
    relaxed = np.asarray(relaxed, np.float64)
    codes = np.where(relaxed >= 0, 1.0, -1.0)
    items, bits = codes.shape
    centred = codes - codes.mean(axis=0)
    deviation = np.sqrt((centred**2).mean(axis=0))
    varies = deviation > 0
    correlation = np.ones((bits, bits))
    scaled = centred[:, varies] / deviation[varies]
    correlation[np.ix_(varies, varies)] = np.abs(scaled.T @ scaled) / items
    off_diagonal = correlation[~np.eye(bits, dtype=bool)]
    return {
        "bit_balance": float(np.abs((codes > 0).mean(axis=0) - 0.5).mean()),
        "bit_correlation": float(off_diagonal.mean()) if bits > 1 else 0.0,
        "quantization_error": float(((relaxed - codes) ** 2).mean()),
        "distinct_codes": len(np.unique(np.packbits(codes > 0, axis=1), axis=0)) / items,
    }


def bit_agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Share of entries whose signs agree, in [0, 1]; both arguments are relaxed or binary codes (N, K)."""
    return float(((np.asarray(first) >= 0) == (np.asarray(second) >= 0)).mean())


def pack(codes: np.ndarray) -> np.ndarray:
    """Packed codes, uint8 (N, ceil(K / 8)): a bit is 1 where the relaxed or binary code (N, K) is >= 0.

    The order is that of numpy.packbits: the first bit is the highest of the first byte.
    """
    return np.packbits(np.asarray(codes) >= 0, axis=1)
