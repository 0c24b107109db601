"""A small generated set of pairs for tests and first trials: pictures and words show the same labels.

Each label is a striped square of its own hue and direction, and a few words of its own. An item shows the
squares of its one to three labels in quarters of a noisy picture, and has most of their words, few of others.
"""

import colorsys
from collections.abc import Sequence

import numpy as np

from gch.data.pairs import Pairs, SplitSizes
from gch.data.pixels import ArrayPictures
from gch.storage import digest

GENERATED = 600  # pairs
_LABEL_COUNT_ODDS = (0.5, 0.35, 0.15)  # One, two or three labels.
_OWN_WORD_ODDS = 0.6
_OTHER_WORD_ODDS = 0.03
_PIXEL_NOISE = 20.0  # Standard deviation, in grey levels of 0..255.


def generate(
    items: int = GENERATED, labels: int = 8, words: int = 40, image_size: int = 32, seed: int = 0
) -> Pairs:
    """Generates pairs; the same arguments give the same pairs.

    Args:
      items: number of pairs, 8 or more.
      labels: number of labels, 3 or more.
      words: size of the vocabulary, at least `labels`; word j belongs to label j mod `labels`.
      image_size: width and height of the pictures in pixels, 8 or more.
      seed: any integer from 0 on.

    Returns:
      Pairs in memory; every item has a word and one to three labels. A sixth are queries by default.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    counts = random.choice((1, 2, 3), items, p=_LABEL_COUNT_ODDS)
    ranks = random.random((items, labels)).argsort(axis=1).argsort(axis=1)
    hot = (ranks < counts[:, None]).astype(np.uint8)
    owned = hot[:, np.arange(words) % labels]
    texts = random.random(owned.shape) < np.where(owned, _OWN_WORD_ODDS, _OTHER_WORD_ODDS)
    # Every item has a word: the first of its labels if none was drawn.
    texts[np.arange(items), owned.argmax(axis=1)] |= ~texts.any(axis=1)
    texts = texts.astype(np.uint8)
    squares = [_square(label, labels, max(4, image_size * 3 // 8)) for label in range(labels)]
    pictures = np.stack([_picture(random, np.flatnonzero(row), squares, image_size) for row in hot])
    query = items // 6
    validation = (items - query) // 10
    return Pairs(
        name="generated",
        texts=texts,
        labels=hot,
        tag_names=tuple(f"word {j} of label {j % labels}" for j in range(words)),
        label_names=tuple(f"label {c}" for c in range(labels)),
        default_sizes=SplitSizes(query, items - query, items - query - validation, validation),
        digest=digest("generated", texts, hot, pictures),
        pictures=ArrayPictures(pictures),
    )


def _square(label: int, labels: int, side: int) -> np.ndarray:
    """The striped square of a label, float64 (side, side, 3)."""
    rows, columns = np.mgrid[:side, :side]
    angle = np.pi * label / labels
    stripes = 0.75 + 0.25 * np.sin(2 * np.pi * (columns * np.cos(angle) + rows * np.sin(angle)) / 4)
    return stripes[..., None] * (np.array(colorsys.hsv_to_rgb(label / labels, 1.0, 1.0)) * 255)


def _picture(
    random: np.random.Generator, shown: np.ndarray, squares: Sequence[np.ndarray], size: int
) -> np.ndarray:
    picture = np.full((size, size, 3), 128.0)
    half, side = size // 2, len(squares[0])
    for label, quarter in zip(shown, random.permutation(4), strict=False):
        top, left = random.integers(0, half - side + 1, 2) + np.array((quarter // 2, quarter % 2)) * half
        picture[top : top + side, left : left + side] = squares[label]
    picture += random.normal(0.0, _PIXEL_NOISE, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)
