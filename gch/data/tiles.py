"""Items drawn: a picture, its words, and a sheet of samples."""

import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gch.data.pairs import Pairs
from gch.errors import DataError

_SIDE, _WORDS, _GAP = 160, 128, 6  # of the sheet, in pixels
_WORDS_SHOWN = 8
_PAPER = (250, 249, 245)


def picture_tile(pairs: Pairs, row: int, side: int) -> Image.Image:
    """The picture of an item, squeezed to a square; where the data set has no pixels, the item's number."""
    if pairs.pictures is None:
        return _written(f"item {row}\n(no pixels)", side)
    picture = Image.fromarray(pairs.pictures.read(np.array([row]))[0])
    return picture.resize((side, side), Image.Resampling.BILINEAR)


def words_tile(pairs: Pairs, row: int, side: int) -> Image.Image:
    """The first words of an item, by number where the data set does not name them; or the item's number."""
    if pairs.parts is not None and pairs.parts.strings:
        starts, columns = pairs.parts.starts, pairs.parts.columns
        own = columns[starts[row] : starts[row + 1]]
        text = ", ".join(pairs.parts.strings[column] for column in own)[:200]
    elif pairs.captions is not None and not pairs.texts.shape[1]:
        caption = pairs.captions[row]
        text = " ".join((caption if isinstance(caption, str) else ", ".join(caption)).split())[:200]
    elif pairs.text_vectors:
        text = f"item {row} (no words)"
    else:
        numbers = np.flatnonzero(pairs.texts[row])
        words = [pairs.tag_names[n] if pairs.tag_names else f"#{n}" for n in numbers[:_WORDS_SHOWN]]
        text = ", ".join(words + ["…"] * (len(numbers) > _WORDS_SHOWN))
    return _written("\n".join(textwrap.wrap(text or "(no words)", max(8, side // 8))[:6]), side)


def sample_sheet(pairs: Pairs, columns: int = 6, lines: int = 3) -> Image.Image:
    """Draws items that are spread evenly over the data set, each picture above its words."""
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
            picture = _written("(cannot be read)", _SIDE)
        sheet.paste(picture, (x, y))
        sheet.paste(words_tile(pairs, row, _SIDE).crop((0, 0, _SIDE, _WORDS)), (x, y + _SIDE))
    return sheet


def _written(text: str, side: int) -> Image.Image:
    tile = Image.new("RGB", (side, side), _PAPER)
    ImageDraw.Draw(tile).multiline_text(
        (6, 18), text, fill="black", font=ImageFont.load_default(14), spacing=4
    )
    return tile
