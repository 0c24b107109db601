"""Known words that stand in for unknown ones in queries."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gch.data.sentences import SentenceEncoder

NEAREST = 3
NEAR = 0.6  # cosine; kitten and cat have .81, lunar and moon .81; unrelated words stay below


class StandIns:
    """Words by their meaning: vectors of the package of the extra `sentences`."""

    def __init__(self, words: Sequence[str], vectors: np.ndarray):
        self.words, self._vectors = tuple(words), vectors

    @classmethod
    def of(cls, words: Sequence[str], encoder: SentenceEncoder) -> "StandIns":
        """Encodes the words, some milliseconds each."""
        return cls(words, encoder.encode(words))

    @classmethod
    def load(cls, path: Path) -> "StandIns":
        """Reads what `save` wrote."""
        with np.load(path) as arrays:
            return cls(arrays["words"].tolist(), arrays["vectors"].astype(np.float32))

    def save(self, path: Path) -> None:
        """Writes `words`, and `vectors` as float16, to a .npz file."""
        np.savez(path, words=np.array(self.words), vectors=self._vectors.astype(np.float16))

    def near(self, vectors: np.ndarray) -> dict[str, float]:
        """The words near to vectors float32 (n, 512) of other words, `NEAREST` at most to each, and their
        cosines, `NEAR` or more.
        """
        cosines = vectors @ self._vectors.T
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :NEAREST]
        found = zip(nearest.ravel(), np.take_along_axis(cosines, nearest, axis=1).ravel(), strict=True)
        return {self.words[row]: float(cosine) for row, cosine in found if cosine >= NEAR}
