import json
import subprocess
import sys

import pytest

from gch.errors import RunError
from gch.run import FREE_SETTINGS, RunFolder, run_name
from gch.settings import Settings, load_settings


@pytest.fixture(scope="module")
def settings(repository):
    return lambda **changes: load_settings(repository / "setting.py", changes)


def test_the_name_tells_runs_apart(settings):
    assert run_name(settings(), "openmoji") == "openmoji_gch_efficientnet-lite0_64_seed0"
    other = settings(netStr="some/where/Net.keras", backbone="trained", preset="reference", bit=16, seed=3)
    assert run_name(other, "flickr25k") == "flickr25k_gch-reference_net-trained_16_seed3"
    named = settings(preset="flickr25k")  # the data set's name already says it
    assert run_name(named, "flickr25k") == "flickr25k_gch_efficientnet-lite0_64_seed0"
    assert run_name(settings(run_name="mine"), "openmoji") == "mine"


def test_free_settings_exist():
    assert set(Settings.__dataclass_fields__) >= FREE_SETTINGS


def test_a_run_goes_on_with_the_same_settings_only(settings, tmp_path):
    RunFolder(tmp_path / "run").start(settings(), "data")
    RunFolder(tmp_path / "run").start(settings(Epoch=50, log_dir="elsewhere"), "data")
    with pytest.raises(RunError, match=r"started with lr_img = 0\.003, the settings say 0\.5"):
        RunFolder(tmp_path / "run").start(settings(lr_img=0.5), "data")
    with pytest.raises(RunError, match="another data"):
        RunFolder(tmp_path / "run").start(settings(), "other data")


def test_a_run_keeps_to_its_backbone(settings, tmp_path):
    run = RunFolder(tmp_path / "run")
    run.start(settings(), "data")
    run.bind("backbone", "one")
    run.bind("backbone", "one")
    with pytest.raises(RunError, match="another backbone"):
        run.bind("backbone", "two")


def test_testing_needs_a_checkpoint(settings, tmp_path):
    with pytest.raises(RunError, match="no checkpoint to test"):
        RunFolder(tmp_path / "run").open(settings(phase="test"), "data")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"settings": 3}', '{"settings": {}}'])
def test_a_damaged_settings_file_is_named(settings, tmp_path, content):
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(RunError, match=r"settings\.json"):
        RunFolder(tmp_path).start(settings(), "data")


def test_two_processes_do_not_share_a_run(settings, tmp_path):
    run = RunFolder(tmp_path / "run")
    run.start(settings(), "data")
    code = (
        "import sys; from pathlib import Path; from gch.run import RunFolder;"
        "from gch.settings import load_settings;"
        "RunFolder(Path(sys.argv[1])).start(load_settings(Path(sys.argv[2]), {}), 'data')"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "run"), "setting.py"]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert "another process is working on this run" in result.stderr


def test_history_is_replaced_whole(tmp_path):
    run = RunFolder(tmp_path)
    assert run.read_history() == []
    run.write_history([{"epoch": 1}])
    assert run.read_history() == [{"epoch": 1}]
    assert json.loads((tmp_path / "history.json").read_text()) == [{"epoch": 1}]
