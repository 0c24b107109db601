"""Pairs: what every reader of a data set returns."""

import dataclasses
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from gch.data.text_files import shown
from gch.errors import DataError
from gch.storage import digest

# Fewer labels tell nothing of how they were made.
_MANY_LABELS, _SOME_LABELS = 20, 6


class SplitSizes(NamedTuple):
    """How many items each part of a split takes."""

    query: int
    retrieval: int
    training: int
    validation: int


class Split(NamedTuple):
    """Row numbers of a data set, int64, ascending.

    The query set shares no row with the others, and training and validation set share none. `make_split`
    takes both from the retrieval set; files that bring a split of their own may have them outside of it.
    """

    query: np.ndarray
    retrieval: np.ndarray
    training: np.ndarray
    validation: np.ndarray = np.zeros(0, np.int64)  # of `Pairs.own_split`, none: to be drawn from training

    @property
    def sizes(self) -> SplitSizes:
        """How many rows each part has."""
        return SplitSizes(*map(len, self))

    @property
    def digest(self) -> str:
        """SHA-256 of the four parts, 64 hexadecimal digits."""
        return digest("split", *self)

    def parts(self) -> dict[str, np.ndarray]:
        """The parts that are not empty, by name."""
        return {part: rows for part, rows in self._asdict().items() if len(rows)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
    """What a data set was made of, for those who want to make the same."""

    folder: Path  # of the files
    sources: tuple[str, ...]  # what was read but for picture files, relative to it; 'a.zip/b' in a zip file
    rules: tuple[str, ...] = ()  # how items, words and labels were chosen, a sentence each
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)  # how many there are of what
    left_out: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)  # names, by reason


class TextParts(NamedTuple):
    """The words, or captions, whose vectors the text vectors of N items are means of, W of them."""

    vectors: np.ndarray  # float32 (W, D), each of length 1, memory-mapped
    strings: Sequence[str]  # W, or none where the data have vectors alone
    starts: np.ndarray  # int64 (N + 1,), ascending from 0
    columns: np.ndarray  # int32; item i has the rows columns[starts[i]:starts[i + 1]] of `vectors`

    def of_items(self, rows: np.ndarray) -> "TextParts":
        """Those of some of the items, int64 (n,)."""
        own = [self.columns[self.starts[row] : self.starts[row + 1]] for row in rows]
        starts = np.cumsum([0, *map(len, own)])
        return self._replace(starts=starts, columns=np.concatenate(own))


