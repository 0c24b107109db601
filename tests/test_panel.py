import numpy as np
import pytest

from gch.data.generated import generate
from gch.evaluation.codes import EncodedPairs
from gch.evaluation.panel import FRAME, GAP, RIGHT, TILE, WRONG, retrieval_panel

PAIRS = generate(items=20, image_size=16)


def encoded(rows, codes) -> EncodedPairs:
    codes = np.asarray(codes, np.float32)
    return EncodedPairs(codes, codes, PAIRS.labels[rows], np.asarray(rows))


@pytest.fixture
def one_query():
    """A query, and three items at distance 2, 0 and 1 from it."""
    database = encoded([1, 2, 3], [[-1, -1, 1, 1], [1, 1, 1, 1], [1, -1, 1, 1]])
    return encoded([0], [[1, 1, 1, 1]]), database


@pytest.mark.parametrize("answered", ["image", "text"])
def test_items_stand_in_the_order_of_their_distance_framed_by_relevance(one_query, answered):
    queries, database = one_query
    panel = retrieval_panel(PAIRS, queries, database, "image", answered, count=1, top=3)
    cell = TILE + 2 * FRAME + GAP
    assert panel.shape == (cell + GAP, 4 * cell + 3 * GAP, 3)
    relevant = PAIRS.labels[0].astype(int) @ PAIRS.labels[[2, 3, 1]].T > 0
    for column, right in enumerate(relevant):
        corner = panel[GAP + TILE + FRAME, 3 * GAP + (column + 1) * cell + FRAME]  # the frame, below the tile
        assert tuple(corner) == (RIGHT if right else WRONG)


def test_the_nearest_picture_is_shown_first(one_query):
    queries, database = one_query
    panel = retrieval_panel(PAIRS, queries, database, "text", "image", count=1, top=1)
    cell = TILE + 2 * FRAME + GAP
    shown = panel[GAP + FRAME :, 3 * GAP + cell + FRAME :][:TILE, :TILE]
    # Away from the corner with the distance, the tile has the colours of item 2, enlarged.
    lower = shown[TILE // 2 :].mean(axis=(0, 1))
    np.testing.assert_allclose(lower, PAIRS.pictures.array[2][8:].mean(axis=(0, 1)), atol=6)


def test_more_queries_than_there_are_and_words_without_names(one_query):
    queries, database = one_query
    panel = retrieval_panel(PAIRS, queries, database, "text", "text", count=5)
    assert len(panel) == TILE + 2 * FRAME + 2 * GAP
