import csv
import dataclasses
import io

import pytest
from records import record

from gch.reporting import tables


def test_a_line_tells_a_direction_with_its_interval_and_other_policies():
    one = record("mine")
    header, (line,) = tables.rows([one], ["I->T"])
    figures = one.directions["I->T"]
    cells = dict(zip(header[3:], line[3:], strict=True))
    assert line[:3] == ["mine", "16", "I->T"]
    assert cells["mAP (tie-aware)"] == f"{figures['measures']['mAP']['mean']:.4f}"
    low, high = figures["measures"]["mAP"]["low"], figures["measures"]["mAP"]["high"]
    assert cells["95 %"] == f"{low:.4f} to {high:.4f}"
    assert cells["stable"] == f"{figures['mAP_by_ties']['stable']:.4f}"
    assert cells["precision@5"] == f"{figures['measures']['precision@5']['mean']:.4f}"
    assert "tie-aware" not in cells


def test_records_that_were_measured_at_other_ranks_share_a_table():
    one, other = record("one"), record("other")
    del other.directions["I->T"]["measures"]["precision@5"]
    header, lines = tables.rows([one, other], ["I->T"])
    column = header.index("precision@5")
    assert lines[0][column] != "-"
    assert lines[1][column] == "-"


def test_the_mean_over_the_seeds_is_of_the_runs_of_one_method_and_length():
    runs = [
        record("a", 0, 16, method="gch", preset="", dataset_dir="X"),
        record("b", 1, 16, method="gch", preset="", dataset_dir="X"),
        record("c", 0, 8, method="gch", preset="reference", dataset_dir="X"),
    ]
    for run, value in zip(runs, (0.5, 0.7, 0.4), strict=True):
        run.directions["I->T"]["measures"]["mAP"]["mean"] = value
    runs[0] = dataclasses.replace(runs[0], results={"training": {"seconds": 10.0}})
    runs[1] = dataclasses.replace(runs[1], results={"training": {"seconds": 21.0}})
    _, lines = tables.over_seeds(runs)
    # Of .5 and .7: the mean is .6, the deviation .1 * sqrt(2).
    assert [lines[0][n] for n in (0, 1, 2, 4, 5)] == ["X gch", "16", "0.6000 ± 0.1414", "16", "2"]
    assert [lines[1][n] for n in (0, 1, 2, 4, 5)] == ["X gch reference", "8", "0.4000 ± 0.0000", "-", "1"]


def test_what_holds_for_all_is_said_once():
    one, other = record("one"), record("other")
    assert len(tables.notes([one, other])) == 1
    one.directions["I->T"] |= {"queries_without_relevant": 0}
    other.directions["I->T"] |= {"queries_without_relevant": 3}
    first, second = tables.notes([one, other])
    assert first.startswith("one: 12 queries, all of them with a relevant item")
    assert second.startswith("other: 12 queries, 3 of them without a relevant item (counted 0)")


def test_columns_are_aligned():
    text = tables.plain(["", "b"], [["long name", "1.5"], ["x", "10.25"]])
    assert text.splitlines() == ["               b", "long name    1.5", "x          10.25"]


def test_markdown():
    assert tables.markdown(["", "b"], [["x", "1"]]).splitlines() == ["|  | b |", "|---|--:|", "| x | 1 |"]


def test_latex_escapes_what_it_must():
    text = tables.latex(["", "95 %"], [["my_run", "I->T"]])
    assert text.splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r" & 95 \% \\",
        r"\midrule",
        r"my\_run & I$\to$T \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_comma_separated_values_hold_every_measure():
    one = record("a, b")
    found = list(csv.DictReader(io.StringIO(tables.comma_separated([one]))))
    measured = {(row["direction"], row["ties"], row["measure"]): float(row["mean"]) for row in found}
    assert found[0]["name"] == "a, b"
    for direction, figures in one.directions.items():
        for measure, value in figures["measures"].items():
            assert measured[direction, "tie-aware", measure] == pytest.approx(value["mean"])
        assert measured[direction, "optimistic", "mAP"] == pytest.approx(figures["mAP_by_ties"]["optimistic"])
