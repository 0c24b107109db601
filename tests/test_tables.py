import csv
import dataclasses
import io

import pytest
from records import record

from gch.evaluation.directions import NEW_ITEMS
from gch.reporting import tables


def test_a_line_tells_a_direction_with_its_interval_and_other_policies():
    one = record("mine")
    header, (line,) = tables.rows([one], ["I->T"])
    figures = one.directions["I->T"]
    cells = dict(zip(header[3:], line[3:], strict=True))
    assert line[:3] == ["mine", "16", "I->T"]
    assert cells["mAP (tie-aware)"] == f"{figures['measures']['mAP']['mean']:.4f}"
    new = one.new["I->T"]["measures"]["mAP"]
    assert cells["mAP, new items"] == f"{new['mean']:.4f}" != cells["mAP (tie-aware)"]
    for column, found in (("95 %", figures["measures"]["mAP"]), ("95 %, new items", new)):
        assert cells[column] == f"{found['low']:.4f} to {found['high']:.4f}"
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
        run.new["T->I"]["measures"]["mAP"]["mean"] = value - 0.25
    runs[0] = dataclasses.replace(runs[0], results={"training": {"seconds": 10.0}})
    runs[1] = dataclasses.replace(runs[1], results={"training": {"seconds": 21.0}})
    header, lines = tables.over_seeds(runs)
    assert header == [
        "",
        "bits",
        "mAP I->T",
        "mAP T->I",
        "new items I->T",
        "new items T->I",
        "seconds",
        "runs",
    ]
    # Of .5 and .7: the mean is .6, the deviation .1 * sqrt(2).
    shown = [[line[column] for column in (0, 1, 2, 5, 6, 7)] for line in lines]
    assert shown[0] == ["X gch", "16", "0.6000 ± 0.1414", "0.3500 ± 0.1414", "16", "2"]
    assert shown[1] == ["X gch reference", "8", "0.4000 ± 0.0000", "0.1500 ± 0.0000", "-", "1"]


def test_without_new_items_the_second_figure_is_a_dash():
    one = dataclasses.replace(record("theirs"), new={})
    header, (line,) = tables.rows([one], ["I->T"])
    cells = dict(zip(header, line, strict=True))
    assert cells["mAP, new items"] == cells["95 %, new items"] == "-"
    assert tables.over_seeds([one])[1][0][4:6] == ["-", "-"]


def test_runs_tested_without_own_entries_are_a_method_of_their_own():
    runs = [record("a", dataset_dir="X", method="gch", own_neighbour=own) for own in (True, False)]
    _, lines = tables.over_seeds(runs)
    assert [line[0] for line in lines] == ["X gch", "X gch own_neighbour=False"]


def test_what_holds_for_all_is_said_once():
    one, other = record("one"), record("other")
    said, why = tables.notes([one, other])
    assert said.endswith("mAP over all of the 40 items ranked and over the 15 new ones")
    assert why == NEW_ITEMS
    one.directions["I->T"] |= {"queries_without_relevant": 0}
    other.directions["I->T"] |= {"queries_without_relevant": 3}
    first, second, why = tables.notes([one, other])
    assert first.startswith("one: 12 queries, all of them with a relevant item")
    assert second.startswith("other: 12 queries, 3 of them without a relevant item (counted 0)")
    assert why == NEW_ITEMS


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
    names = ("items", "direction", "ties", "measure")
    measured = {tuple(row[name] for name in names): float(row["mean"]) for row in found}
    assert found[0]["name"] == "a, b"
    for items, directions in (("all", one.directions), ("new", one.new)):
        for direction, figures in directions.items():
            for measure, value in figures["measures"].items():
                assert measured[items, direction, "tie-aware", measure] == pytest.approx(value["mean"])
            optimistic = figures["mAP_by_ties"]["optimistic"]
            assert measured[items, direction, "optimistic", "mAP"] == pytest.approx(optimistic)
