"""Folders of runs that a version with fewer settings has left."""

import json

import pytest
from gch.commands.catalog import Call

from gch.commands.export import _settings_of
from gch.errors import SettingError
from gch.run import RunFolder
from gch.settings import load_settings


@pytest.fixture
def without(repository, tmp_path):
    """Starts a run, and takes settings from what it noted."""

    def start(*names: str):
        RunFolder(tmp_path / "run").start(load_settings(repository / "setting.py", {"bit": 8}), "data")
        path = tmp_path / "run" / "settings.json"
        noted = json.loads(path.read_text())
        for name in names:
            del noted["settings"][name]
        path.write_text(json.dumps(noted))
        return tmp_path / "run"

    return start


@pytest.fixture
def call(repository):
    def load(flags):
        return load_settings(repository / "setting.py", flags)

    return Call([], {}, {}, load)


def test_a_setting_that_changes_nothing_learned_is_filled_in(without, call):
    settings = _settings_of(without("own_neighbour"), call)
    assert settings.own_neighbour is True
    assert settings.bit == 8


def test_a_setting_that_changes_what_is_learned_is_not(without, call):
    with pytest.raises(SettingError, match="started without pair_scale"):
        _settings_of(without("pair_scale"), call)
