import numpy as np
import pytest

from gch.evaluation.codes import EncodedPairs, joined
from gch.evaluation.evaluate import evaluate_items, mean_average_precision
from gch.evaluation.results import map_over_new
from gch.evaluation.results import test_figures as results_figures


def encoded(rows: np.ndarray) -> EncodedPairs:
    random = np.random.default_rng(int(rows[0]))
    image, text = random.uniform(-1, 1, (2, len(rows), 8)).astype(np.float32)
    return EncodedPairs(image, text, (random.random((len(rows), 3)) < 0.4).astype(np.uint8), rows)


def figures_of(queries: EncodedPairs, database: EncodedPairs, training: np.ndarray, **options) -> dict:
    return results_figures(queries, database, training, label_names=("a", "b", "c"), **options)


def test_items_that_were_not_trained_on_are_ranked_apart():
    queries, database = encoded(np.arange(5)), encoded(np.arange(10, 40))
    figures = figures_of(queries, database, training=np.arange(10, 30))
    assert figures["retrieval_not_trained_on"] == 10
    assert figures["label_names"] == ["a", "b", "c"]
    new = mean_average_precision(queries.coded()["text"], database.coded()["image"].only(slice(20, None)))
    assert figures["mAP_not_trained_on"]["T->I"] == pytest.approx(new)
    assert figures["mAP_not_trained_on"]["T->I"] != figures["mAP"]["T->I"]


def test_both_figures_have_the_same_measures_under_the_same_policies():
    queries, database = encoded(np.arange(5)), encoded(np.arange(10, 40))
    options = {"ties": "pessimistic", "without_relevant": "skip", "cutoffs": (3,)}
    figures = figures_of(queries, database, np.arange(10, 30), **options)
    whole, new = figures["evaluation"]["I->T"], figures["evaluation_not_trained_on"]["I->T"]
    assert whole.keys() == new.keys()
    assert whole["measures"].keys() == new["measures"].keys()
    expected = evaluate_items(
        queries.coded()["image"], database.coded()["text"].only(slice(20, None)), **options
    )
    assert new["measures"]["mAP"]["mean"] == expected.mean(expected.values["mAP"])
    assert figures["mAP_not_trained_on"]["I->T"] == new["measures"]["mAP"]["mean"]
    assert figures["mAP"]["I->T"] == whole["measures"]["mAP"]["mean"]


def test_where_all_were_trained_on_there_is_no_such_figure():
    database = encoded(np.arange(10, 40))
    figures = figures_of(encoded(np.arange(5)), database, training=database.rows)
    assert figures["mAP_not_trained_on"] is None
    assert figures["evaluation_not_trained_on"] is None
    assert figures["retrieval_not_trained_on"] == 0


def test_validation_queries_are_new_items_for_each_other_but_not_for_themselves():
    queries, database = encoded(np.arange(5)), encoded(np.arange(10, 40))
    found = map_over_new(queries, database, np.arange(10, 30), joins=True)
    for direction, asked, answered in (("I->T", "image", "text"), ("T->T", "text", "text")):
        values = []
        for row in range(5):
            others = joined(database.only(database.rows >= 30), queries.only(queries.rows != row))
            query = queries.coded()[asked].only([row])
            values.append(mean_average_precision(query, others.coded()[answered]))
        assert found[direction] == pytest.approx(np.mean(values))


def test_validation_queries_alone_are_enough_but_one_of_them_is_not():
    queries, database = encoded(np.arange(9)), encoded(np.arange(10, 40))
    assert map_over_new(queries, database, database.rows, joins=True)["I->T"] > 0
    assert map_over_new(queries, database, database.rows, joins=False) is None
    assert map_over_new(queries.only(slice(1)), database, database.rows, joins=True) is None


def test_queries_apart_from_the_retrieval_set_do_not_join_it():
    queries, database = encoded(np.arange(5)), encoded(np.arange(10, 40))
    found = map_over_new(queries, database, np.arange(10, 30), joins=False)
    new = database.coded()["text"].only(slice(20, None))
    assert found["I->T"] == pytest.approx(mean_average_precision(queries.coded()["image"], new))
