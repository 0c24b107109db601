import doctest
import sys

import numpy as np
import pytest
from ranked import random_items

import gch.evaluation.evaluate  # noqa: F401
from gch.errors import DataError, SettingError
from gch.evaluation.codes import coded_items
from gch.evaluation.evaluate import evaluate, evaluate_items, mean_average_precision
from gch.evaluation.figures import with_interval

MODULE = sys.modules["gch.evaluation.evaluate"]
# The toy case of the golden vectors' README.
ARRAYS = {
    "query_codes": np.array([[1, -1, 1, 1], [-1, -1, -1, 1], [1, 1, -1, 1], [1, 1, 1, -1]]),
    "database_codes": np.array(
        [[1, -1, 1, -1], [-1, -1, 1, -1], [-1, -1, 1, -1], [1, 1, -1, -1], [-1, 1, -1, -1], [1, 1, -1, 1]]
    ),
    "query_labels": np.array([[0, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 1], [0, 1, 0, 1]]),
    "database_labels": np.array(
        [[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
    ),
}
QUERIES = coded_items(ARRAYS["query_codes"], ARRAYS["query_labels"])
DATABASE = coded_items(ARRAYS["database_codes"], ARRAYS["database_labels"])
TOY = {"tie-aware": 0.601302, "stable": 0.704167, "optimistic": 0.704167, "pessimistic": 0.493403}


def means_of(found) -> dict[str, float]:
    return {policy: found.mean(values) for policy, values in found.average_precision.items()}


def test_the_toy_case_under_all_policies_and_the_example_of_the_docstring():
    assert means_of(evaluate_items(QUERIES, DATABASE)) == pytest.approx(TOY, abs=5e-7)
    assert mean_average_precision(QUERIES, DATABASE) == pytest.approx(TOY["tie-aware"], abs=5e-7)
    for ties, expected in TOY.items():
        assert evaluate(**ARRAYS, ties=ties)["mAP"] == pytest.approx(expected, abs=5e-7)
    assert doctest.testmod(MODULE).failed == 0


@pytest.mark.parametrize("database_form", [(-1, 1, np.int8), (0, 1, np.float32)])
@pytest.mark.parametrize(
    "query_form",
    [(-1, 1, np.float16), (0, 1, bool), (0, 1, np.uint8), (0, 255, np.uint8), (255, 1, np.uint8)],
)
def test_signs_of_every_form_are_the_same_codes(query_form, database_form):
    changed = {}
    for name, (minus, plus, dtype) in {"query_codes": query_form, "database_codes": database_form}.items():
        changed[name] = np.asfortranarray(np.where(ARRAYS[name] > 0, plus, minus).astype(dtype))
    assert evaluate(**ARRAYS | changed, cutoffs=(2,)) == evaluate(**ARRAYS, cutoffs=(2,))


def test_uint8_is_packed_unless_all_of_it_has_the_two_values_of_signs():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 4), random.integers(0, 3, 9)
    signs = [random.choice([-1, 1], (items, 16)) for items in (4, 9)]
    packed = [np.packbits(codes > 0, axis=1) for codes in signs]
    assert evaluate(*packed, *labels) == evaluate(*signs, *labels)
    # The database tells what a query of ones alone is.
    ones, others = np.ones((4, 16)), (signs[1] > 0).astype(np.uint8)
    assert evaluate(ones.astype(np.uint8), others, *labels) == evaluate(ones, signs[1], *labels)
    # Classes are labels that exclude one another.
    multi_hot = [classes[:, None] == range(3) for classes in labels]
    assert evaluate(*signs, *multi_hot) == evaluate(*signs, *labels)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"query_codes": [[0.5, 1]]}, r"query_codes holds 0.5 \(item 0, bit 0\); expected -1 and \+1, 0 and"),
        ({"database_codes": [[-1, 0]]}, r"database_codes holds 0 \(item 0, bit 1\); expected -1"),
        ({"query_codes": [["a", "b"]]}, "query_codes holds <U1; expected numbers"),
        ({"database_codes": np.zeros((0, 2))}, r"database_codes has shape \(0, 2\)"),
        ({"database_codes": [[1, 0, 1]]}, "database_codes has codes of 3 bits, query_codes of 2"),
        ({"database_labels": [[1]]}, "database_labels has 1 labels, query_labels 2"),
        ({"query_labels": [[1, 0], [0, 1]]}, "query_codes has 1 items, query_labels 2"),
        ({"query_labels": [[2, 0]]}, r"query_labels holds 2 \(item 0, label 0\); expected 0 or 1"),
        ({"query_labels": [3]}, r"query_labels is int64 \(1,\); expected multi-hot .*on both sides"),
        ({"query_labels": [3.0], "database_labels": [3]}, r"query_labels is float64 \(1,\); expected"),
        ({"query_codes": [1, 0]}, r"query_codes has shape \(2,\); expected \(items, bits\)"),
        ({"ties": "lucky"}, "ties is 'lucky'; expected one of tie-aware, stable"),
        ({"without_relevant": "some"}, "without_relevant is 'some'; expected zero or skip"),
        ({"cutoffs": (10, 0)}, r"cutoffs is \(10, 0\); expected a list of ranks of at least 1"),
        ({"cutoffs": 10}, "cutoffs is 10; expected a list"),
        ({"cutoffs": "5,10"}, "cutoffs is '5,10'; expected a list"),
        ({"cutoffs": [2.5]}, r"cutoffs is \[2.5\]; expected a list"),
        ({"cutoffs": (rank for rank in (5, 10))}, "cutoffs is <generator.*; expected a list"),
    ],
)
def test_arrays_and_options_that_do_not_fit_are_refused(changes, words):
    with pytest.raises((DataError, SettingError), match=words):
        evaluate(**{name: [[1, 0]] for name in ARRAYS} | changes)


