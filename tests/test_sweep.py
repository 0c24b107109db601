import json
import os

import pytest
from records import write_run

from gch.evaluation.evaluate import NEW_ITEMS
from gch.settings import load_settings


@pytest.fixture
def sweep(command, tmp_path):
    places = f"--checkpoint_dir={tmp_path / 'runs'}", f"--out={tmp_path / 'out'}"
    return lambda *arguments: command("sweep", *arguments, *places)


@pytest.fixture
def finished(repository, tmp_path):
    """Writes what runs that are finished have left."""

    def write(name: str, **settings):
        write_run(tmp_path / "runs" / name, load_settings(repository / "setting.py", settings))

    return write


def test_finished_runs_are_not_repeated_and_their_table_is_told(sweep, finished, tmp_path):
    for bit in (8, 16):
        for seed in (0, 3):
            finished(f"openmoji_gch_efficientnet-lite0_{bit}_seed{seed}", bit=bit, seed=seed)
    status, output, _ = sweep("--bits=8,16,8", "--seeds=0,3", "--methods=gch,gch")
    assert status == 0
    assert "Runs of this sweep: 4; finished before: 4" in output
    lines = (tmp_path / "out" / "sweep.md").read_text().splitlines()
    assert lines[4:] == ["", NEW_ITEMS]
    assert NEW_ITEMS in output
    assert [line.split(" | ")[0:2] for line in lines[2:4]] == [
        ["| OpenMoji gch", "8"],
        ["| OpenMoji gch", "16"],
    ]
    assert lines[2].endswith("| 31 | 2 |")
    assert len(lines[2].split(" ± ")) == 5  # both directions over all items and over new ones
    assert ",new,tie-aware,mAP," in (tmp_path / "out" / "sweep.csv").read_text()
    assert "new items I$\\to$T" in (tmp_path / "out" / "sweep.tex").read_text()


def test_presets_count_as_methods_and_have_runs_of_their_own(sweep, finished):
    finished("openmoji_gch_efficientnet-lite0_8_seed0", bit=8)
    finished("openmoji_gch-reference_efficientnet-lite0_8_seed0", bit=8, preset="reference")
    status, output, _ = sweep("--bits=8", "--seeds=0", "--methods=gch,reference")
    assert status == 0
    assert "OpenMoji gch reference" in output


def test_a_run_of_other_settings_is_not_taken_for_the_sweeps(sweep, finished):
    finished("openmoji_gch_efficientnet-lite0_8_seed0", bit=8, lr_img=0.5)
    status, _, error = sweep("--bits=8", "--seeds=0")
    assert status == 1
    assert "has lr_img = 0.5, the sweep needs 0.003" in error


@pytest.mark.parametrize("other", [{"own_neighbour": False}, {"ties": "stable"}, {"Epoch": 3}, {}])
def test_a_run_whose_results_are_not_those_of_this_sweep_is_started_again(
    sweep, finished, tmp_path, monkeypatch, other
):
    name = "openmoji_gch_efficientnet-lite0_8_seed0"
    finished(name, bit=8, **other)
    if other:
        flags = [f"--{setting}={value}" for setting, value in other.items()]
        assert sweep("--bits=8", "--seeds=0", *flags)[0] == 0
    else:  # tested by an older version
        path = tmp_path / "runs" / name / "results.json"
        held = json.loads(path.read_text())
        del held["evaluation"]
        path.write_text(json.dumps(held))
    monkeypatch.setattr("sys.executable", "false")
    status, output, _ = sweep("--bits=8", "--seeds=0")
    assert status == 1  # it tried to, by a program that fails
    assert "finished before: 0" in output


def test_other_places_of_data_make_no_other_run(sweep, finished):
    finished("openmoji_gch_efficientnet-lite0_8_seed0", bit=8, DATA_DIR="elsewhere")
    assert sweep("--bits=8", "--seeds=0")[0] == 0


@pytest.mark.parametrize("changed", ["place", "content"])
def test_a_run_whose_data_may_be_others_is_tested_again(sweep, finished, tmp_path, monkeypatch, changed):
    data, name = tmp_path / "data.npz", "files_gch_efficientnet-lite0_8_seed0"
    data.touch()
    finished(name, bit=8, dataset_dir="files", DATA_DIR=str(data))
    arguments = ["--bits=8", "--seeds=0", "--dataset_dir=files"]
    assert "finished before: 1" in sweep(*arguments, f"--DATA_DIR={data}")[1]
    called: list = []
    monkeypatch.setattr("gch.commands.sweep.run_child", lambda *call: called.append(call) or (1, ""))
    if changed == "place":
        data = data.rename(tmp_path / "moved.npz")
    else:
        os.utime(tmp_path / "runs" / name / "results.json", (0, 0))
    assert "finished before: 0" in sweep(*arguments, f"--DATA_DIR={data}")[1]
    # It says which run, because that of a prepared set may have another name.
    assert f"--run_name={name}" in called[0][0]


def test_a_run_that_fails_ends_the_sweep_with_its_words(sweep, tmp_path):
    status, output, error = sweep("--bits=8", "--dataset_dir=FLICKR", f"--DATA_DIR={tmp_path}")
    assert status == 1
    assert output.count("started") == 1  # of three
    assert "ended with status 1" in error
    assert "FLICKR-25K.mat" in error
