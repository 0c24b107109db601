import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.io
from records import directions, own_half_figures, random_arrays

from gch.reporting import tables


@pytest.fixture
def eval_command(command):
    return lambda *arguments: command("eval", *arguments)


@pytest.fixture
def files(tmp_path):
    scipy.io.savemat(tmp_path / "ours.mat", random_arrays(0))
    np.savez(tmp_path / "theirs.npz", **random_arrays(1, bits=12))
    return tmp_path / "ours.mat", tmp_path / "theirs.npz"


def test_codes_of_any_tool_are_measured_and_reported_in_every_form(eval_command, files, tmp_path):
    out = tmp_path / "out"
    status, output, _ = eval_command(*files, f"--out={out}", "--cutoffs=7")
    assert status == 0
    expected = directions(random_arrays(1, bits=12), cutoffs=(7,))
    results = json.loads((out / "results.json").read_text())
    assert results["evaluations"]["theirs"] == json.loads(json.dumps(expected))
    precision = f"{expected['T->I']['measures']['mAP']['mean']:.4f}"
    for text in (output, (out / "table.md").read_text(), (out / "table.tex").read_text()):
        assert precision in text
        assert "precision@7" in text
    assert {row["name"] for row in csv.DictReader((out / "results.csv").open())} == {"ours", "theirs"}
    assert "12 queries" in output
    saved = {path.name for path in (out / "plots").iterdir()}
    assert {"precision_recall.png", "precision_recall.svg", "map_by_bits.png", "distances.svg"} <= saved


def test_unified_codes_and_relaxed_queries_are_measured_apart_from_the_papers_directions(
    eval_command, files, tmp_path
):
    arrays, out = random_arrays(2, pairs=True), tmp_path / "out"
    np.savez(tmp_path / "pairs.npz", **arrays)
    status, output, _ = eval_command(files[0], tmp_path / "pairs.npz", f"--out={out}", "--cutoffs=7")
    assert status == 0
    expected = directions(arrays, cutoffs=(7,))
    found = json.loads((out / "results.json").read_text())["evaluations"]
    assert found["pairs"] == json.loads(json.dumps(expected))
    assert list(found["ours"]) == ["I->T", "T->I", "I->I", "T->T"]
    for text in (output, *((out / f"table.{form}").read_text() for form in ("md", "tex"))):
        papers, rest = text.replace(r"$\to$", "->").split(tables.OF_PAIRS)
        unified, own_halves = rest.split(tables.OF_OWN_HALVES)
        for direction, figures in expected.items():
            measured = [f"{figures['measures'][name]['mean']:.4f}" for name in ("mAP", "mAP_asymmetric")]
            lines = [
                line for line in (papers + unified).splitlines() if {"pairs", direction} <= set(line.split())
            ]
            assert len(lines) == (direction not in ("I->I", "T->T"))
            assert all(value in line for line in lines for value in measured)
        assert ("pair->pair" in papers, "I->T" in unified, "pair->pair" in own_halves) == (False,) * 3
    rows = list(csv.DictReader((out / "results.csv").open()))
    measured = {(row["direction"], row["measure"]): row["mean"] for row in rows if row["name"] == "pairs"}
    value = expected["T->pair"]["measures"]["mAP_asymmetric"]
    assert value["low"] < value["mean"] == float(measured["T->pair", "mAP_asymmetric"]) < value["high"]
    assert (out / "plots" / "precision_recall_pairs.png").is_file()


