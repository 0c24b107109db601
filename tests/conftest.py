"""What several tests share."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gch.terminal import quiet_stderr

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # it compiles in half the time
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # float32 is compared to many digits on a GPU too


def pytest_configure(config):
    """Gives TensorFlow two CPUs for the tests of several devices, before any module makes a tensor."""
    distributes = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    wanted = any(Path(path).is_dir() or re.search("test_(replicas|encode)", path) for path in config.args)
    if distributes or not wanted:
        return
    with quiet_stderr():
        import tensorflow as tf

        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)


@pytest.fixture(scope="session")
def golden():
    """Opens a file of outputs of the original implementation by name."""
    return lambda name: np.load(Path(__file__).parent / "golden" / f"{name}.npz", allow_pickle=False)


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """The folder of the caches of runs, shared; in it a small backbone."""
    from entry import save_small_backbone

    folder = tmp_path_factory.mktemp("data")
    save_small_backbone(folder / "small.keras")
    return folder


@pytest.fixture
def forbid(monkeypatch) -> Callable[[Path], None]:
    """Makes a file one that may not be opened, for root as well, whom no mode of a file stops."""
    opens = open

    def forbid(path: Path) -> None:
        def guarded(file, *arguments, **options):
            if isinstance(file, (str, os.PathLike)) and Path(file) == path:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return opens(file, *arguments, **options)

        for name in ("builtins.open", "io.open"):
            monkeypatch.setattr(name, guarded)

    return forbid


@pytest.fixture
def command(repository, capsys, monkeypatch) -> Callable:
    """Runs the command line in this process: exit status, standard output and standard error."""
    from gch.cli import main

    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")

    def run(*arguments):
        status = main(["main_itpair.py", *map(str, arguments)], repository / "setting.py")
        return status, *capsys.readouterr()

    return run
