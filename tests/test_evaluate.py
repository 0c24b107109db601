import numpy as np
import pytest

from gch.errors import DataError
from gch.evaluation import evaluate as evaluation_module
from gch.evaluation.coded import coded_items
from gch.evaluation.evaluate import evaluate, mean_average_precision
from gch.evaluation.intervals import mean_interval
from gch.evaluation.ties import POLICIES

# The toy case of the golden vectors' README.
QUERIES = coded_items(
    np.array([[1, -1, 1, 1], [-1, -1, -1, 1], [1, 1, -1, 1], [1, 1, 1, -1]]),
    np.array([[0, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 1], [0, 1, 0, 1]]),
)
DATABASE = coded_items(
    np.array(
        [[1, -1, 1, -1], [-1, -1, 1, -1], [-1, -1, 1, -1], [1, 1, -1, -1], [-1, 1, -1, -1], [1, 1, -1, 1]]
    ),
    np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]]),
)


def random_items(seed: int, items: int, bits: int = 16, labels: int = 5):
    random = np.random.default_rng(seed)
    return coded_items(random.choice([-1, 1], (items, bits)), random.random((items, labels)) < 0.3)


def test_the_toy_case_under_all_policies():
    found = evaluate(QUERIES, DATABASE)
    means = {policy: found.mean(values) for policy, values in found.average_precision.items()}
    expected = {"tie-aware": 0.601302, "stable": 0.704167, "optimistic": 0.704167, "pessimistic": 0.493403}
    assert means == pytest.approx(expected, abs=5e-7)
    assert mean_average_precision(QUERIES, DATABASE) == pytest.approx(0.601302, abs=5e-7)


@pytest.mark.parametrize("case", range(6))
def test_stable_is_what_gch_computes_with_a_stable_sort(golden, case):
    data = golden("gch_calc_map")
    queries = coded_items(data[f"qB_{case}"], data[f"qL_{case}"])
    database = coded_items(data[f"rB_{case}"], data[f"rL_{case}"])
    found = evaluate(queries, database)
    means = {policy: found.mean(values) for policy, values in found.average_precision.items()}
    assert means["stable"] == pytest.approx(float(data[f"map_stable_{case}"]), abs=1e-9)
    assert (~found.has_relevant).sum() == data[f"no_relevant_{case}"]
    # The original's order of ties is arbitrary.
    assert means["pessimistic"] <= data[f"map_{case}"] <= means["optimistic"]
    assert means["pessimistic"] <= means["tie-aware"] <= means["optimistic"]


@pytest.mark.parametrize("case", range(2))
def test_stable_is_what_agah_computes_with_a_stable_sort(golden, case):
    data = golden(f"agah_metrics_{case}")
    queries, database = coded_items(data["qB"], data["qL"]), coded_items(data["rB"], data["rL"])
    ranks = [int(rank) for rank in data["K"]]
    found = evaluate(queries, database, cutoffs=ranks, ties="stable")
    assert found.mean(found.values["mAP"]) == pytest.approx(float(data["map_all_stable"]), abs=1e-6)
    assert found.mean(found.values["mAP_relevant@10"]) == pytest.approx(
        float(data["map_k10_stable"]), abs=1e-6
    )
    precision = [found.mean(found.values[f"precision@{rank}"]) for rank in ranks]
    np.testing.assert_allclose(precision, data["p_topK_stable"], atol=1e-6)


@pytest.mark.parametrize("case", range(2))
def test_the_curve_over_radii_is_agahs_but_for_whom_it_averages_over(golden, case):
    data = golden(f"agah_metrics_{case}")
    queries, database = coded_items(data["qB"], data["qL"]), coded_items(data["rB"], data["rL"])
    found = evaluate(queries, database)
    # AGAH divides the sums of both by the number of queries with a precision above 0.
    singles = [evaluate(queries.only([row]), database) for row in range(len(queries))]
    precision = np.nan_to_num([single.radius_precision for single in singles])
    recall = np.array([single.radius_recall for single in singles])
    counting = np.maximum((precision > 0).sum(axis=0), 0.1)
    np.testing.assert_allclose(precision.sum(axis=0) / counting, data["P"], atol=1e-6)
    np.testing.assert_allclose(recall.sum(axis=0) / counting, data["R"], atol=1e-6)
    np.testing.assert_allclose(found.radius_recall, recall.mean(axis=0))
    inside = np.array([~np.isnan(single.radius_precision) for single in singles])
    some = inside.any(axis=0)
    expected = precision.sum(axis=0)[some] / inside.sum(axis=0)[some]
    np.testing.assert_allclose(found.radius_precision[some], expected)
    assert np.isnan(found.radius_precision[~some]).all()