def test_codes_without_labels_are_measured_by_their_own_halves(eval_command, files, tmp_path):
    arrays, out = random_arrays(3, pairs=True), tmp_path / "out"
    bare = {name: arrays[name] for name in ("Qi", "Qt")}
    np.savez(tmp_path / "bare.npz", **bare)
    status, output, error = eval_command(files[0], tmp_path / "bare.npz", f"--out={out}", "--per_query")
    assert (status, error) == (0, "")
    expected = own_half_figures(arrays)
    found = json.loads((out / "results.json").read_text())
    assert found["evaluations"]["bare"] is None
    assert found["own_half"]["bare"] == json.loads(json.dumps(expected))
    assert set(found["own_half"]["ours"]) == {"I->T", "T->I"}  # with labels too
    for text in (output, *((out / f"table.{form}").read_text() for form in ("md", "tex"))):
        first, own_halves = text.split(tables.OF_OWN_HALVES)
        assert ("bare" in first, "bare" in own_halves, "ours" in own_halves) == (False, True, True)
        for name in ("recall@5", "recall_asymmetric@10"):
            assert f"{expected['T->I']['measures'][name]['mean']:.4f}" in own_halves
    with np.load(out / "per_query.npz") as values:
        ranks = values["bare|own half I->T|median_rank"]
        assert np.median(ranks) == expected["I->T"]["measures"]["median_rank"]["mean"]
    assert (out / "plots" / "own_half.png").is_file()
    # The policy for ties is followed.
    assert eval_command(tmp_path / "bare.npz", f"--out={tmp_path / 'b'}", "--ties=pessimistic")[0] == 0
    found = json.loads((tmp_path / "b" / "results.json").read_text())["own_half"]["bare"]["I->T"]
    assert found["ties"] == "pessimistic"
    assert found["measures"]["recall@1"]["mean"] < expected["I->T"]["measures"]["recall@1"]["mean"]


def test_settings_are_followed_and_values_of_every_query_saved_on_demand(eval_command, files, tmp_path):
    options = ("--ties=pessimistic", "--without_relevant=skip", "--plots=False", "--per_query")
    eval_command(files[0], f"--out={tmp_path}", *options)
    assert not (tmp_path / "plots").exists()
    found = json.loads((tmp_path / "results.json").read_text())["evaluations"]["ours"]["I->T"]
    assert (found["ties"], found["without_relevant"]) == ("pessimistic", "skip")
    assert found["measures"]["mAP"]["mean"] == found["mAP_by_ties"]["pessimistic"]
    assert found["mAP_by_ties"]["pessimistic"] < found["mAP_by_ties"]["tie-aware"]
    with np.load(tmp_path / "per_query.npz") as values:
        assert values["ours|I->T|mAP"].shape == (12,)
        counted = 12 - found["queries_without_relevant"]  # the other ones have 0
        for measure, value in found["measures"].items():
            assert values[f"ours|I->T|{measure}"].sum() / counted == pytest.approx(value["mean"])


def test_results_of_other_files_are_not_replaced(eval_command, files, tmp_path):
    out = f"--out={tmp_path / 'out'}"
    for _ in range(2):
        assert eval_command(files[0], out, "--plots=False")[0] == 0
    before = (tmp_path / "out" / "results.json").read_bytes()
    assert not (tmp_path / "out" / "per_query.npz").exists()
    status, _, error = eval_command(files[1], out)
    assert (status, "results of other files" in error) == (1, True)
    assert (tmp_path / "out" / "results.json").read_bytes() == before


def test_a_bad_file_ends_it_before_anything_is_measured(eval_command, files, tmp_path):
    values = random_arrays(0)
    del values["Dt"]
    np.savez(tmp_path / "bad.npz", **values)
    status, output, error = eval_command(files[0], tmp_path / "bad.npz", f"--out={tmp_path / 'out'}")
    assert (status, output, error.count("\n")) == (1, "", 1)
    assert "bad.npz: array Dt is missing" in error
    assert not (tmp_path / "out").exists()


def test_files_of_one_name_are_distinguished_by_their_folders(eval_command, tmp_path):
    paths = [tmp_path / folder / "codes.npz" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        np.savez(path, **random_arrays(0))
    _, output, _ = eval_command(*paths, f"--out={tmp_path / 'out'}", "--plots=False")
    assert {"a/codes.npz", "b/codes.npz"} <= set(output.split())


def test_without_codes_it_says_what_it_expects_and_help_describes_it(eval_command):
    status, _, error = eval_command()
    assert (status, "no codes given; expected files" in error) == (2, True)
    status, output, _ = eval_command("--help")
    assert (status, "eval CODES" in output, "--out=evaluation" in output) == (0, True, True)


def test_tensorflow_is_not_loaded_even_without_numba(repository, files, tmp_path):
    code = (
        "import sys; sys.modules['numba'] = None; from pathlib import Path; from gch.cli import main;"
        f"status = main(['main_itpair.py', 'eval', {str(files[0])!r}, '--out={tmp_path / 'out'}',"
        " '--plots=False'], Path('setting.py'));"
        "sys.exit(status or 'tensorflow' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
