import json

import pytest

from gch.errors import RunError, SettingError
from gch.run import RunFolder, run_name, run_settings
from gch.settings import load_settings


def settings(**changes):
    return load_settings(None, changes)


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.start(settings(), "data")
    yield run
    run.close()


@pytest.mark.parametrize(
    ("changes", "dataset", "name"),
    [
        ({}, "openmoji", "openmoji_gch_efficientnet-lite0_64_seed0"),
        (
            {"netStr": "some/where/Net.keras", "backbone": "trained", "preset": "reference", "seed": 3},
            "flickr25k",
            "flickr25k_gch-reference_net-trained_64_seed3",
        ),
        ({"preset": "agah_paper"}, "coco", "coco_agah-paper_vggf-trained_64_seed0"),
        ({"run_name": "mine"}, "openmoji", "mine"),
        ({"txtStr": "sentences"}, "openmoji", "openmoji_gch_efficientnet-lite0-sentences_64_seed0"),
    ],
)
def test_the_name_tells_runs_apart(changes, dataset, name):
    assert run_name(settings(**changes), dataset) == name


def test_a_run_goes_on_with_the_same_settings_and_data_only(run):
    run.check(settings(), "data")
    run.check(settings(Epoch=50, log_dir="elsewhere"), "data")
    with pytest.raises(RunError, match=r"started with lr_img = 0\.003, the settings say 0\.5"):
        run.check(settings(lr_img=0.5), "data")
    with pytest.raises(RunError, match="not started with this data"):
        run.check(settings(), "other data")


def test_testing_needs_a_checkpoint(tmp_path):
    with pytest.raises(RunError, match="no checkpoint to test"):
        RunFolder(tmp_path / "run").open(settings(phase="test"), "data")
    assert not (tmp_path / "run").exists()


def test_a_run_of_an_earlier_version_lacks_settings_and_has_others(run, capsys):
    path = run.path / "settings.json"
    noted = json.loads(path.read_text())
    del noted["settings"]["pair_scale"], noted["settings"]["graph_regression"]
    noted["settings"] |= {"graph_tie": noted["settings"].pop("graph_agreement"), "margin": 0.3, "gone": 1}
    path.write_text(json.dumps(noted))
    run.check(settings(graph_regression=False), "data")
    assert run.read_settings() == settings(graph_regression=False).values()
    with pytest.raises(RunError, match=r"started with pair_scale = 16\.0"):
        run.check(settings(graph_regression=False, pair_scale=1.0), "data")
    with pytest.raises(RunError, match=r"started with graph_regression = False"):
        run.check(settings(), "data")
    assert run.adopt(settings()) == settings(graph_regression=False)
    assert "an earlier version began this run; graph_regression stays False" in capsys.readouterr().out


def test_a_run_of_this_version_keeps_all_its_settings(run, capsys):
    for given in (settings(), settings(method="agah")):
        assert run.adopt(given) == given
    assert RunFolder(run.path.parent / "new").adopt(settings()) == settings()
    assert capsys.readouterr().out == ""


def test_a_runs_settings_are_those_it_was_started_with(run):
    found = run_settings(run.path, {"ties": "stable"}, "export", "export")
    expected = {
        "phase": "export",
        "ties": "stable",
        "checkpoint_dir": str(run.path.parent),
        "run_name": "run",
    }
    assert found.values() == settings().values() | expected
    with pytest.raises(SettingError, match="export: bit cannot change; a run keeps"):
        run_settings(run.path, {"bit": 8}, "export", "export")


@pytest.mark.parametrize(
    "content", ["", "{", "[" * 100_000, '{"settings": {}}', '{"digests": {}, "settings": {"bit": "8"}}']
)
def test_a_damaged_settings_file_is_named(tmp_path, content):
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(RunError, match=r"settings\.json"):
        RunFolder(tmp_path).start(settings(), "data")


def test_a_run_that_is_open_is_not_opened_again(run):
    with pytest.raises(RunError, match="another process is working on this run"):
        RunFolder(run.path).start(settings(), "data")
    run.close()
    RunFolder(run.path).start(settings(), "data")


def test_history_is_replaced_whole(run):
    assert run.read_history() == []
    for seconds in (1.0, 2.0):
        run.write_history([{"epoch": 1, "seconds": seconds}])
        assert run.read_history() == [{"epoch": 1, "seconds": seconds}]


def test_halves_of_checkpoints_go_and_whole_ones_stay(run):
    folder = run.path / "latest"
    (folder / "ckpt-4_temp").mkdir(parents=True)
    for name in ("ckpt-2.index", "ckpt-3.index", "ckpt-3.data-00000-of-00001", "ckpt-4.index", "mine"):
        (folder / name).touch()
    (folder / "checkpoint").write_text('model_checkpoint_path: "ckpt-3"\n')
    run.close()
    again = RunFolder(run.path)
    again.start(settings(), "data")
    again.close()
    left = {path.name for path in folder.iterdir()}
    assert left == {"checkpoint", "mine", "ckpt-3.index", "ckpt-3.data-00000-of-00001"}


def test_without_its_latest_checkpoint_a_run_does_not_go_on_but_is_tested(run):
    (run.path / "best").mkdir()
    for name in ("ckpt-1.index", "ckpt-1.data-00000-of-00001"):
        (run.path / "best" / name).touch()
    (run.path / "best" / "checkpoint").write_text('model_checkpoint_path: "ckpt-1"\n')
    run.write_history([{"epoch": epoch, "seconds": 1.0} for epoch in (1, 2)])
    run.close()
    again = RunFolder(run.path)
    with pytest.raises(RunError, match="; test and export still work"):
        again.start(settings(), "data")
    again.close()
    for phase in ("test", "export"):
        again = RunFolder(run.path)
        again.open(settings(phase=phase), "data")
        again.close()
