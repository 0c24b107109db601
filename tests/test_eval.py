import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.io
from records import directions, random_arrays


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


def test_values_of_every_query_are_saved_on_demand_and_plots_left_out(eval_command, files, tmp_path):
    eval_command(files[0], f"--out={tmp_path}", "--plots=False")
    assert not (tmp_path / "per_query.npz").exists()
    eval_command(files[0], f"--out={tmp_path}", "--plots=False", "--per_query")
    assert not (tmp_path / "plots").exists()
    found = json.loads((tmp_path / "results.json").read_text())["evaluations"]["ours"]["T->I"]["measures"]
    with np.load(tmp_path / "per_query.npz") as values:
        assert values["ours|T->I|mAP"].shape == (12,)
        for measure, value in found.items():
            assert values[f"ours|T->I|{measure}"].mean() == pytest.approx(value["mean"])


def test_the_policies_of_the_settings_are_followed(eval_command, files, tmp_path):
    eval_command(
        files[0], f"--out={tmp_path}", "--ties=pessimistic", "--without_relevant=skip", "--plots=False"
    )
    found = json.loads((tmp_path / "results.json").read_text())["evaluations"]["ours"]["I->T"]
    assert (found["ties"], found["without_relevant"]) == ("pessimistic", "skip")
    assert found["measures"]["mAP"]["mean"] == found["mAP_by_ties"]["pessimistic"]
    assert found["mAP_by_ties"]["pessimistic"] < found["mAP_by_ties"]["tie-aware"]


def test_results_of_other_files_are_not_replaced(eval_command, files, tmp_path):
    out = f"--out={tmp_path / 'out'}"
    for _ in range(2):
        assert eval_command(files[0], out, "--plots=False")[0] == 0
    before = (tmp_path / "out" / "results.json").read_bytes()
    status, _, error = eval_command(files[1], out)
    assert status == 1
    assert "results of other files" in error
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
    assert "a/codes.npz" in output
    assert "b/codes.npz" in output


def test_without_codes_it_says_what_it_expects_and_help_describes_it(eval_command):
    status, _, error = eval_command()
    assert (status, "no codes given; expected files" in error) == (2, True)
    status, output, _ = eval_command("--help")
    assert status == 0
    assert "eval CODES" in output
    assert "--out=evaluation" in output


def test_tensorflow_is_not_loaded_even_without_numba(repository, files, tmp_path):
    code = (
        "import sys; sys.modules['numba'] = None; from pathlib import Path; from gch.cli import main;"
        f"status = main(['main_itpair.py', 'eval', {str(files[0])!r}, '--out={tmp_path / 'out'}',"
        " '--plots=False'], Path('setting.py'));"
        "sys.exit(status or 'tensorflow' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
