"""Bags of words: which words a vocabulary holds, and which of them a caption holds.

A caption is a free text, `str`, or a set of tags, `tuple[str, ...]`. Both are normalised (NFKC: composed and
decomposed letters, full and half width become one) and written in lower case, by `str.lower` and not by
`str.casefold`, since a TensorFlow graph can do the former only.

A free text is split at every character that is not a Unicode letter, mark or number. Marks belong to words:
they are the vowels of Hindi and Thai. A tag stays whole, whatever it is made of.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gch.data.stop_words import english_stop_words
from gch.errors import DataError, RunError
from gch.storage import read_json, write_json

Caption = str | tuple[str, ...]

_FORMAT = 1
_LARGEST_STOP_WORDS = 2**24  # Bytes. A list of function words has some thousands.


@dataclass(frozen=True)
class Vocabulary:
    """The words that bags are made of.

    Attributes:
      words: D different words; `build_vocabulary` sorts them.
      ngrams: a word of the vocabulary is made of 1 to `ngrams` words of a free text.
      stop_words: words of free texts that are passed over.
    """

    words: tuple[str, ...]
    ngrams: int
    stop_words: frozenset[str]

    def bags(self, captions: Sequence[Caption], out: np.ndarray | None = None) -> np.ndarray:
        """Says which words each caption holds; words that the vocabulary lacks are dropped.

        Args:
          captions: n captions.
          out: uint8 (n, D) that is overwritten, such as a memory-mapped file; by default a new array.

        Returns:
          uint8 (n, D) of 0 and 1: `out` if it was given.

        Raises:
          ValueError: `out` has another shape or type.
        """
        shape = (len(captions), len(self.words))
        if out is None:
            out = np.empty(shape, np.uint8)
        elif out.shape != shape or out.dtype != np.uint8:
            raise ValueError(f"out is {out.dtype} {out.shape}, expected uint8 {shape}")
        column = self._columns
        for row, caption in enumerate(captions):
            words = tokens(caption, self.ngrams, self.stop_words)
            out[row] = 0
            out[row, [column[word] for word in words if word in column]] = 1
        return out

    def save(self, path: str | os.PathLike) -> None:
        """Writes the vocabulary as JSON, atomically; `load_vocabulary` reads it."""
        value = {
            "format": _FORMAT,
            "ngrams": self.ngrams,
            "stop_words": sorted(self.stop_words),
            "words": list(self.words),
        }
        write_json(path, value)

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}


def tokens(caption: Caption, ngrams: int, stop_words: frozenset[str]) -> list[str]:
    """The words of a caption, in its order and as often as it holds them.

    Args:
      caption: a free text, or tags.
      ngrams: 1 or more. A free text also gives every 2 to `ngrams` words that follow each other once the stop
        words are left out, joined by a space. Tags are not combined.
      stop_words: words of free texts to leave out, as `read_stop_words` returns them. Tags are not left out.

    Returns:
      Words that are not empty: the single ones, then the pairs, and so on.
    """
    if not isinstance(caption, str):
        return [tag for tag in map(_tag, caption) if tag]
    words = [word for word in _words(caption) if word not in stop_words]
    found = list(words)
    for length in range(2, ngrams + 1):
        found += (" ".join(words[i : i + length]) for i in range(len(words) - length + 1))
    return found


def build_vocabulary(
    captions: Iterable[Caption], *, size: int, minimum: int, ngrams: int, stop_words: frozenset[str]
) -> Vocabulary:
    """Chooses the words that most captions hold.

    Args:
      captions: free texts or tags; gone through once.
      size: 1 or more, the largest number of words.
      minimum: 1 or more, how many captions have to hold a word.
      ngrams: as in `tokens`.
      stop_words: as in `tokens`.

    Returns:
      A vocabulary of `size` words or fewer, sorted by code points. Of words that as many captions hold, those
      that come first in this order are chosen.

    Raises:
      DataError: no word is left.
    """
    holders: Counter[str] = Counter()
    total = 0
    for caption in captions:
        total += 1
        holders.update(set(tokens(caption, ngrams, stop_words)))
    common = (word for word, count in holders.items() if count >= minimum)
    words = sorted(common, key=lambda word: (-holders[word], word))[:size]
    if not words:
        raise DataError(
            f"captions: {total} captions with {len(holders)} different words, "
            f"expected a word that {minimum} captions or more hold"
        )
    return Vocabulary(tuple(sorted(words)), ngrams, stop_words)


def load_vocabulary(path: str | os.PathLike) -> Vocabulary:
    """Reads what `Vocabulary.save` wrote.

    Raises:
      DataError: the file is missing or damaged, or it is no vocabulary.
    """
    try:
        value = read_json(path)
    except (RunError, RecursionError) as error:
        raise DataError(f"{path}: expected a saved vocabulary, {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: holds a {type(value).__name__}, expected a saved vocabulary")
    number = value.get("format")
    if type(number) is not int or number != _FORMAT:
        raise DataError(f"{path}: format is {number!r:.40}, expected {_FORMAT}")
    ngrams = value.get("ngrams")
    if type(ngrams) is not int or ngrams < 1:
        raise DataError(f"{path}: ngrams is {ngrams!r:.40}, expected a whole number from 1 on")
    words = _strings(path, value, "words")
    if not words:
        raise DataError(f"{path}: words is empty, expected one word or more")
    return Vocabulary(words, ngrams, frozenset(_strings(path, value, "stop_words")))


def read_stop_words(name: str) -> frozenset[str]:
    """The stop words that a setting names.

    Args:
      name: '' for none, 'english' for the built-in list, or the path of a UTF-8 file with one word a line.
        The words of the file are split and written as those of a free text: "Don't" gives 'don' and 't'.

    Raises:
      DataError: the file cannot be read, is not UTF-8, or is larger than 16 MiB.
    """
    if not name:
        return frozenset()
    if name == "english":
        return english_stop_words()
    try:
        with open(name, "rb") as file:
            content = file.read(_LARGEST_STOP_WORDS + 1)
        if len(content) > _LARGEST_STOP_WORDS:
            raise DataError(f"{name}: larger than {_LARGEST_STOP_WORDS} bytes, expected a list of stop words")
        return frozenset(_words(content.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: byte {error.start} is not UTF-8, expected one stop word a line") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{name}: {reason}, expected '', 'english' or a file of one stop word a line"
        ) from error


def _words(text: str) -> list[str]:
    """The words of a free text, in lower case."""
    text = _lower(text)
    gaps = {ord(character): " " for character in set(text) if not _is_of_word(character)}
    return text.translate(gaps).split()


def _is_of_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def _tag(tag: str) -> str:
    # Half of a surrogate pair, which damaged JSON can hold, can be written to no file.
    text = _lower(tag).encode("utf-8", "replace").decode("utf-8")
    return " ".join(text.split())


def _lower(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


def _strings(path: str | os.PathLike, value: dict, field: str) -> tuple[str, ...]:
    """A list of different strings, none of them empty."""
    found = value.get(field)
    if not isinstance(found, list):
        raise DataError(f"{path}: {field} is a {type(found).__name__}, expected a list of words")
    for word in found:
        if not isinstance(word, str) or not word:
            raise DataError(f"{path}: {field} holds {word!r:.40}, expected words only")
    twice = next((word for word, count in Counter(found).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"{path}: {field} holds {twice!r} twice, expected every word once")
    return tuple(found)
