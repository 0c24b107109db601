"""Codes: signs of relaxed codes, packed bits, items that carry them, and figures that tell good codes."""

import dataclasses
from collections.abc import Mapping

import numpy as np

MODALITIES = ("image", "text")
KINDS = (*MODALITIES, "pair")  # what a code can be of; a pair's is unified, from both modalities


def binarize(relaxed: np.ndarray) -> np.ndarray:
    """Binary codes as int8 -1/+1 with sign(0) = +1, from relaxed codes of any shape."""
    return np.where(relaxed >= 0, 1, -1).astype(np.int8)


def pack(codes: np.ndarray) -> np.ndarray:
    """Packed codes, uint8 (N, ceil(K / 8)): a bit is 1 where the relaxed or binary code (N, K) is >= 0.

    The order is that of numpy.packbits: the first bit is the highest of the first byte.
    """
    return np.packbits(np.asarray(codes) >= 0, axis=1)


def as_words(packed: np.ndarray) -> np.ndarray:
    """Packed bits, uint8 (N, B), in words that are compared at once: uint64 (N, W), filled up with zeros."""
    filled = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    return np.ascontiguousarray(filled).view(np.uint64)


@dataclasses.dataclass(frozen=True)
class CodedItems:
    """N items with what a ranking needs of them."""

    codes: np.ndarray  # uint8 (N, ceil(K / 8)), packed as by `pack`; bits beyond K are 0
    bits: int  # length of a code K
    labels: np.ndarray  # uint8 (N, C), multi-hot; C is 0 where there are none
    relaxed: np.ndarray | None = None  # float32 (N, K), in [-1, 1], for asymmetric rankings

    def __len__(self) -> int:
        return len(self.codes)

    def only(self, chosen: np.ndarray | slice) -> "CodedItems":
        """Some of the items, by positions, bool (N,) or a slice."""
        relaxed = None if self.relaxed is None else self.relaxed[chosen]
        return CodedItems(self.codes[chosen], self.bits, self.labels[chosen], relaxed)


def coded_items(codes: np.ndarray, labels: np.ndarray) -> CodedItems:
    """From binary or relaxed codes (N, K), of which the signs count, and multi-hot labels (N, C)."""
    return CodedItems(pack(codes), codes.shape[1], np.asarray(labels).astype(np.uint8))


@dataclasses.dataclass(frozen=True)
class EncodedPairs:
    """Relaxed codes of N pairs, in (-1, 1)."""

    codes: Mapping[str, np.ndarray]  # float32 (N, K), by the 'image', 'text' and, if any, 'pair' network
    labels: np.ndarray  # uint8 (N, C), multi-hot
    rows: np.ndarray  # int64 (N,), the pairs' rows in the data set

    def __len__(self) -> int:
        return len(self.rows)

    def coded(self) -> dict[str, CodedItems]:
        """Binary and relaxed codes of every kind, with the labels."""
        return {
            kind: dataclasses.replace(coded_items(relaxed, self.labels), relaxed=relaxed)
            for kind, relaxed in self.codes.items()
        }

    def only(self, chosen: np.ndarray | slice) -> "EncodedPairs":
        """Some of the pairs, by positions, int (n,), bool (N,) or a slice."""
        codes = {kind: relaxed[chosen] for kind, relaxed in self.codes.items()}
        return EncodedPairs(codes, self.labels[chosen], self.rows[chosen])


def joined(first: EncodedPairs, second: EncodedPairs) -> EncodedPairs:
    """The pairs of both, in order."""
    codes = {kind: np.concatenate([relaxed, second.codes[kind]]) for kind, relaxed in first.codes.items()}
    labels = np.concatenate([first.labels, second.labels])
    return EncodedPairs(codes, labels, np.concatenate([first.rows, second.rows]))


def code_statistics(relaxed: np.ndarray) -> dict[str, float]:
    """What tells good codes from collapsed ones, of relaxed codes in [-1, 1], float (N, K), N > 1.

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
        "distinct_codes": len(np.unique(pack(codes), axis=0)) / items,
    }


def bit_agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Share of entries whose signs agree, in [0, 1]; both arguments are relaxed or binary codes (N, K)."""
    return float(((np.asarray(first) >= 0) == (np.asarray(second) >= 0)).mean())
