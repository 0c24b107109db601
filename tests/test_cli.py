import dataclasses
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest

import gch
from gch.cli import main
from gch.commands import COMMANDS
from gch.job import _prepare_tensorflow
from gch.rules import flag_name
from gch.settings import fields


def test_help_lists_every_setting_with_its_default_and_meaning(command):
    for arguments in (["--help"], ["-h"], ["help"]):
        status, output, _ = command(*arguments)
        assert status == 0
        for section, field in fields():
            assert f"\n{section}:\n" in output
            assert f"--{field.name}=" in output
        assert "--bit=64\n      length K of a code in bits" in output
        assert "--settings=FILE" in output


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_lists_its_flags(command, name):
    status, output, _ = command(name, "--help")
    assert (status, output, "") == command("help", name)
    assert output.startswith(f"Usage: python main_itpair.py {name} ")
    assert all(f"--{flag_name(flag)}=" in output for flag in dataclasses.fields(COMMANDS[name]))


def test_a_setting_that_a_command_does_not_read_is_said_and_not_in_its_help(command):
    _, output, _ = command("index", "--help")
    assert "Settings are flags" not in output
    _, output, _ = command("export", "--help")
    assert "Settings are flags" in output
    _, _, errors = command("index", "--bit=16")
    assert errors.splitlines()[0] == "flag: bit is a setting, which index does not read"


def test_help_names_agahs_options_too(command):
    _, output, _ = command("--help")
    for name, alias in (("Epoch", "max_epoch"), ("DATA_DIR", "data_path"), ("DATABASE_SIZE", "db_size")):
        meaning = output.split(f"  --{name}=")[1].split("\n  --")[0]
        assert f"(also --{alias})" in " ".join(meaning.split())


def test_the_version_is_the_package_s(command):
    assert command("--version") == (0, f"gch {gch.__version__}\n", "")


def test_neither_the_package_nor_its_help_loads_numpy_or_tensorflow(repository):
    code = (
        "import gch, sys; dir(gch); from pathlib import Path; from gch.cli import main;"
        "main(['main_itpair.py', '--help'], Path('setting.py'));"
        "sys.exit('tensorflow' in sys.modules or 'numpy' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "Usage:" in result.stdout


def test_a_command_works_without_standard_output(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)  # as after `>&-`
    assert main(["gch", "help"]) == 0


@pytest.mark.parametrize("words", [["help"], ["inspect", "FILE"]])
def test_a_command_ends_quietly_when_its_reader_stops(tmp_path, words):
    np.savez(tmp_path / "data.npz", images=np.ones((4, 64), np.float32), texts=np.eye(4), labels=np.eye(4))
    words = [str(tmp_path / "data.npz") if word == "FILE" else word for word in words]
    reads, writes = os.pipe()
    os.close(reads)
    process = subprocess.run([sys.executable, "-m", "gch", *words], stdout=writes, stderr=subprocess.PIPE)
    os.close(writes)
    assert (process.returncode, process.stderr) == (141, b"")


def test_the_cache_of_xla_may_lie_in_any_folder(tmp_path, monkeypatch):
    """TensorFlow reads blanks, quotes and backslashes in its flags as shells do."""
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_auto_jit=2")
    folder = tmp_path / 'my "own" \\ data'
    for _ in range(2):
        _prepare_tensorflow(folder)
    cache = f"--tf_xla_persistent_cache_directory={folder / 'xla'}"
    assert shlex.split(os.environ["TF_XLA_FLAGS"]) == ["--tf_xla_auto_jit=2", cache]
