"""Training, testing and exporting from Python."""

import dataclasses
from pathlib import Path
from typing import Any

from gch.data.text_files import read_object
from gch.errors import DataError, RunError
from gch.job import run_job
from gch.run import RunFolder, run_settings
from gch.settings import load_settings


@dataclasses.dataclass(frozen=True)
class Run:
    """A run: a folder with its settings, checkpoints, codes and figures.

    Made by `gch.train` and `gch.open_run`.

    Attributes:
      folder: path of the folder.
    """

    folder: Path

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that it was started with, by name as in setting.py.

        Raises:
          RunError: the folder's settings.json is missing or damaged.
        """
        return RunFolder(self.folder).read_settings()

    @property
    def results(self) -> dict[str, Any]:
        """The figures of its test: the content of results.json.

        `results["mAP"]` and `results["mAP_not_trained_on"]` hold mAP in [0, 1] by direction: 'I->T' for texts
        found by images, and 'T->I', 'I->I', 'T->T'. `results["own_half"]` holds ranks of own halves, which
        stand alone where there are no labels. docs/evaluation.md describes the rest.

        Raises:
          RunError: the run has not been tested, or the file is damaged.
        """
        path = self.folder / "results.json"
        if not path.is_file():
            raise RunError(f"{path}: not found; expected a tested run")
        try:
            return read_object(path, {})
        except DataError as error:
            raise RunError(f"{error}; test the run again") from error

    def test(self, **settings: object) -> "Run":
        """Tests the best checkpoint again; `settings` override those of the evaluation, such as `ties`.

        Raises:
          SettingError: a value is wrong, or the run cannot change it.
          RunError: there is no checkpoint.
        """
        run_job(run_settings(self.folder, settings, "test", "test"))
        return self

    def export(self, out: str | Path | None = None, *, lite: bool = False, **settings: object) -> Path:
        """Writes the best checkpoint as a SavedModel, which `gch.load` opens.

        Args:
          out: the folder to write, in place of a model in it; None or '': `export` in the run's folder.
          lite: whether to write the encoders for TensorFlow Lite too.
          settings: settings that a run may change, such as DATA_DIR if the data have moved.

        Returns:
          The folder of the model.

        Raises:
          SettingError: a value is wrong, or the run cannot change it.
          RunError: there is no checkpoint, or `out` holds something other than a model.
        """
        place = Path(out) if out else None
        run_job(run_settings(self.folder, settings, "export", "export"), place, lite)
        return place or self.folder / "export"


def train(**settings: object) -> Run:
    """Trains a method on image-text pairs, and tests it.

    A stopped run resumes from its last checkpoint. A finished run is only tested.

    Args:
      settings: settings by name, as in setting.py; the others keep their defaults. `gch --help` lists all.

    Returns:
      The run. Its folder is in `checkpoint_dir`.

    Raises:
      SettingError: a setting is unknown, of the wrong type, or out of range.
      DataError: the data are missing or broken.
      GCHError: any other error that the user can fix.

    Example:
      >>> import gch
      >>> run = gch.train(dataset_dir="generated", image_size=16, bit=16, Epoch=1)  # doctest: +SKIP
      >>> run.results["mAP"]["I->T"]  # doctest: +SKIP
    """
    return Run(run_job(load_settings(None, {"phase": "train", **settings}, "gch.train")))


def open_run(folder: str | Path) -> Run:
    """Opens the folder of a run, of this version or an earlier one.

    Raises:
      RunError: the folder holds no run.

    Example:
      >>> import gch
      >>> gch.open_run("nowhere")
      Traceback (most recent call last):
      gch.errors.RunError: nowhere: no settings.json in it; expected the folder of a run
    """
    run = Run(Path(folder))
    run.settings  # noqa: B018 raises where there is none
    return run