@pytest.mark.parametrize("case", range(6))
def test_stable_is_what_gch_computes_with_a_stable_sort(golden, case):
    data = golden("gch_calc_map")
    queries = coded_items(data[f"qB_{case}"], data[f"qL_{case}"])
    found = evaluate_items(queries, coded_items(data[f"rB_{case}"], data[f"rL_{case}"]))
    means = means_of(found)
    assert means["stable"] == pytest.approx(float(data[f"map_stable_{case}"]), abs=1e-9)
    assert (~found.has_relevant).sum() == data[f"no_relevant_{case}"]
    # The original's order of ties is arbitrary.
    assert means["pessimistic"] <= data[f"map_{case}"] <= means["optimistic"]
    assert means["pessimistic"] <= means["tie-aware"] <= means["optimistic"]


@pytest.mark.parametrize("case", range(2))
def test_what_agah_computes_with_a_stable_sort(golden, case):
    data = golden(f"agah_metrics_{case}")
    ranks = [int(rank) for rank in data["K"]]
    found = evaluate(data["qB"], data["rB"], data["qL"], data["rL"], cutoffs=ranks, ties="stable")
    assert found["mAP"] == pytest.approx(float(data["map_all_stable"]), abs=1e-6)
    assert found["mAP_relevant@10"] == pytest.approx(float(data["map_k10_stable"]), abs=1e-6)
    precision = [found[f"precision@{rank}"] for rank in ranks]
    np.testing.assert_allclose(precision, data["p_topK_stable"], atol=1e-6)

    queries, database = coded_items(data["qB"], data["qL"]), coded_items(data["rB"], data["rL"])
    singles = [evaluate_items(queries.only([row]), database).figures() for row in range(len(queries))]
    precision = np.array([single["radius"]["precision"] for single in singles], float)  # NaN: no item within
    recall = np.array([single["radius"]["recall"] for single in singles])
    # AGAH divides the sums of both by the number of queries with a precision above 0.
    counting = np.maximum((precision > 0).sum(axis=0), 0.1)
    np.testing.assert_allclose(np.nansum(precision, axis=0) / counting, data["P"], atol=1e-6)
    np.testing.assert_allclose(recall.sum(axis=0) / counting, data["R"], atol=1e-6)
    found = evaluate_items(queries, database).figures()["radius"]
    np.testing.assert_allclose(found["recall"], recall.mean(axis=0))
    inside = (~np.isnan(precision)).sum(axis=0)
    expected = np.nansum(precision, axis=0) / np.where(inside, inside, np.nan)
    np.testing.assert_allclose(np.array(found["precision"], float), expected)


