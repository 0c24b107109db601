import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.io
from records import directions, own_half_figures, random_arrays, undrawn

from gch.reporting import tables


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Codes in a .mat file, of another length, with unified ones, and without labels."""
    folder, pairs = tmp_path_factory.mktemp("codes"), random_arrays(2, pairs=True)
    scipy.io.savemat(folder / "ours.mat", random_arrays(0))
    np.savez(folder / "theirs.npz", **random_arrays(1, bits=12))
    np.savez(folder / "pairs.npz", **pairs)
    np.savez(folder / "bare.npz", Qi=pairs["Qi"], Qt=pairs["Qt"])
    return [folder / name for name in ("ours.mat", "theirs.npz", "pairs.npz", "bare.npz")]


@pytest.fixture(scope="module")
def measured(command, files, tmp_path_factory):
    """The folder with the measures of all files, and what was printed."""
    out = tmp_path_factory.mktemp("measured") / "out"
    with undrawn():
        status, output, error = command("eval", *files, f"--out={out}", "--cutoffs=7", "--per_query")
    assert (status, error) == (0, "")
    return out, output


@pytest.fixture(scope="module")
def results(measured):
    return json.loads((measured[0] / "results.json").read_text())


def texts_of(measured) -> list[str]:
    out, output = measured
    return [output, *((out / f"table.{form}").read_text() for form in ("md", "tex"))]


def test_codes_of_any_tool_are_measured_and_reported_in_every_form(measured, results):
    out, output = measured
    expected = directions(random_arrays(1, bits=12), cutoffs=(7,))
    assert results["evaluations"]["theirs"] == json.loads(json.dumps(expected))
    precision = f"{expected['T->I']['measures']['mAP']['mean']:.4f}"
    for text in texts_of(measured):
        assert precision in text
        assert "precision@7" in text
    names = {row["name"] for row in csv.DictReader((out / "results.csv").open())}
    assert names == {"ours", "theirs", "pairs", "bare"}
    assert "12 queries" in output
    saved = {path.name for path in (out / "plots").iterdir()}
    plots = {"precision_recall", "map_by_bits", "distances", "precision_recall_pairs", "own_half"}
    assert {f"{name}.{form}" for name in plots for form in ("png", "svg")} <= saved


def test_unified_codes_and_relaxed_queries_are_measured_apart_from_the_papers_directions(measured, results):
    expected = directions(random_arrays(2, pairs=True), cutoffs=(7,))
    assert results["evaluations"]["pairs"] == json.loads(json.dumps(expected))
    assert list(results["evaluations"]["ours"]) == ["I->T", "T->I", "I->I", "T->T"]
    for text in texts_of(measured):
        papers, rest = text.replace(r"$\to$", "->").split(tables.OF_PAIRS)
        unified, own_halves = rest.split(tables.OF_OWN_HALVES)
        for direction, figures in expected.items():
            means = [f"{figures['measures'][name]['mean']:.4f}" for name in ("mAP", "mAP_asymmetric")]
            lines = [
                line for line in (papers + unified).splitlines() if {"pairs", direction} <= set(line.split())
            ]
            assert len(lines) == (direction not in ("I->I", "T->T"))
            assert all(value in line for line in lines for value in means)
        assert ("pair->pair" in papers, "I->T" in unified, "pair->pair" in own_halves) == (False,) * 3
    rows = list(csv.DictReader((measured[0] / "results.csv").open()))
    means = {(row["direction"], row["measure"]): row["mean"] for row in rows if row["name"] == "pairs"}
    value = expected["T->pair"]["measures"]["mAP_asymmetric"]
    assert value["low"] < value["mean"] == float(means["T->pair", "mAP_asymmetric"]) < value["high"]


def test_codes_without_labels_are_measured_by_their_own_halves(measured, results):
    expected = own_half_figures(random_arrays(2, pairs=True))
    assert results["evaluations"]["bare"] is None
    assert results["own_half"]["bare"] == json.loads(json.dumps(expected))
    assert set(results["own_half"]["ours"]) == {"I->T", "T->I"}  # with labels too
    for text in texts_of(measured):
        first, own_halves = text.split(tables.OF_OWN_HALVES)
        assert ("bare" in first, "bare" in own_halves, "ours" in own_halves) == (False, True, True)
        for name in ("recall@5", "recall_asymmetric@10"):
            assert f"{expected['T->I']['measures'][name]['mean']:.4f}" in own_halves
    with np.load(measured[0] / "per_query.npz") as values:
        ranks = values["bare|own half I->T|median_rank"]
        assert np.median(ranks) == expected["I->T"]["measures"]["median_rank"]["mean"]


def test_settings_are_followed_and_values_of_every_query_saved_on_demand(command, files, results, tmp_path):
    options = ("--ties=pessimistic", "--without_relevant=skip", "--plots=False", "--per_query")
    assert command("eval", *files[1::2], f"--out={tmp_path}", *options)[0] == 0
    assert not (tmp_path / "plots").exists()
    again = json.loads((tmp_path / "results.json").read_text())
    found = again["evaluations"]["theirs"]["I->T"]
    assert (found["ties"], found["without_relevant"]) == ("pessimistic", "skip")
    assert found["measures"]["mAP"]["mean"] == found["mAP_by_ties"]["pessimistic"]
    assert found["mAP_by_ties"]["pessimistic"] < found["mAP_by_ties"]["tie-aware"]
    with np.load(tmp_path / "per_query.npz") as values:
        assert values["theirs|I->T|mAP"].shape == (12,)
        counted = 12 - found["queries_without_relevant"]  # the other ones have 0
        for measure, value in found["measures"].items():
            assert values[f"theirs|I->T|{measure}"].sum() / counted == pytest.approx(value["mean"])
    own, expected = (one["own_half"]["bare"]["I->T"] for one in (again, results))
    assert own["ties"] == "pessimistic"
    assert own["measures"]["recall@1"]["mean"] < expected["measures"]["recall@1"]["mean"]


def test_results_of_other_files_are_not_replaced(command, files, tmp_path):
    out = f"--out={tmp_path / 'out'}"
    for _ in range(2):
        assert command("eval", files[3], out, "--plots=False")[0] == 0
    before = (tmp_path / "out" / "results.json").read_bytes()
    assert not (tmp_path / "out" / "per_query.npz").exists()
    status, _, error = command("eval", files[1], out)
    assert (status, "results of other files" in error) == (1, True)
    assert (tmp_path / "out" / "results.json").read_bytes() == before


def test_a_bad_file_ends_it_before_anything_is_measured(command, files, tmp_path):
    values = random_arrays(0)
    del values["Dt"]
    np.savez(tmp_path / "bad.npz", **values)
    status, output, error = command("eval", files[1], tmp_path / "bad.npz", f"--out={tmp_path / 'out'}")
    assert (status, output, error.count("\n")) == (1, "", 1)
    assert "bad.npz: array Dt is missing" in error
    assert not (tmp_path / "out").exists()


def test_files_of_one_name_are_distinguished_by_their_folders(command, tmp_path):
    paths = [tmp_path / folder / "codes.npz" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        np.savez(path, **random_arrays(0))
    _, output, _ = command("eval", *paths, f"--out={tmp_path / 'out'}", "--plots=False")
    assert {"a/codes.npz", "b/codes.npz"} <= set(output.split())


def test_tensorflow_is_not_loaded_even_without_numba(repository, files, tmp_path):
    code = (
        "import sys; sys.modules['numba'] = None; from pathlib import Path; from gch.cli import main;"
        f"status = main(['main_itpair.py', 'eval', {str(files[1])!r}, '--out={tmp_path / 'out'}',"
        " '--plots=False'], Path('setting.py'));"
        "sys.exit(status or 'tensorflow' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
