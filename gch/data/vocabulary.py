"""Vocabularies: from captions (free texts, `str`, or tags, `tuple[str, ...]`) to bags of words."""

import dataclasses
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gch.data.pairs import Pairs
from gch.data.text_files import is_count, read_object, text_lines
from gch.errors import DataError
from gch.settings import Settings
from gch.storage import cached_rows, digest, write_json

Caption = str | tuple[str, ...]

_FORMAT = 1
_MAX_STOP_WORD_BYTES = 2**24

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


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The words that bags are made of: D different words; those of a free text are runs of 1 to `ngrams`."""

    words: tuple[str, ...]
    ngrams: int
    stop_words: frozenset[str]  # left out of free texts

    def bags(self, captions: Sequence[Caption]) -> np.ndarray:
        """Which words each of n captions holds, uint8 (n, D) of 0 and 1; unknown words are dropped."""
        column = {word: number for number, word in enumerate(self.words)}
        bags = np.zeros((len(captions), len(self.words)), np.uint8)
        for row, caption in enumerate(captions):
            words = tokens(caption, self.ngrams, self.stop_words)
            bags[row, [column[word] for word in words if word in column]] = 1
        return bags

    def save(self, path: Path) -> None:
        """Writes the vocabulary as JSON, atomically; `load_vocabulary` reads it."""
        words = {"stop_words": sorted(self.stop_words), "words": list(self.words)}
        write_json(path, {"format": _FORMAT, "ngrams": self.ngrams, **words})


def with_vocabulary(
    pairs: Pairs, training: np.ndarray, settings: Settings, saved: Path, cache: Path
) -> Pairs:
    """The data set with bags of words; one that has them already, or whose texts are to be encoded by another
    `txtStr` than 'words', is returned unchanged.

    The vocabulary is that of `run_vocabulary`. The bags are kept in the folder `cache`.

    Raises:
      DataError: no word is left, a file is damaged, or the cache cannot be written.
    """
    captions = pairs.captions
    if captions is None or settings.txtStr != "words":
        return pairs
    vocabulary = run_vocabulary(captions, training, settings, saved)

    def bags_of(start: int, stop: int) -> np.ndarray:
        return vocabulary.bags(captions[start:stop])

    rule = (vocabulary.words, vocabulary.ngrams, sorted(vocabulary.stop_words))
    path = cache / f"texts-{digest(pairs.digest, repr(rule))[:16]}.npy"
    bags = cached_rows(path, np.uint8, (len(captions), len(vocabulary.words)), bags_of)
    return dataclasses.replace(pairs, texts=bags, tag_names=vocabulary.words)


def used_vocabulary(pairs: Pairs, settings: Settings) -> Vocabulary:
    """The vocabulary of a data set whose bags `with_vocabulary` has made."""
    return Vocabulary(pairs.tag_names, settings.ngrams, read_stop_words(settings.stop_words))


def tokens(caption: Caption, ngrams: int, stop_words: frozenset[str]) -> list[str]:
    """The words of a caption, in its order and as often as it holds them; none is empty.

    A free text gives its words without stop words, then every 2 to `ngrams` of these that follow each other,
    joined by a space. Tags stay whole.
    """
    if not isinstance(caption, str):
        # Half of a surrogate pair, which damaged JSON can hold, can be written to no file.
        tags = (_lower(tag).encode("utf-8", "replace").decode("utf-8") for tag in caption)
        return [" ".join(tag.split()) for tag in tags if tag.strip()]
    words = [word for word in _words(caption) if word not in stop_words]
    found = list(words)
    for length in range(2, ngrams + 1):
        found += (" ".join(words[i : i + length]) for i in range(len(words) - length + 1))
    return found


def build_vocabulary(captions: Sequence[Caption], training: np.ndarray, settings: Settings) -> Vocabulary:
    """Chooses the `vocabulary_size` words in most captions of training items, sorted by code points.

    Words in equally many captions are chosen in this order. `captions` are those of all items, `training`
    int64 (n,) the rows of the training items.

    Raises:
      DataError: no word occurs in `vocabulary_minimum` captions, or the file of stop words cannot be read.
    """
    stop_words, minimum = read_stop_words(settings.stop_words), settings.vocabulary_minimum
    holders: Counter[str] = Counter()
    for row in training:
        holders.update(set(tokens(captions[row], settings.ngrams, stop_words)))
    common = (word for word, count in holders.items() if count >= minimum)
    words = sorted(common, key=lambda word: (-holders[word], word))[: settings.vocabulary_size]
    if not words:
        raise DataError(
            f"captions: those of {len(training)} training items have {len(holders)} different words, "
            f"expected one in {minimum} captions or more (vocabulary_minimum)"
        )
    return Vocabulary(tuple(sorted(words)), settings.ngrams, stop_words)


def run_vocabulary(
    captions: Sequence[Caption], training: np.ndarray, settings: Settings, saved: Path
) -> Vocabulary:
    """The vocabulary in the run's file `saved` where it exists, else that of `build_vocabulary`."""
    return load_vocabulary(saved) if saved.exists() else build_vocabulary(captions, training, settings)


def load_vocabulary(path: Path) -> Vocabulary:
    """Reads what `Vocabulary.save` wrote; raises DataError if the file is missing or not a vocabulary."""
    value = read_object(path, _FIELDS)
    return Vocabulary(tuple(value["words"]), value["ngrams"], frozenset(value["stop_words"]))


def read_stop_words(name: str) -> frozenset[str]:
    """The stop words that a setting names.

    Args:
      name: '' for none, 'english' for the built-in list, or the path of a UTF-8 file with one word a line.
        The words of the file are split and written as those of a free text: "Don't" gives 'don' and 't'.

    Raises:
      DataError: the file cannot be read, is not UTF-8, or is larger than 16 MiB.
    """
    if name in ("", "english"):
        return frozenset(_ENGLISH.split() if name else ())
    expected = "expected '', 'english' or a file of one stop word a line"
    lines = text_lines(Path(name), expected, _MAX_STOP_WORD_BYTES)
    return frozenset(word for _, line in lines for word in _words(line))


def _words(text: str) -> list[str]:
    # Split at what is no letter, mark or number. Marks are the vowels of Hindi and Thai.
    text = _lower(text)
    gaps = {ord(character): " " for character in set(text) if unicodedata.category(character)[0] not in "LMN"}
    return text.translate(gaps).split()


def _lower(text: str) -> str:
    # NFKC makes composed and decomposed letters, full and half width one. Not `casefold`: a TensorFlow graph
    # has `lower` only.
    return unicodedata.normalize("NFKC", text).lower()


def _are_words(value: object) -> bool:
    if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
        return False
    return len(set(value)) == len(value)


_FIELDS = {
    "format": (f"{_FORMAT}, that of a saved vocabulary", lambda value: is_count(value) and value == _FORMAT),
    "ngrams": ("a whole number from 1 to 5", lambda value: is_count(value) and 1 <= value <= 5),
    "stop_words": ("a list of different words", _are_words),
    "words": ("a list of different words, one or more", lambda value: _are_words(value) and value != []),
}
