"""A panel of pictures: queries with what they retrieve, right and wrong marked."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gch.data.pairs import Pairs
from gch.data.tiles import picture_tile, words_tile
from gch.evaluation.codes import EncodedPairs
from gch.evaluation.counts import hamming_distances
from gch.storage import atomic_path

TILE, FRAME, GAP = 128, 4, 6
WORDS = 44  # pixels of two lines, below the picture of a pair
CELL = TILE + 2 * FRAME + GAP
MARGIN = 10  # of a text's tile, above its first line
RIGHT, WRONG, QUERY = (22, 140, 60), (205, 40, 40), (70, 70, 70)


def retrieval_panel(
    pairs: Pairs,
    queries: EncodedPairs,
    database: EncodedPairs,
    query_kind: str,
    database_kind: str,
    count: int,
    top: int = 8,
) -> np.ndarray:
    """Draws a row for each of `count` queries, spread evenly: the query, then the `top` nearest items.

    Ties in distance are shown in the order of the database. A frame is green where query and item share a
    label, or, without labels, are halves of one pair, and else red; the number in the corner is the Hamming
    distance. Kinds are 'image', 'text' or 'pair', whose tile shows picture and words. The panel is uint8
    (H, W, 3).
    """
    shown = np.linspace(0, len(queries) - 1, min(count, len(queries))).astype(int)
    top = min(top, len(database))
    coded, items = queries.only(shown).coded()[query_kind], database.coded()[database_kind]
    distances = np.concatenate([found for _, found in hamming_distances(coded, items)])
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :top]
    if queries.labels.shape[1]:
        relevant = queries.labels[shown].astype(int) @ database.labels.T.astype(int) > 0
    else:
        relevant = queries.rows[shown, None] == database.rows
    height = CELL + (WORDS if "pair" in (query_kind, database_kind) else 0)
    panel = Image.new("RGB", ((top + 1) * CELL + 3 * GAP, len(shown) * height + GAP), "white")
    for line, (query, items) in enumerate(zip(shown, nearest, strict=True)):
        y = GAP + line * height
        panel.paste(_tile(pairs, int(queries.rows[query]), query_kind, QUERY), (GAP, y))
        for column, item in enumerate(items, 1):
            colour = RIGHT if relevant[line, item] else WRONG
            tile = _tile(pairs, int(database.rows[item]), database_kind, colour, str(distances[line, item]))
            panel.paste(tile, (3 * GAP + column * CELL, y))
    return np.asarray(panel)


def save_panel(folder: Path, direction: str, panel: np.ndarray) -> None:
    """Saves the panel of a direction such as 'I->T' as FOLDER/I-T.png."""
    with atomic_path(folder / f"{direction.replace('->', '-')}.png") as temporary:
        Image.fromarray(panel).save(temporary)


def _tile(pairs: Pairs, row: int, kind: str, colour: tuple[int, int, int], distance: str = "") -> Image.Image:
    words = WORDS if kind == "pair" else 0
    tile = Image.new("RGB", (TILE + 2 * FRAME, TILE + words + 2 * FRAME), colour)
    tile.paste((words_tile if kind == "text" else picture_tile)(pairs, row, TILE), (FRAME, FRAME))
    if words:
        below = words_tile(pairs, row, TILE).crop((0, MARGIN, TILE, MARGIN + WORDS))
        tile.paste(below, (FRAME, FRAME + TILE))
    if distance:
        draw, font = ImageDraw.Draw(tile), ImageFont.load_default(13)
        box = draw.textbbox((0, 0), distance, font=font)
        draw.rectangle((0, 0, box[2] + 7, box[3] + 5), fill=colour)
        draw.text((4, 2), distance, fill="white", font=font)
    return tile
