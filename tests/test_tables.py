import csv
import io

from records import changed, record, unlabelled

from gch.evaluation.evaluate import NEW_ITEMS
from gch.reporting import tables


def test_a_line_has_a_direction_with_its_interval_and_other_policies():
    one, other = record("one"), changed(record("other"), evaluation_not_trained_on=None)
    figures, new = one.directions["I->T"], one.new["I->T"]["measures"]["mAP"]
    precision = figures["measures"].pop("precision@5")["mean"]
    header, lines = tables.rows([one, other], ["I->T"])
    assert [line[:3] for line in lines] == [["one", "16", "I->T"], ["other", "16", "I->T"]]
    assert "tie-aware" not in header
    first, second = (dict(zip(header[3:], line[3:], strict=True)) for line in lines)
    for kind, interval, found in (
        ("mAP (tie-aware)", "95 %", figures["measures"]["mAP"]),
        ("mAP, new items", "95 %, new items", new),
    ):
        assert first[kind] == f"{found['mean']:.4f}"
        assert first[interval] == f"{found['low']:.4f} to {found['high']:.4f}"
    assert first["stable"] == f"{figures['mAP_by_ties']['stable']:.4f}"
    # What was not measured is a dash.
    assert (first["precision@5"], second["precision@5"]) == ("-", f"{precision:.4f}")
    assert second["mAP, new items"] == second["95 %, new items"] == "-"
    assert tables.over_seeds([other])[1][0][4:6] == ["-", "-"]


def test_runs_that_differ_by_more_than_their_seeds_share_no_mean():
    runs = [record(name, method="gch", MAX_ITER=4, graph="label") for name in ("a", "b")]
    for seed, run in enumerate(runs):
        run.settings.update(seed=seed, run_name=run.name)
    older, other, data = (record(name, method="gch") for name in ("older", "other", "data"))
    other.settings.update(graph="none", MAX_ITER=4)
    for run in (*runs, other, data):
        run.results["digests"] = {"data": "b" * 64 if run is data else "a" * 64}
    found = [(line[0], line[-1]) for line in tables.over_seeds([*runs, older, other])[1]]
    assert found == [("gch graph=label", "2"), ("gch", "1"), ("gch graph=none", "1")]
    of_data = [line[0] for line in tables.over_seeds([runs[0], data])[1]]
    assert of_data == ["gch data=aaaaaaaa", "gch data=bbbbbbbb"]


def test_the_mean_over_the_seeds_is_of_the_runs_of_one_method_and_length():
    runs = [
        record(name, seed, bits, method="gch", preset=preset, dataset_dir="X")
        for name, seed, bits, preset in (("a", 0, 16, ""), ("b", 1, 16, ""), ("c", 0, 8, "reference"))
    ]
    for run, value in zip(runs, (0.5, 0.7, 0.4), strict=True):
        run.directions["I->T"]["measures"]["mAP"]["mean"] = value
        run.new["T->I"]["measures"]["mAP"]["mean"] = value - 0.25
    for run, seconds in zip(runs[:2], (10.0, 21.0), strict=True):
        run.results["training"] = {"seconds": seconds}
    header, lines = tables.over_seeds(runs)
    assert header[:4] == ["", "bits", "mAP I->T", "mAP T->I"]
    assert header[4:] == ["new items I->T", "new items T->I", "seconds", "runs"]
    # Of .5 and .7: the mean is .6, the deviation .1 * sqrt(2).
    shown = [[line[column] for column in (0, 1, 2, 5, 6, 7)] for line in lines]
    assert shown[0] == ["X gch", "16", "0.6000 ± 0.1414", "0.3500 ± 0.1414", "16", "2"]
    assert shown[1] == ["X gch reference", "8", "0.4000", "0.1500", "-", "1"]
    without_own = record("a", dataset_dir="X", method="gch", own_neighbour=False)
    assert tables.over_seeds([without_own])[1][0][0] == "X gch own_neighbour=False"
    # The names of folders sort as a_128, a_16, a_8.
    unsorted = [record("a", bits=bits, method=method) for method in ("m", "gch") for bits in (128, 16, 8)]
    of_lengths = [line[:2] for line in tables.over_seeds(unsorted)[1]]
    assert [bits for _, bits in of_lengths] == ["8", "16", "128"] * 2
    assert of_lengths[0][0] != of_lengths[3][0]


def test_lines_of_own_halves_have_every_measure_with_its_interval():
    one = unlabelled("one")
    header, lines = tables.all_measures([one])[tables.OF_OWN_HALVES]
    assert [line[:5] for line in lines] == [
        ["one", "16", direction, ranked, "12"]
        for direction in ("I->T", "T->I")
        for ranked in ("distance", "asymmetric")
    ]
    assert header[3:] == [
        *("ranked by (tie-aware)", "among", "recall@1", "95 %", "recall@5", "95 %"),
        *("recall@10", "95 %", "median rank", "95 %"),
    ]
    measured = one.own_half["T->I"]["measures"]
    for line, ranked in ((lines[2], ""), (lines[3], "_asymmetric")):
        recalls = [f"recall{ranked}@{rank}" for rank in (1, 5, 10)]
        for place, name in enumerate([*recalls, f"median_rank{ranked}"]):
            decimals = 1 if "median" in name else 4
            mean, low, high = (f"{measured[name][key]:.{decimals}f}" for key in ("mean", "low", "high"))
            assert line[5 + 2 * place : 7 + 2 * place] == [mean, f"{low} to {high}"]