def test_measures_are_named_by_what_they_are():
    first = {name: ARRAYS[name][:1] for name in ("query_codes", "query_labels")}
    found = evaluate(**ARRAYS | first, cutoffs=(2, 3))
    kinds = ("mAP_truncated", "mAP_relevant", "precision", "recall", "NDCG", "ACG")
    at_rank = [f"{kind}@{rank}" for kind in kinds for rank in (2, 3)]
    assert list(found) == ["mAP", *at_rank, "precision_radius_2"]
    # Distances: 1 2 2 3 4 2; the second and third item share the label.
    assert found["precision@3"] == pytest.approx(4 / 9)
    assert found["recall@3"] == pytest.approx(2 / 3)
    assert found["precision_radius_2"] == pytest.approx(1 / 2)


def test_pairs_by_distance_and_map_by_label():
    found = evaluate_items(QUERIES, DATABASE)
    figures, precision = found.figures(), found.values["mAP"]
    pairs = figures["pairs_at_distance"]
    assert sum(pairs["relevant"]) + sum(pairs["other"]) == 24
    # The first query has an item at distance 1, the third one, the fourth two, one of them relevant.
    assert (pairs["relevant"][1], pairs["other"][1]) == (1, 3)
    assert figures["retrieval"] == 6
    of_label = [precision[[1, 2]].mean(), precision[[0, 1, 3]].mean(), None, precision[[2, 3]].mean()]
    assert figures["mAP_by_label"] == pytest.approx(of_label)


def test_queries_without_relevant_items_count_0_or_are_left_out():
    arrays = ([[1, 1], [1, -1]], [[1, 1], [-1, 1]], [[1, 0], [0, 1]], [[1, 0], [0, 0]])
    assert evaluate(*arrays)["mAP"] == 0.5
    assert evaluate(*arrays, without_relevant="skip")["mAP"] == 1.0
    queries, database = (coded_items(np.array(arrays[n]), arrays[n + 2]) for n in range(2))
    assert mean_average_precision(queries, database) == 0.5
    figures = evaluate_items(queries, database, without_relevant="skip").figures()
    assert figures["queries_without_relevant"] == 1
    assert figures["radius"]["recall"][-1] == 1.0
    assert figures["mAP_by_label"] == [1.0, None]
    figures = evaluate_items(queries.only([1]), database, without_relevant="skip").figures()
    assert figures["measures"]["mAP"] == {"mean": None, "low": None, "high": None}


@pytest.mark.parametrize("ties", ["tie-aware", "stable"])
def test_blocks_make_no_difference(monkeypatch, ties):
    queries, database = random_items(0, 30), random_items(1, 200)
    whole = evaluate_items(queries, database, ties=ties)
    monkeypatch.setattr(MODULE, "BLOCK_COUNTS", 700)
    monkeypatch.setattr(MODULE, "RANKED_ITEMS", 500)
    parts = evaluate_items(queries, database, ties=ties)
    for name, values in whole.values.items():
        np.testing.assert_allclose(parts.values[name], values, err_msg=name)
    np.testing.assert_array_equal(parts.counts, whole.counts)


def test_the_interval_of_a_mean_holds_it_and_narrows_with_more_queries():
    random = np.random.default_rng(0)
    few, many = random.random(50), random.random(5000)
    narrow, wide = with_interval(many), with_interval(few)
    for values, found in ((few, wide), (many, narrow)):
        assert found["low"] < found["mean"] == values.mean() < found["high"]
    # Of a mean of n uniform numbers: 2 * 1.96 * sqrt(1 / 12 / n).
    assert narrow["high"] - narrow["low"] == pytest.approx(3.92 * np.sqrt(1 / 12 / 5000), rel=0.15)
    assert with_interval(few) == wide
    assert with_interval(few[:1]) == {"mean": few[0], "low": None, "high": None}