def test_measures_are_named_by_what_they_are():
    found = evaluate(QUERIES, DATABASE, cutoffs=(2, 3))
    assert list(found.values) == [
        "mAP",
        *(
            f"{name}@{rank}"
            for name in ("mAP_truncated", "mAP_relevant", "precision", "recall", "NDCG", "ACG")
            for rank in (2, 3)
        ),
        "precision_radius_2",
    ]
    # Distances of the first query: 1 2 2 3 4 2; the second and third item share its label.
    first = {name: values[0] for name, values in found.values.items()}
    assert first["precision@3"] == pytest.approx(4 / 9)
    assert first["recall@3"] == pytest.approx(2 / 3)
    assert first["precision_radius_2"] == pytest.approx(1 / 2)


def test_pairs_by_distance_and_relevance():
    found = evaluate(QUERIES, DATABASE)
    assert found.relevant_pairs.sum() + found.other_pairs.sum() == 24
    # The first query has an item at distance 1, the third one, the fourth two, one of them relevant.
    assert (found.relevant_pairs[1], found.other_pairs[1]) == (1, 3)
    assert found.database == 6


def test_queries_without_relevant_items_count_0_or_not_and_are_told():
    queries = coded_items(np.array([[1, 1], [1, -1]]), np.array([[1, 0], [0, 1]]))
    database = coded_items(np.array([[1, 1], [-1, 1]]), np.array([[1, 0], [0, 0]]))
    zero, skip = (evaluate(queries, database, without_relevant=policy) for policy in ("zero", "skip"))
    assert zero.has_relevant.tolist() == skip.has_relevant.tolist() == [True, False]
    assert zero.mean(zero.values["mAP"]) == 0.5
    assert skip.mean(skip.values["mAP"]) == 1.0
    assert skip.radius_recall[-1] == 1.0
    assert mean_average_precision(queries, database) == 0.5
    np.testing.assert_array_equal(zero.label_map(), [1.0, np.nan])


def test_when_no_query_has_a_relevant_item_and_none_is_to_count_there_is_no_mean():
    queries = coded_items(np.array([[1, 1]]), np.array([[1, 0]]))
    database = coded_items(np.array([[1, 1]]), np.array([[0, 1]]))
    found = evaluate(queries, database, without_relevant="skip")
    assert np.isnan(found.mean(found.values["mAP"]))
    assert found.interval(found.values["mAP"]) is None


def test_map_of_a_label_is_over_the_queries_that_have_it():
    found = evaluate(QUERIES, DATABASE)
    precision = found.values["mAP"]
    assert found.label_map() == pytest.approx(
        [precision[[1, 2]].mean(), precision[[0, 1, 3]].mean(), np.nan, precision[[2, 3]].mean()], nan_ok=True
    )


@pytest.mark.parametrize("ties", POLICIES)
def test_blocks_make_no_difference(monkeypatch, ties):
    queries, database = random_items(0, 30), random_items(1, 200)
    whole = evaluate(queries, database, ties=ties)
    monkeypatch.setattr(evaluation_module, "BLOCK_COUNTS", 700)
    monkeypatch.setattr(evaluation_module, "RANKED_ITEMS", 500)
    parts = evaluate(queries, database, ties=ties)
    for name, values in whole.values.items():
        np.testing.assert_allclose(parts.values[name], values, err_msg=name)
    np.testing.assert_allclose(parts.recall_precision, whole.recall_precision)
    np.testing.assert_array_equal(parts.relevant_pairs, whole.relevant_pairs)


def test_the_order_of_the_database_does_not_matter_but_to_the_stable_policy():
    queries, database = random_items(2, 20, bits=8), random_items(3, 60, bits=8)
    shuffled = database.only(np.random.default_rng(4).permutation(60))
    one, other = evaluate(queries, database), evaluate(queries, shuffled)
    for policy in POLICIES:
        same = np.allclose(one.average_precision[policy], other.average_precision[policy])
        assert same == (policy != "stable")


def test_sets_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="16 bits, the database's 8"):
        evaluate(random_items(0, 3), random_items(1, 3, bits=8))
    with pytest.raises(DataError, match="5 labels, the database 4"):
        evaluate(random_items(0, 3), random_items(1, 3, labels=4))
    with pytest.raises(DataError, match="0 items to rank"):
        mean_average_precision(random_items(0, 3), random_items(1, 0))
    with pytest.raises(ValueError, match="lucky"):
        evaluate(QUERIES, DATABASE, ties="lucky")


def test_the_interval_of_a_mean_holds_it_and_narrows_with_more_queries():
    random = np.random.default_rng(0)
    few, many = random.random(50), random.random(5000)
    narrow, wide = mean_interval(many), mean_interval(few)
    assert wide.low < few.mean() < wide.high
    assert narrow.low < many.mean() < narrow.high
    # Of a mean of n uniform numbers: 2 * 1.96 * sqrt(1 / 12 / n).
    assert narrow.high - narrow.low == pytest.approx(3.92 * np.sqrt(1 / 12 / 5000), rel=0.15)
    assert mean_interval(few) == mean_interval(few)
    assert mean_interval(few[:1]) is None
    assert mean_interval(np.full(9, 0.5)) == (0.5, 0.5)
