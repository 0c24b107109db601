"""From captions to bags of words, by a vocabulary that knows the training items only.

A caption is a free text, `str`, or a set of tags, `tuple[str, ...]`. Both are normalised (NFKC: composed and
decomposed letters, full and half width become one) and written in lower case, by `str.lower` and not by
`str.casefold`, since a TensorFlow graph can do the former only.

A free text is split at every character that is not a Unicode letter, mark or number. Marks belong to words:
they are the vowels of Hindi and Thai. A tag stays whole, whatever it is made of.
"""

import dataclasses
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from gch.data.pairs import Pairs
from gch.data.text_files import text_lines
from gch.errors import DataError, RunError
from gch.settings import Settings
from gch.storage import cached_array, digest, read_json, write_json

Caption = str | tuple[str, ...]

_FORMAT = 1
_MAX_STOP_WORD_BYTES = 2**24
_ITEMS_AT_ONCE = 4096

# Function words: they join the words of a caption and say nothing about its picture. Texts are split at
# apostrophes, so what is left of "don't" and "she'll" is listed too.
_ENGLISH = """
    a an the this that these those such same other another each every either neither both all any some
    few many much more most several no none
    i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself
    she her hers herself it its itself they them their theirs themselves one ones
    who whom whose which what someone something anyone anything everyone everything nobody nothing
    am is are was were be been being have has had having do does did doing done
    can could may might must shall should will would ought
    about above across after against along among around as at before behind below beneath beside between
    beyond by down during except for from in inside into near of off on onto out outside over past since
    through throughout to toward towards under until up upon via with within without
    and but or nor so yet if because although though unless while whether than
    when where why how then there here now again ever never always often once also too very just only
    even still already almost quite rather not
    s t d m ll re ve don doesn didn isn aren wasn weren hasn haven hadn won wouldn couldn shouldn ain
"""


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
        words = {"stop_words": sorted(self.stop_words), "words": list(self.words)}
        write_json(path, {"format": _FORMAT, "ngrams": self.ngrams, **words})

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}


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
      save: whether `saved` may be written.

    Raises:
      DataError: no word is left, a file is damaged, or the cache cannot be written.
    """
    captions = pairs.captions
    if captions is None:
        return pairs
    if saved.exists():
        vocabulary = load_vocabulary(saved)
    else:
        vocabulary = vocabulary_of(captions, training, settings)
        if save:
            vocabulary.save(saved)

    def fill(bags: np.ndarray) -> None:
        for start in range(0, len(captions), _ITEMS_AT_ONCE):
            part = slice(start, start + _ITEMS_AT_ONCE)
            vocabulary.bags(captions[part], out=bags[part])

    rule = (vocabulary.words, vocabulary.ngrams, sorted(vocabulary.stop_words))
    path = cache / f"texts-{digest(pairs.digest, repr(rule))[:16]}.npy"
    bags = cached_array(path, np.uint8, (len(captions), len(vocabulary.words)), fill)
    return dataclasses.replace(pairs, texts=bags, tag_names=vocabulary.words)


def vocabulary_of(captions: Sequence[Caption], training: np.ndarray, settings: Settings) -> Vocabulary:
    """The vocabulary of the training items' captions, as the settings choose it; see `with_vocabulary`."""
    return build_vocabulary(
        (captions[row] for row in training),
        size=settings.vocabulary_size,
        minimum=settings.vocabulary_minimum,
        ngrams=settings.ngrams,
        stop_words=read_stop_words(settings.stop_words),
    )


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
    number, ngrams = value.get("format"), value.get("ngrams")
    if type(number) is not int or number != _FORMAT:
        raise DataError(f"{path}: format is {number!r:.40}, expected {_FORMAT}")
    if type(ngrams) is not int or ngrams < 1:
        raise DataError(f"{path}: ngrams is {ngrams!r:.40}, expected a whole number from 1 on")
    for field in ("words", "stop_words"):
        words = value.get(field)
        if not isinstance(words, list):
            raise DataError(f"{path}: {field} is a {type(words).__name__}, expected a list of words")
        for word in words:
            if not isinstance(word, str) or not word:
                raise DataError(f"{path}: {field} holds {word!r:.40}, expected words only")
        if len(set(words)) < len(words):
            twice = Counter(words).most_common(1)[0][0]
            raise DataError(f"{path}: {field} holds {twice!r} twice, expected every word once")
    if not value["words"]:
        raise DataError(f"{path}: words is empty, expected one word or more")
    return Vocabulary(tuple(value["words"]), ngrams, frozenset(value["stop_words"]))


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
        return frozenset(_ENGLISH.split())
    expected = "expected '', 'english' or a file of one stop word a line"
    lines = text_lines(Path(name), expected, _MAX_STOP_WORD_BYTES)
    return frozenset(word for _, line in lines for word in _words(line))


def _words(text: str) -> list[str]:
    """The words of a free text, in lower case."""
    text = _lower(text)
    gaps = {ord(character): " " for character in set(text) if unicodedata.category(character)[0] not in "LMN"}
    return text.translate(gaps).split()


def _tag(tag: str) -> str:
    # Half of a surrogate pair, which damaged JSON can hold, can be written to no file.
    text = _lower(tag).encode("utf-8", "replace").decode("utf-8")
    return " ".join(text.split())


def _lower(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()
