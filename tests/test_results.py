import dataclasses

import numpy as np
import pytest

from gch.evaluation.codes import KINDS, EncodedPairs, joined
from gch.evaluation.evaluate import evaluate_items, mean_average_precision
from gch.evaluation.own_half import own_halves
from gch.evaluation.results import map_over_new, measured_figures, recall_among


def encoded(rows: np.ndarray) -> EncodedPairs:
    random = np.random.default_rng(int(rows[0]))
    codes = dict(zip(KINDS, random.uniform(-1, 1, (3, len(rows), 8)).astype(np.float32), strict=True))
    return EncodedPairs(codes, (random.random((len(rows), 3)) < 0.4).astype(np.uint8), rows)


QUERIES, DATABASE = encoded(np.arange(5)), encoded(np.arange(10, 40))
TRAINING, NEW = np.arange(10, 30), slice(20, None)


def figures_of(training: np.ndarray, **options) -> dict:
    return measured_figures(QUERIES, DATABASE, training, label_names=("a", "b", "c"), **options)


def test_new_items_are_ranked_apart_by_the_same_measures_and_policies():
    options = {"ties": "pessimistic", "without_relevant": "skip", "cutoffs": (3,)}
    figures = figures_of(TRAINING, **options)
    assert figures["retrieval_not_trained_on"] == 10
    assert figures["label_names"] == ["a", "b", "c"]
    for direction in figures["mAP"]:
        for ending in ("", "_not_trained_on"):
            measured = figures[f"evaluation{ending}"][direction]["measures"]["mAP_asymmetric"]
            assert measured["mean"] == figures[f"mAP_asymmetric{ending}"][direction]
            assert measured["low"] < measured["mean"] < measured["high"]
    whole, new = figures["evaluation"]["I->T"], figures["evaluation_not_trained_on"]["I->T"]
    assert whole.keys() == new.keys()
    assert whole["measures"].keys() == new["measures"].keys()
    expected = evaluate_items(QUERIES.coded()["image"], DATABASE.coded()["text"].only(NEW), **options)
    assert new["measures"]["mAP"]["mean"] == expected.mean(expected.values["mAP"])
    assert figures["mAP_not_trained_on"]["I->T"] == new["measures"]["mAP"]["mean"]
    assert figures["mAP"]["I->T"] == whole["measures"]["mAP"]["mean"] != new["measures"]["mAP"]["mean"]


def test_own_halves_are_measured_beside_and_without_labels():
    figures = figures_of(TRAINING, ties="optimistic")
    expected = own_halves(QUERIES.coded(), "optimistic")
    assert figures["own_half"] == {direction: one.figures() for direction, one in expected.items()}
    bare = [
        dataclasses.replace(items, labels=np.zeros((len(items), 0), np.uint8))
        for items in (QUERIES, DATABASE)
    ]
    without = measured_figures(*bare, TRAINING, label_names=(), ties="optimistic", cutoffs=(3,))
    by_labels = {key for key in figures if "mAP" in key or "evaluation" in key or "relevant" in key}
    assert without.keys() == figures.keys() - by_labels
    assert without["own_half"] == figures["own_half"]


def test_recall_among_others_is_of_all_halves():
    found = recall_among(QUERIES, DATABASE)
    queries, everything = QUERIES.coded(), joined(DATABASE, QUERIES).coded()
    for direction, one, other in (("I->T", "image", "text"), ("T->I", "text", "image")):
        chances = []
        for row in range(5):
            away = np.bitwise_count(queries[one].codes[row] ^ everything[other].codes).sum(axis=1)
            own = away[30 + row]
            chances.append(np.clip((10 - (away < own).sum()) / (away == own).sum(), 0, 1))
        assert found[direction] == pytest.approx(np.mean(chances))
        assert 0 < found[direction] < 1


def test_where_all_were_trained_on_there_is_no_such_figure():
    figures = figures_of(training=DATABASE.rows)
    assert figures["mAP_not_trained_on"] is figures["evaluation_not_trained_on"] is None
    assert figures["mAP_asymmetric_not_trained_on"] is None


def test_validation_queries_are_new_items_for_each_other_but_not_for_themselves():
    found = map_over_new(QUERIES, DATABASE, TRAINING, joins=True)
    for direction, query, database in (("I->T", "image", "text"), ("T->T", "text", "text")):
        values = []
        for row in range(5):
            others = joined(DATABASE.only(NEW), QUERIES.only(QUERIES.rows != row)).coded()[database]
            values.append(mean_average_precision(QUERIES.coded()[query].only([row]), others))
        assert found[direction] == pytest.approx(np.mean(values))


def test_validation_queries_alone_are_enough_but_one_of_them_is_not():
    assert map_over_new(encoded(np.arange(9)), DATABASE, DATABASE.rows, joins=True)["I->T"] > 0
    assert map_over_new(QUERIES, DATABASE, DATABASE.rows, joins=False) is None
    assert map_over_new(QUERIES.only(slice(1)), DATABASE, DATABASE.rows, joins=True) is None
    # Queries apart from the retrieval set do not join it.
    new = DATABASE.coded()["text"].only(NEW)
    expected = mean_average_precision(QUERIES.coded()["image"], new)
    assert map_over_new(QUERIES, DATABASE, TRAINING, joins=False)["I->T"] == pytest.approx(expected)