class Pictures(Protocol):
    """A source of the pixels of N pictures; any thread may read."""

    size: tuple[int, int]  # height and width, in pixels
    block: int  # consecutive rows that are cheapest to read together (a chunk of the file), or 1

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Reads pictures.

        Args:
          rows: int64 (n,), row numbers in 0..N-1, in any order.

        Returns:
          uint8 (n, H, W, 3), RGB, in the order of `rows`.

        Raises:
          DataError: they cannot be read.
        """
        ...


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Pairs:
    """N image-text pairs, perhaps with labels. Matrices may be memory-mapped; pixels are read on demand."""

    name: str  # of the data set, in file names
    # uint8 (N, D), bags of words: 0 and 1, or counts; D is 0 for raw `captions`. Or float32 (N, D), vectors.
    texts: np.ndarray
    labels: np.ndarray  # uint8 (N, C), multi-hot; C is 0 for data without labels
    default_sizes: SplitSizes  # the split that the literature uses, or that the size suggests
    digest: str  # changes with any text, label or picture, whatever the files are called
    tag_names: tuple[str, ...] = ()  # D words, or none if the data set does not name them
    label_names: tuple[str, ...] = ()  # C names, or none
    pictures: Pictures | None = None  # None where the data set has `features` instead
    features: np.ndarray | None = None  # float32 (N, F), of the images, from the data set's files
    captions: Sequence[str | tuple[str, ...]] | None = None  # N raw texts: str (free text) or tuple (tags)
    all_words: Sequence[tuple[str, ...]] | None = None  # of each of N items, where `texts` lacks rare ones
    parts: TextParts | None = None  # of text vectors that an encoder of texts made
    single_vectors: bool = False  # whether `texts` are vectors as in the files, one an item
    ids: Sequence[str] | None = None  # the name of each item (its file)
    own_split: Split | None = None
    found: tuple[str, ...] = ()  # what was read, one line for each array or file
    origin: Origin | None = None

    @property
    def text_vectors(self) -> bool:
        """Whether `texts` are vectors, not words."""
        return self.texts.dtype.kind == "f"

    @property
    def texts_in_words(self) -> str:
        """What `texts` are, for messages: '1386 words', 'text vectors of 512 dimensions' or 'raw texts'."""
        if self.text_vectors:
            return f"text vectors of {self.texts.shape[1]} dimensions"
        return f"{self.texts.shape[1]} words" if self.texts.shape[1] else "raw texts"


def subset(pairs: Pairs, rows: np.ndarray, where: str, left_out: Sequence[str] = ()) -> Pairs:
    """The pairs whose pictures can be read, without their pictures; a split of their own in the numbers of
    the new rows.

    The default split has fewer items; its queries stay as many as they can. `rows` are int64 (n,), ascending;
    `left_out` says why others are left out.

    Raises:
      DataError: fewer than two rows, or none of a part of the data set's own split, are left; begins with
        `where`.
    """
    if len(rows) < 2:
        found = "one picture" if len(rows) else "no picture"
        raise DataError("; ".join([f"{where}: {found} can be read, expected two or more", *left_out[:1]]))
    kept = slice(None) if len(rows) == len(pairs.labels) else rows
    split = None
    if pairs.own_split is not None:
        parts = {part: np.flatnonzero(np.isin(rows, own)) for part, own in pairs.own_split.parts().items()}
        for part, own in parts.items():
            if not len(own):
                raise DataError(f"{where}: {part}: no picture of it can be read")
        split = Split(**parts)
    return dataclasses.replace(
        pairs,
        texts=pairs.texts[kept],
        labels=pairs.labels[kept],
        features=None if pairs.features is None else pairs.features[kept],
        pictures=None,
        captions=pairs.captions and [pairs.captions[row] for row in rows.tolist()],
        ids=pairs.ids and [pairs.ids[row] for row in rows.tolist()],
        own_split=split,
        default_sizes=_sizes_of(pairs, len(rows), split),
    )


def _sizes_of(pairs: Pairs, items: int, split: Split | None) -> SplitSizes:
    sizes = pairs.default_sizes
    if items == len(pairs.labels):
        return sizes
    if split is not None:
        validation = min(sizes.validation, len(split.training) - 1)
        left = len(split.training) - validation
        return SplitSizes(len(split.query), len(split.retrieval), left, validation)
    query = min(sizes.query, max(1, items // 2))
    retrieval = min(sizes.retrieval, items - query)
    validation = min(sizes.validation, retrieval - 1)
    return SplitSizes(query, retrieval, min(sizes.training, retrieval - validation), validation)


def multi_hot(sets: Sequence[Collection[str]], names: Sequence[str]) -> np.ndarray:
    """Which of `names` each of n sets holds, uint8 (n, names); other members of a set are passed over."""
    column = {name: number for number, name in enumerate(names)}
    array = np.zeros((len(sets), len(names)), np.uint8)
    for row, chosen in enumerate(sets):
        array[row, [column[name] for name in chosen if name in column]] = 1
    return array


def oddities(pairs: Pairs) -> list[str]:
    """What is likely a mistake without being wrong, a line each: no words, no labels, a label that
    all items have, labels that differ only in case, lists as labels.
    """
    lines, total = [], len(pairs.labels)
    if pairs.texts.shape[1] and (wordless := total - pairs.texts.any(axis=1).sum()):
        missing = "a text vector of zeros" if pairs.text_vectors else "no word of the vocabulary"
        lines.append(f"{wordless} of {total} items have {missing}")
    if pairs.labels.shape[1] and (unlabelled := total - pairs.labels.any(axis=1).sum()):
        lines.append(f"{unlabelled} of {total} items have no label, so nothing is relevant to them")
    if len(everywhere := np.flatnonzero(pairs.labels.all(axis=0))):
        name = shown(pairs.label_names[everywhere[0]]) if pairs.label_names else everywhere[0]
        lines.append(f"every item has label {name}, so all are relevant to each other and mAP is 1")
    spelled: dict[str, str] = {}
    twice = [name for name in pairs.label_names if spelled.setdefault(name.lower(), name) != name]
    if twice:
        both = f"{shown(spelled[twice[0].lower()])} and {shown(twice[0])}"
        lines.append(f"labels {both} differ only in case; they count as two")
    if pairs.label_names and (lists := _lists_as_labels(pairs.labels, pairs.label_names)):
        lines.append(f"{lists}: cells look like lists; separate labels by ';'")
    return lines


def _lists_as_labels(labels: np.ndarray, names: Sequence[str]) -> str:
    """What tells that labels are whole cells, each a combination of labels; '' where nothing does."""
    counts, few = np.count_nonzero(labels, axis=0), np.count_nonzero(labels) < 2 * len(labels)
    alone = np.flatnonzero(counts == 1)
    if few and len(names) >= _MANY_LABELS and len(alone) * 2 > len(names):
        return f"{len(alone)} of {len(names)} labels belong to one item, such as {shown(names[alone[0]])}"
    parts = [frozenset(filter(None, re.split(r"[\W_]+", name))) for name in names]
    holders = Counter(part for own in parts for part in own)
    joined = [
        name
        for name, own in zip(names, parts, strict=True)
        if len(own) > 1 and all(holders[part] > 1 for part in own)
    ]
    if few and len(names) >= _SOME_LABELS and len(joined) * 2 >= len(names):
        return f"{len(joined)} of {len(names)} labels consist of words of others, such as {shown(joined[0])}"
    return ""