def test_records_with_and_without_labels_share_no_line():
    labelled = changed(record("a"), own_half=unlabelled("a").own_half)
    found = tables.all_measures([labelled, unlabelled("b", 1)])
    assert list(found) == ["", tables.OF_OWN_HALVES]
    assert {line[0] for line in found[""][1]} == {"a"}
    assert {line[0] for line in found[tables.OF_OWN_HALVES][1]} == {"a", "b"}
    assert list(tables.all_measures([unlabelled("b")])) == [tables.OF_OWN_HALVES]
    first, second, *why = tables.notes([labelled, unlabelled("b")])
    assert first.startswith("a: 12 queries, ")
    assert second == "b: 12 queries without labels: each ranks the other halves of all 12, one its own"
    assert why == [NEW_ITEMS, tables.OWN_HALVES]
    assert tables.why([unlabelled("b")]) == [tables.OWN_HALVES]
    rows = list(csv.DictReader(io.StringIO(tables.comma_separated([unlabelled("b")]))))
    assert {row["items"] for row in rows} == {"own half"}
    measured = {(row["direction"], row["measure"]): row for row in rows}
    expected = unlabelled("b").own_half["I->T"]["measures"]["recall_asymmetric@5"]
    for key, value in expected.items():
        assert float(measured["I->T", "recall_asymmetric@5"][key]) == value


def test_the_mean_over_the_seeds_of_own_halves():
    runs = [unlabelled(name, seed, method="gch", dataset_dir="X") for name, seed in (("a", 0), ("b", 1))]
    for run, recall, median in zip(runs, (0.5, 0.7), (3.0, 5.0), strict=True):
        run.own_half["T->I"]["measures"]["recall@10"]["mean"] = recall
        run.own_half["I->T"]["measures"]["median_rank"]["mean"] = median
    ((header, lines),) = tables.all_means(runs).values()
    (line,) = lines
    shown = dict(zip(header, line, strict=True))
    assert shown["recall@10 T->I"] == "0.6000 ± 0.1414"
    assert shown["median rank I->T"] == "4.0 ± 1.4"
    assert (shown["bits"], shown["runs"], shown["seconds"]) == ("16", "2", "-")


def test_notes_that_hold_for_all_are_given_once():
    one, other = record("one"), record("other")
    note, why = tables.notes([one, other])
    assert note.endswith("mAP over all of the 40 items ranked and over the 15 new ones")
    assert why == NEW_ITEMS
    one.directions["I->T"] |= {"queries_without_relevant": 0}
    other.directions["I->T"] |= {"queries_without_relevant": 3}
    first, second, why = tables.notes([one, other])
    assert first.startswith("one: 12 queries, all of them with a relevant item")
    assert second.startswith("other: 12 queries, 3 of them without a relevant item (counted 0)")
    assert why == NEW_ITEMS


def test_tables_of_text():
    table = ["", "95 %"], [["my_run", "1.5"], ["I->T", "10.25"]]
    assert tables.plain(*table).splitlines() == ["         95 %", "my_run    1.5", "I->T    10.25"]
    markdown = ["|  | 95 % |", "|---|--:|", "| my_run | 1.5 |", "| I->T | 10.25 |"]
    assert tables.markdown(*table).splitlines() == markdown
    assert tables.markdown(["a|b"], [])[:8] == r"| a\|b |"
    latex = [r"\begin{tabular}{lr}", r"\toprule", r" & 95 \% \\", r"\midrule", r"my\_run & 1.5 \\"]
    latex += [r"I$\to$T & 10.25 \\", r"\bottomrule", r"\end{tabular}"]
    assert tables.latex(*table).splitlines() == latex
    assert r"a\textasciitilde{}\textasciicircum{}\textbackslash{}b" in tables.latex(
        ["", "x"], [["a~^\\b", "1"]]
    )


def test_comma_separated_values_hold_every_measure():
    one = record("a, b")
    found = list(csv.DictReader(io.StringIO(tables.comma_separated([one]))))
    names = ("items", "direction", "ties", "measure")
    measured = {tuple(row[name] for name in names): float(row["mean"]) for row in found}
    assert found[0]["name"] == "a, b"
    for items, directions in (("all", one.directions), ("new", one.new)):
        for direction, figures in directions.items():
            for measure, value in figures["measures"].items():
                assert measured[items, direction, "tie-aware", measure] == value["mean"]
            optimistic = figures["mAP_by_ties"]["optimistic"]
            assert measured[items, direction, "optimistic", "mAP"] == optimistic
