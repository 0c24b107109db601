"""From raw texts to bags of words, by a vocabulary that knows the training items only."""

import dataclasses
from pathlib import Path

import numpy as np

from gch.data.pairs import Pairs
from gch.data.vocabulary import Vocabulary, build_vocabulary, load_vocabulary, read_stop_words
from gch.settings import Settings
from gch.storage import cached_array, digest

_ITEMS_AT_ONCE = 4096


def with_vocabulary(
    pairs: Pairs, training: np.ndarray, settings: Settings, saved: Path, cache: Path, save: bool = True
) -> Pairs:
    """The data set with bags of words; one that has them already is returned as it is.

    Args:
      pairs: the data set.
      training: int64 (n,), rows of the training items, of which the vocabulary is built.
      settings: vocabulary_size, vocabulary_minimum, ngrams and stop_words.
      saved: file of the run's vocabulary; read where it exists, else written.
      cache: folder of the bags, which are kept on disk.
      save: whether it may be written.

    Raises:
      DataError: no word is left, a file is damaged, or the cache cannot be written.
    """
    if pairs.captions is None:
        return pairs
    if saved.exists():
        vocabulary = load_vocabulary(saved)
    else:
        vocabulary = vocabulary_of(pairs, training, settings)
        if save:
            vocabulary.save(saved)
    texts = _bags(pairs, vocabulary, cache)
    return dataclasses.replace(pairs, texts=texts, tag_names=vocabulary.words)


def vocabulary_of(pairs: Pairs, training: np.ndarray, settings: Settings) -> Vocabulary:
    """The vocabulary of the training items' captions, as the settings choose it; see `with_vocabulary`."""
    return build_vocabulary(
        (pairs.captions[row] for row in training),
        size=settings.vocabulary_size,
        minimum=settings.vocabulary_minimum,
        ngrams=settings.ngrams,
        stop_words=read_stop_words(settings.stop_words),
    )


def _bags(pairs: Pairs, vocabulary: Vocabulary, cache: Path) -> np.ndarray:
    rule = (vocabulary.words, vocabulary.ngrams, sorted(vocabulary.stop_words))
    path = cache / f"texts-{digest(pairs.digest, repr(rule))[:16]}.npy"
    shape = (len(pairs.captions), len(vocabulary.words))

    def fill(bags: np.ndarray) -> None:
        for start in range(0, shape[0], _ITEMS_AT_ONCE):
            part = pairs.captions[start : start + _ITEMS_AT_ONCE]
            vocabulary.bags(part, out=bags[start : start + _ITEMS_AT_ONCE])

    return cached_array(path, np.uint8, shape, fill)
