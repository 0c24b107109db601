"""Running the real entry point with small settings: in this process, or as one that can be killed."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.io

SIZES = {
    "image_size": 64,
    "QUERY_SIZE": 100,
    "DATABASE_SIZE": 600,
    "TRAINING_SIZE": 400,
    "VERIFICATION_SIZE": 80,
}
SCHEDULE = {"Epoch": 2, "batch_size": 50, "MAX_ITER": 20, "k_lab": 2, "k_txt": 3, "k_img": 3, "k_gph": 1}
QUICK = {"k_txt_g": 2, "k_img_g": 2, "bit": 16, "panel_queries": 2, "seed": 5, "plots": False}
LONGEST = 300  # seconds


def save_small_backbone(path: Path) -> None:
    """A convolution with batch norm, for what would take EfficientNet half a minute to train."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((SIZES["image_size"], SIZES["image_size"], 3)),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(16, 8, strides=4, kernel_initializer=keras.initializers.GlorotUniform(seed=0)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
        ]
    )
    model.save(path)


class Killed(Exception):
    """Ends a run as a kill does: it saves nothing more."""


@contextlib.contextmanager
def interrupted(stage: str, step: int, how: Callable[[], object]) -> Iterator[None]:
    """Calls `how` as soon as a stage has done `step` steps, counted over all outer epochs."""
    from gch.training.summaries import Summaries

    losses = Summaries.losses

    def interrupting(summaries: Summaries, name: str, done: int, *rest) -> None:
        losses(summaries, name, done, *rest)
        if name == stage and done >= step:
            how()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Summaries, "losses", interrupting)
        yield


def kill() -> None:
    """Ends the run as a kill does."""
    raise Killed


def read_until(process: subprocess.Popen, line: str) -> None:
    """Reads what a process prints up to a line."""
    for found in process.stdout:
        if found.strip() == line:
            return


class Command:
    """Runs main_itpair.py with small settings in a folder of the test's own."""

    def __init__(self, repository: Path, folder: Path, data: Path, leave_out: tuple[str, ...] = ()):
        self.folder, self._repository = folder, repository
        places = {"DATA_DIR": data, "checkpoint_dir": folder / "runs", "log_dir": folder / "logs"}
        settings = SIZES | SCHEDULE | QUICK | places
        self._settings = {name: value for name, value in settings.items() if name not in leave_out}

    def flags(self, **settings) -> list[str]:
        """The settings as flags."""
        return [f"--{name}={value}" for name, value in (self._settings | settings).items()]

    def start(self, *words: str, environment: dict | None = None, **settings) -> subprocess.Popen:
        """Starts it; an entry of `environment` that is None is left out."""
        variables = os.environ | {"PYTHONUNBUFFERED": "1"} | (environment or {})
        return subprocess.Popen(
            [sys.executable, "main_itpair.py", *words, *self.flags(**settings)],
            cwd=self._repository,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={name: value for name, value in variables.items() if value is not None},
            start_new_session=True,
        )

    def run(self, *words: str, expect: int = 0, **settings) -> tuple[str, str]:
        """Runs it in this process; returns what it prints, and its errors."""
        from gch.cli import main

        output, error = io.StringIO(), io.StringIO()
        arguments = ["main_itpair.py", *words, *self.flags(**settings)]
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
            status = main(arguments, self._repository / "setting.py")
        assert status == expect, output.getvalue() + error.getvalue()
        return output.getvalue(), error.getvalue()

    def finish(self, *words: str, **settings) -> str:
        """Runs it as a process; returns what it prints."""
        process = self.start(*words, **settings)
        output, error = process.communicate(timeout=LONGEST)
        assert process.returncode == 0, output + error
        return output

    @property
    def run_folder(self) -> Path:
        (folder,) = (self.folder / "runs").iterdir()
        return folder

    def codes(self) -> dict[str, np.ndarray]:
        found = scipy.io.loadmat(self.run_folder / "openmoji_16.mat")
        return {name: array for name, array in found.items() if not name.startswith("__")}
