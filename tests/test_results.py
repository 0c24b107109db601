import numpy as np
import pytest

from gch.evaluation.directions import evaluate_directions
from gch.evaluation.encoding import Encoded
from gch.evaluation.evaluate import mean_average_precision
from gch.evaluation.results import test_figures as results_figures


def encoded(rows: np.ndarray) -> Encoded:
    random = np.random.default_rng(int(rows[0]))
    image, text = random.uniform(-1, 1, (2, len(rows), 8)).astype(np.float32)
    return Encoded(image, text, (random.random((len(rows), 3)) < 0.4).astype(np.uint8), rows)


def figures_of(queries: Encoded, database: Encoded, training: np.ndarray) -> dict:
    evaluations = evaluate_directions(queries.coded(), database.coded())
    return results_figures(queries, database, evaluations, training, label_names=("a", "b", "c"))


def test_items_that_were_not_trained_on_are_ranked_apart():
    queries, database = encoded(np.arange(5)), encoded(np.arange(10, 40))
    figures = figures_of(queries, database, training=np.arange(10, 30))
    assert figures["retrieval_not_trained_on"] == 10
    assert figures["label_names"] == ["a", "b", "c"]
    new = mean_average_precision(queries.coded()["text"], database.coded()["image"].only(slice(20, None)))
    assert figures["mAP_not_trained_on"]["T->I"] == pytest.approx(new)
    assert figures["mAP_not_trained_on"]["T->I"] != figures["mAP"]["T->I"]


def test_where_all_were_trained_on_there_is_no_such_figure():
    database = encoded(np.arange(10, 40))
    figures = figures_of(encoded(np.arange(5)), database, training=database.rows)
    assert figures["mAP_not_trained_on"] is None
    assert figures["retrieval_not_trained_on"] == 0
