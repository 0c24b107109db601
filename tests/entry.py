"""Running the real entry point with small settings: in this process, or as one that can be killed."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.io

SIZE = 64  # of pictures
SIZES = {"QUERY_SIZE": 100, "DATABASE_SIZE": 500, "TRAINING_SIZE": 300, "VERIFICATION_SIZE": 60}
SCHEDULE = {"Epoch": 2, "batch_size": 50, "MAX_ITER": 10, "k_lab": 2, "k_txt": 3, "k_img": 3, "k_gph": 1}
UNSEEN = {"panel_queries": 0, "plots": False, "histograms": False}
QUICK = {"k_txt_g": 2, "k_img_g": 2, "bit": 16, "seed": 5} | UNSEEN
SMALL = {"dataset_dir": "generated", "image_size": SIZE} | SIZES | SCHEDULE | QUICK
DCMH = {"method": "dcmh", "k_dcmh": 10, "img_widths": "", "txt_widths": "64"}
LONGEST = 300  # seconds


def small_backbone(size: int = SIZE):
    """A convolution with batch norm, for what would take EfficientNet half a minute to train."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((size, size, 3)),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(16, 8, strides=4, kernel_initializer=keras.initializers.GlorotUniform(seed=0)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
        ]
    )


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """Within the `with` block, training runs operation by operation: a stage takes as long to trace as dozens
    of its steps. What encodes is compiled.
    """
    from gch.training.loop import StageLoop

    init = StageLoop.__init__

    def plain(self, *arguments, **options):
        init(self, *arguments, **options)
        self._step, self._run_drawn, self._run_streamed = self._packed, self._drawn, self._streamed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StageLoop, "__init__", plain)
        patch.setattr(StageLoop, "trace", lambda self: None)
        yield


@contextlib.contextmanager
def under(policy: str) -> Iterator[None]:
    """Within the `with` block, layers are made under a policy of Keras, such as 'mixed_bfloat16'."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def wait_for_checkpoint(run: Path, process: subprocess.Popen) -> None:
    """Waits until a process has saved the first checkpoint of a run."""
    while not (run / "latest" / "checkpoint").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


class Command:
    """Runs main_itpair.py on generated pairs, with small settings, in a folder of the test's own.

    `data` is the folder that the fixture of that name gives. A setting that is None is that of setting.py.
    """

    def __init__(self, repository: Path, folder: Path, data: Path, **settings):
        self.folder, self._repository = folder, repository
        places = {"DATA_DIR": data, "checkpoint_dir": folder / "runs", "log_dir": folder / "logs"}
        self._settings = SMALL | {"netStr": data / "small.keras"} | places | settings

    def _arguments(self, words: tuple[str, ...], settings: dict) -> list[str]:
        given = self._settings | settings
        flags = [f"--{name}={value}" for name, value in given.items() if value is not None]
        return ["main_itpair.py", *words, *flags]

    def start(self, *words: str, environment: dict | None = None, **settings) -> subprocess.Popen:
        """Starts it; an entry of `environment` that is None is left out."""
        variables = os.environ | {"PYTHONUNBUFFERED": "1"} | (environment or {})
        return subprocess.Popen(
            [sys.executable, *self._arguments(words, settings)],
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
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
            status = main(self._arguments(words, settings), self._repository / "setting.py")
        assert status == expect, output.getvalue() + error.getvalue()
        return output.getvalue(), error.getvalue()

    @property
    def run_folder(self) -> Path:
        (folder,) = (self.folder / "runs").iterdir()
        return folder

    @property
    def results(self) -> dict:
        return json.loads((self.run_folder / "results.json").read_text())

    def codes(self) -> dict[str, np.ndarray]:
        (file,) = self.run_folder.glob("*_16.mat")
        return {name: array for name, array in scipy.io.loadmat(file).items() if not name.startswith("__")}

    def chance(self) -> float:
        """The mAP of random codes: the share of the retrieval set that is relevant to a query."""
        codes = self.codes()
        return (codes["query_L"].astype(int) @ codes["retrieval_L"].T.astype(int) > 0).mean()
