"""What several tests share."""

import contextlib
import gc
import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from gch.data.mat_file import load_here
from gch.terminal import quiet_stderr

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault(  # XLA's code runs a few steps only
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
for threads in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):  # the processes of pytest share the cores
    os.environ.setdefault(threads, "1")
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # float32 is compared to many digits on a GPU too

gc.set_threshold(700, 10, 50)  # full garbage collections take most of a second each with TensorFlow loaded

# The same examples in every run; `explore` draws others, and more of them.
settings.register_profile("repeat", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("explore", derandomize=False, deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


def pytest_collection_modifyitems(items):
    """Puts the files that train first, so that neither worker waits long for the other's last file."""
    long = re.compile("test_(entry|label_graph|pair_graph|text_encoder|stage|vggf|report|replicas)")
    items.sort(key=lambda item: not long.match(item.path.name))


def pytest_collection_finish():
    """Takes what is imported out of garbage collection."""
    gc.collect()
    gc.freeze()


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


@pytest.fixture(scope="session", autouse=True)
def unsynced():
    """Files are not forced to the disk, which takes some ms each: no test outlives a loss of power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


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
    from entry import small_backbone

    folder = tmp_path_factory.mktemp("data")
    small_backbone().save(folder / "small.keras")
    return folder


@pytest.fixture
def v5_here(monkeypatch) -> None:
    """MATLAB v5 files are read in this process: starting one for each array takes 0.3 s."""
    monkeypatch.setattr("gch.data.array_files.load_mat5", load_here)


@pytest.fixture(scope="session")
def command(repository) -> Callable:
    """Runs the command line in this process: exit status, standard output and standard error."""
    from gch.cli import main

    def run(*arguments):
        streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", write_through=True) for _ in range(2)]
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
            status = main(["main_itpair.py", *map(str, arguments)], repository / "setting.py")
        return status, *(stream.buffer.getvalue().decode() for stream in streams)

    return run


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder that the module's server may make, of the pictures that it shows."""
    return tmp_path_factory.mktemp("served") / "pictures"


@pytest.fixture(scope="session")
def loaded_models() -> dict:
    """What `load_once` loaded."""
    return {}


@pytest.fixture(scope="module")
def load_once(loaded_models):
    """Loads a SavedModel of the same bytes on the same device once; it has no state."""
    import tensorflow as tf

    load = tf.saved_model.load

    def load_once(place: str) -> object:
        files = sorted(path for path in Path(place).rglob("*") if path.parent.name != "networks")
        content = tuple(path.read_bytes() for path in files if path.is_file() and path.suffix != ".json")
        key = tf.zeros(()).device, content
        if key not in loaded_models:
            loaded_models[key] = load(place)
        return loaded_models[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.saved_model, "load", load_once)
        yield
