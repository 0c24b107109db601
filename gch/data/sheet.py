"""A sheet of sample pictures with their words, to see at a glance whether a data set was read right."""

import numpy as np
from PIL import Image

from gch.data.pairs import Pairs
from gch.data.tiles import picture_tile, unreadable_tile, words_tile
from gch.errors import DataError

_SIDE, _WORDS, _GAP = 160, 128, 6


def sample_sheet(pairs: Pairs, columns: int = 6, lines: int = 3) -> Image.Image:
    """Draws items that are spread evenly over the data set, each picture above its words.

    Args:
      pairs: the data set.
      columns: items beside each other.
      lines: items below each other.
    """
    total = len(pairs.labels)
    rows = np.unique(np.linspace(0, total - 1, min(columns * lines, total)).astype(np.int64))
    cell = _SIDE + _GAP, _SIDE + _WORDS + _GAP
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, -(-len(rows) // columns) * cell[1] + _GAP), "white")
    for number, row in enumerate(rows.tolist()):
        line, column = divmod(number, columns)
        x, y = _GAP + column * cell[0], _GAP + line * cell[1]
        try:
            picture = picture_tile(pairs, row, _SIDE)
        except DataError:
            picture = unreadable_tile(_SIDE)
        sheet.paste(picture, (x, y))
        sheet.paste(words_tile(pairs, row, _SIDE).crop((0, 0, _SIDE, _WORDS)), (x, y + _SIDE))
    return sheet
