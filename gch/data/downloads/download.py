"""What a folder holds of an official download, and what becomes of it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from gch.data.downloads.files import Files
from gch.data.pairs import Split

_NAMED = 5  # of the names that were left out, in a line


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Contents:
    """N items made of a download; the fields that `gch.data.pairs.Pairs` has too are as there."""

    paths: Sequence[str]  # of the pictures that are there, in `Files`
    ids: Sequence[str]  # what the download calls the pictures, wherever they lie
    labels: np.ndarray
    label_names: tuple[str, ...]
    texts: np.ndarray
    tag_names: tuple[str, ...] = ()
    captions: Sequence[str | tuple[str, ...]] | None = None
    own_split: Split | None = None
    sources: tuple[str, ...]  # the files that were read, but for pictures, in `Files`
    rules: tuple[str, ...]  # how items, labels and words were chosen, a sentence each
    counts: Mapping[str, int]  # how many there are of what, from all pictures down to the items
    left_out: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)  # ids, by reason
    notes: tuple[str, ...] = ()  # what a user should know, a line each

    def lines(self) -> list[str]:
        """Rules, counts, what was left out by name, and notes; a line each."""
        counted = [f"{what}: {number:,}" for what, number in self.counts.items()]
        named = [f"left out, {why}: {some_of(names)}" for why, names in self.left_out.items() if names]
        return [*self.rules, *counted, *named, *self.notes]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Download:
    """What a folder holds of a download."""

    title: str  # 'MIRFLICKR-25000'
    datasets: tuple[str, ...]  # what can be made of it, as `dataset_dir` names it
    files: Files
    missing: tuple[str, ...]  # what it lacks and which file of the download holds that, a line each
    # The items of one of `datasets`. Tables that take long to read are kept in the folder of caches.
    # Raises DataError where a file is damaged; is not called while something is missing.
    read: Callable[[str, Path], Contents]

    @property
    def offer(self) -> str:
        """What it is, and how to set it."""
        return f"{self.title}, for dataset_dir = {' or '.join(map(repr, self.datasets))}"


def some_of(names: Sequence[str]) -> str:
    """How many names there are, and the first of them."""
    more = ", ..." if len(names) > _NAMED else ""
    return f"{len(names):,} ({', '.join(names[:_NAMED])}{more})"


def difference(what: str, found: int, expected: int, why: str) -> str:
    """A line that compares a number with that of the literature; `why` it likely differs."""
    if found == expected:
        return f"{found:,} {what}, as in the literature"
    return f"{found:,} {what}, {expected:,} in the literature: {why}"
