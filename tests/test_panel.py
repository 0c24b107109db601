import dataclasses

import numpy as np
import pytest

from gch.data.generated import generate
from gch.evaluation.codes import EncodedPairs
from gch.evaluation.panel import CELL, FRAME, GAP, MARGIN, RIGHT, TILE, WORDS, WRONG, retrieval_panel

PAIRS = generate(items=20, image_size=16)


def encoded(rows, codes) -> EncodedPairs:
    codes = np.asarray(codes, np.float32)
    return EncodedPairs({"image": codes, "text": codes}, PAIRS.labels[rows], np.asarray(rows))


# A query, and three items at distance 2, 0 and 1 from it.
QUERY = encoded([0], [[1, 1, 1, 1]])
DATABASE = encoded([1, 2, 3], [[-1, -1, 1, 1], [1, 1, 1, 1], [1, -1, 1, 1]])


@pytest.mark.parametrize("database_kind", ["image", "text"])
def test_items_stand_in_the_order_of_their_distance_framed_by_relevance(database_kind):
    # No more queries are shown than there are.
    panel = retrieval_panel(PAIRS, QUERY, DATABASE, "image", database_kind, count=5, top=3)
    assert panel.shape == (CELL + GAP, 4 * CELL + 3 * GAP, 3)
    relevant = PAIRS.labels[0].astype(int) @ PAIRS.labels[[2, 3, 1]].T > 0
    for column, right in enumerate(relevant, 1):
        corner = panel[GAP + TILE + FRAME, 3 * GAP + column * CELL + FRAME]  # the frame, below the tile
        assert tuple(corner) == (RIGHT if right else WRONG)


def test_without_labels_only_the_other_half_of_a_pair_is_framed_as_right():
    query, items = (
        dataclasses.replace(one, labels=np.zeros((len(one), 0), np.uint8))
        for one in (QUERY, encoded([2, 0, 1], [[-1, -1, 1, 1], [1, 1, 1, 1], [1, -1, 1, 1]]))
    )
    panel = retrieval_panel(PAIRS, query, items, "image", "text", count=1, top=3)
    frames = [tuple(panel[GAP + TILE + FRAME, 3 * GAP + column * CELL + FRAME]) for column in (1, 2, 3)]
    assert frames == [RIGHT, WRONG, WRONG]  # rows 0, 1 and 2 of the data set


def test_a_tile_of_a_pair_shows_its_picture_above_its_words():
    tiles = {}
    for kind in ("image", "text", "pair"):
        query, items = (
            dataclasses.replace(one, codes={kind: one.codes["text"]}) for one in (QUERY, DATABASE)
        )
        panel = retrieval_panel(PAIRS, query, items, kind, kind, count=1, top=1)
        tiles[kind] = [panel[GAP + FRAME :, x + FRAME :][:-FRAME, :TILE] for x in (GAP, 3 * GAP + CELL)]
    for image, text, pair in zip(tiles["image"], tiles["text"], tiles["pair"], strict=True):
        beside = slice(TILE // 4, None)  # the distance in the corner
        words = text[MARGIN : MARGIN + WORDS, beside]
        np.testing.assert_array_equal(pair[TILE:][:WORDS, beside], words)
        np.testing.assert_array_equal(pair[:TILE], image[:TILE])


def test_the_nearest_picture_is_shown_first():
    panel = retrieval_panel(PAIRS, QUERY, DATABASE, "text", "image", count=1, top=1)
    shown = panel[GAP + FRAME :, 3 * GAP + CELL + FRAME :][:TILE, :TILE]
    # Away from the corner with the distance, the tile has the colours of item 2, enlarged.
    lower = shown[TILE // 2 :].mean(axis=(0, 1))
    np.testing.assert_allclose(lower, PAIRS.pictures.array[2][8:].mean(axis=(0, 1)), atol=6)
