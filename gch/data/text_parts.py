"""Texts as vectors of an encoder: an item's text is the mean of the vectors of its words or captions.

Each different word or caption of a data set is encoded once, and kept in the cache.
"""

import dataclasses
import shutil
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import scipy.sparse

from gch.data.pairs import Pairs, TextParts
from gch.data.sentences import SentencesAndWords
from gch.data.text_files import whole
from gch.data.vector_files import require_finite
from gch.errors import SettingError
from gch.storage import cached_array, cached_rows, digest

Text = str | Sequence[str]  # a free text, of which each line is a caption, or tags

_ENCODED_AT_ONCE, _KEPT_AT_ONCE = 256, 2**15


class TextEncoder(Protocol):
    """Encodes strings; several threads may call it."""

    name: str  # in messages
    digest: str  # encoders of equal digest give equal vectors
    size: int  # D

    def encode(self, strings: Sequence[str]) -> np.ndarray:
        """Vectors float32 (n, D) of n strings, 1 or more."""
        ...


def strings_of(text: Text) -> list[str]:
    """The different words or captions of a text in Unicode's form NFKC; none is blank."""
    lines = text.splitlines() if isinstance(text, str) else text
    strings = (" ".join(unicodedata.normalize("NFKC", whole(line)).split()) for line in lines)
    return list(dict.fromkeys(filter(None, strings)))


def text_vectors(texts: Sequence[Text], encoder: TextEncoder) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float32 (n, D) of n texts, zeros of a blank one; and the number of strings in each, (n,)."""
    strings, starts, columns = _table(texts)
    vectors = np.zeros((len(strings), encoder.size), np.float32)
    _encode(strings, encoder, vectors, lambda done: None)
    return part_means(vectors, starts, columns), np.diff(starts)


def part_means(vectors: np.ndarray, starts: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Means float32 (n, D) of rows of `vectors`: of item i, of those of columns[starts[i]:starts[i + 1]]."""
    counts = np.diff(starts)
    weights = np.repeat(1 / np.maximum(counts, 1), counts).astype(np.float32)
    own = columns[starts[0] : starts[-1]]
    return scipy.sparse.csr_array((weights, own, starts - starts[0]), (len(counts), len(vectors))) @ vectors


def require_raw_texts(pairs: Pairs, encoder: str) -> None:
    """Raises SettingError where a data set names neither captions nor words that could be encoded."""
    if pairs.captions is None and pairs.all_words is None and not pairs.tag_names:
        fault = f"txtStr is {encoder!r}, and {pairs.name} does not name its words"
        raise SettingError(f"{fault}; expected 'words'")


def encoded_texts(
    pairs: Pairs, encoder: TextEncoder, cache: Path, progress: Callable[[int, int], object]
) -> Pairs:
    """The data set with text vectors float32 (N, D), and `parts`: their words or captions.

    A run that was stopped goes on where it was. Captions of no word have a vector of zeros. The vectors are
    kept in the folder `cache`; `progress` is called with the number of strings encoded and of all.

    Raises:
      DataError: a vector is not finite, or the cache cannot be written.
    """
    strings, starts, columns = _table(_raw_texts(pairs))
    stem = f"text-parts-{pairs.name}-{digest(encoder.digest, repr(strings))[:16]}"
    kept = cache / stem  # what is finished until all are

    def encoded(start: int, stop: int) -> np.ndarray:
        def fill(own: np.ndarray) -> None:
            _encode(strings[start:stop], encoder, own, lambda done: progress(start + done, len(strings)))

        return cached_array(kept / f"{start}.npy", np.float32, (stop - start, encoder.size), fill)

    shape = (len(strings), encoder.size)
    vectors = cached_rows(cache / f"{stem}.npy", np.float32, shape, encoded, _KEPT_AT_ONCE)
    shutil.rmtree(kept, ignore_errors=True)
    return _of_parts(pairs, TextParts(vectors, strings, starts, columns), stem, cache)


def with_words(pairs: Pairs, encoder: SentencesAndWords, cache: Path) -> Pairs:
    """The data set, whose parts are encoded by sentences, with words beside them. Raises as `encoded_texts`
    does.
    """
    assert pairs.parts is not None
    sentences, strings = pairs.parts.vectors, pairs.parts.strings
    stem = f"text-parts-{pairs.name}-{digest(encoder.digest, repr(strings))[:16]}"

    def joined(start: int, stop: int) -> np.ndarray:
        return _directions(encoder.joined(sentences[start:stop], strings[start:stop]))

    vectors = cached_rows(cache / f"{stem}.npy", np.float32, (len(strings), encoder.size), joined)
    return _of_parts(pairs, pairs.parts._replace(vectors=vectors), stem, cache)


def _of_parts(pairs: Pairs, parts: TextParts, stem: str, cache: Path) -> Pairs:
    """The data set with the means of its parts, which are kept in the cache."""
    starts, columns = parts.starts, parts.columns

    def means(start: int, stop: int) -> np.ndarray:
        return part_means(parts.vectors, starts[start : stop + 1], columns)

    path = cache / f"text-vectors-{pairs.name}-{digest(stem, starts, columns)[:16]}.npy"
    texts = cached_rows(path, np.float32, (len(starts) - 1, parts.vectors.shape[1]), means)
    return dataclasses.replace(pairs, texts=texts, tag_names=(), parts=parts)


def joined_strings(pairs: Pairs) -> Sequence[str]:
    """The words or captions of each item's text, one a line."""
    return ["\n".join(strings_of(text)) for text in _raw_texts(pairs)]


def _raw_texts(pairs: Pairs) -> Sequence[Text]:
    if pairs.captions is not None:
        return pairs.captions
    if pairs.all_words is not None:
        return pairs.all_words
    return [[pairs.tag_names[column] for column in np.flatnonzero(row)] for row in pairs.texts]


def _table(texts: Sequence[Text]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The different strings of all texts; and which each has, as in `TextParts`."""
    numbers: dict[str, int] = {}
    columns: list[int] = []
    starts = np.zeros(len(texts) + 1, np.int64)
    for row, text in enumerate(texts):
        columns += [numbers.setdefault(string, len(numbers)) for string in strings_of(text)]
        starts[row + 1] = len(columns)
    return list(numbers), starts, np.array(columns, np.int32)


def _encode(
    strings: Sequence[str], encoder: TextEncoder, vectors: np.ndarray, progress: Callable[[int], object]
) -> None:
    """Fills `vectors` with those of strings, of length 1."""
    progress(0)
    for start in range(0, len(strings), _ENCODED_AT_ONCE):
        some = strings[start : start + _ENCODED_AT_ONCE]
        found = encoder.encode(some)
        require_finite(found, f"{encoder.name}: its array of vectors from {some[0]!r:.40} on")
        vectors[start : start + len(some)] = _directions(found)
        progress(start + len(some))


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, D) divided by their lengths; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
