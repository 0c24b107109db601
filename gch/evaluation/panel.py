"""A panel of pictures: queries with what they retrieve, right and wrong marked."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gch.codes import binarize
from gch.data.pairs import Pairs
from gch.data.tiles import picture_tile, words_tile
from gch.evaluation.encoding import Encoded
from gch.storage import atomic_path

TILE = 128
FRAME = 4
GAP = 6
RIGHT, WRONG, ASKED = (22, 140, 60), (205, 40, 40), (70, 70, 70)


def retrieval_panel(
    pairs: Pairs, queries: Encoded, database: Encoded, asked: str, answered: str, count: int, top: int = 8
) -> np.ndarray:
    """Draws one row for each of `count` queries: the query, then the `top` nearest items of the database.

    Ties in distance are shown in the order of the database. A frame is green where query and item share a
    label, red where they share none; the number in the corner is the Hamming distance.

    Args:
      pairs: the data set.
      queries: encoded queries; those shown are spread evenly over them.
      database: encoded items to retrieve.
      asked: 'image' or 'text', how the query is given.
      answered: 'image' or 'text', what is retrieved.
      count: number of queries.
      top: number of retrieved items.

    Returns:
      uint8 (H, W, 3).
    """
    shown = np.linspace(0, len(queries.rows) - 1, min(count, len(queries.rows))).astype(int)
    top = min(top, len(database.rows))
    query_codes = binarize(getattr(queries, asked)[shown]).astype(np.int32)
    database_codes = binarize(getattr(database, answered)).astype(np.int32)
    distances = (query_codes.shape[1] - query_codes @ database_codes.T) // 2
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :top]
    relevant = queries.labels[shown].astype(int) @ database.labels.T.astype(int) > 0

    cell = TILE + 2 * FRAME + GAP
    panel = Image.new("RGB", ((top + 1) * cell + 3 * GAP, len(shown) * cell + GAP), "white")
    for line, (query, items) in enumerate(zip(shown, nearest, strict=True)):
        y = GAP + line * cell
        panel.paste(_tile(pairs, int(queries.rows[query]), asked, ASKED, None), (GAP, y))
        for column, item in enumerate(items):
            colour = RIGHT if relevant[line, item] else WRONG
            tile = _tile(pairs, int(database.rows[item]), answered, colour, int(distances[line, item]))
            panel.paste(tile, (3 * GAP + (column + 1) * cell, y))
    return np.asarray(panel)


def panel_name(direction: str) -> str:
    """File name of the panel of a direction, such as 'I-T.png' of 'I->T'."""
    return direction.replace("->", "-") + ".png"


def save_panel(path: Path, panel: np.ndarray) -> None:
    """Saves a panel as PNG."""
    with atomic_path(path) as temporary:
        Image.fromarray(panel).save(temporary)


def _tile(
    pairs: Pairs, row: int, modality: str, colour: tuple[int, int, int], distance: int | None
) -> Image.Image:
    tile = Image.new("RGB", (TILE + 2 * FRAME, TILE + 2 * FRAME), colour)
    picture = picture_tile(pairs, row, TILE) if modality == "image" else words_tile(pairs, row, TILE)
    tile.paste(picture, (FRAME, FRAME))
    if distance is not None:
        draw = ImageDraw.Draw(tile)
        font = ImageFont.load_default(13)
        box = draw.textbbox((0, 0), str(distance), font=font)
        draw.rectangle((0, 0, box[2] + 7, box[3] + 5), fill=colour)
        draw.text((4, 2), str(distance), fill="white", font=font)
    return tile
