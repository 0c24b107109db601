"""The folder of a run: what it holds, and whether it fits the settings it is used with.

settings.json    the settings it was started with, and the digests of data and backbone
split.npz, .mat  rows of the query, retrieval, training and validation items (MATLAB's count from 1)
vocabulary.json  words of raw texts
latest/, best/   checkpoints
history.json     validation figures of every outer epoch
<dataset>_<bit>.mat, results.json    codes and figures of the test phase
plots/, panels/  pictures of the test phase
export/          the model as others use it
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from gch.errors import RunError, SettingError
from gch.settings import Settings, canonical, checked_values, defaults, free_settings, make_settings
from gch.storage import lock, write_json


def run_name(settings: Settings, dataset: str) -> str:
    """The name of a run: `run_name`, or one made of data set, method, backbone, bit and seed."""
    if settings.run_name:
        return settings.run_name
    backbone = Path(settings.netStr).stem.lower()
    trained = "-trained" if settings.backbone == "trained" else ""
    preset = settings.preset.removeprefix(settings.method).removeprefix("_")
    preset = f"-{preset}" if preset else ""
    return f"{dataset}_{settings.method}{preset}_{backbone}{trained}_{settings.bit}_seed{settings.seed}"


def run_settings(folder: Path, given: Mapping[str, object], phase: str, where: str) -> Settings:
    """The settings that a run was started with.

    A setting that an earlier version did not know has its default.

    Args:
      folder: of the run.
      given: new values of settings that a run may change, by name.
      phase: the phase to run.
      where: the source of `given`, for messages.

    Raises:
      RunError: the folder holds no run.
      SettingError: a value is wrong, or the run cannot change it.
    """
    folder = folder.resolve()
    given = checked_values(given, where)
    fixed = sorted(given.keys() - free_settings())
    if fixed:
        raise SettingError(f"{where}: {fixed[0]} cannot change; a run keeps what it was started with")
    place = {"phase": phase, "checkpoint_dir": str(folder.parent), "run_name": folder.name}
    return make_settings(RunFolder(folder).read_settings() | given | place)


def require_checkpoint(folder: Path) -> None:
    """Raises RunError unless the folder of a run holds a best checkpoint that another run may start from."""
    if not RunFolder(folder).has_checkpoint():
        raise RunError(f"{folder}: no best checkpoint; load_model_path expects the folder of a trained run")


class RunFolder:
    """The folder of a run. From `start` or `open` to `close`, no other process can use it.

    Attributes:
      writes: whether this process writes to it. Of several workers one does; the others check and read.
    """

    def __init__(self, path: Path, writes: bool = True):
        self.path, self.writes = path, writes
        self.split = path / "split.npz"
        self.split_for_matlab = path / "split.mat"
        self.vocabulary = path / "vocabulary.json"
        self.results = path / "results.json"
        self._settings = path / "settings.json"
        self._history = path / "history.json"
        self._lock: BaseFileLock | None = None

    def start(self, settings: Settings, data_digest: str) -> None:
        """Creates the folder, or checks that the run in it has these settings and this data.

        Raises:
          RunError: the run was started with other settings or other data, or another process uses it.
        """
        if self._settings.exists():
            self.check(settings, data_digest)
            self._take_lock()
        elif self.writes:
            self._take_lock()
            write_json(self._settings, {"digests": {"data": data_digest}, "settings": settings.values()})

    def open(self, settings: Settings, data_digest: str) -> None:
        """Checks that there is a trained run that fits the settings.

        Raises:
          RunError: there is no checkpoint, or the run has other settings or data, or is in use.
        """
        if not self.has_checkpoint():
            raise RunError(
                f"{self.path}: no checkpoint to {settings.phase}; train first, with the same settings"
            )
        self.check(settings, data_digest)
        self._take_lock()

    def close(self) -> None:
        """Lets other processes use the folder."""
        if self._lock:
            self._lock.release()

    def check(self, settings: Settings, data_digest: str) -> None:
        """Raises RunError unless the run in the folder has these settings and this data."""
        started, free = self.read_settings(), free_settings()
        for name, now in settings.values().items():
            if name not in free and started.get(name) != now:
                raise RunError(
                    f"{self.path}: this run was started with {name} = {started.get(name)!r}, "
                    f"the settings say {now!r}; restore it, or set another run_name"
                )
        self.bind("data", data_digest)

    def bind(self, name: str, digest: str) -> None:
        """Stores the digest of something that the run depends on, or checks it against the stored one.

        Raises:
          RunError: the digests differ.
        """
        if not (self.writes or self._settings.exists()):
            return
        started = self._read()
        noted = started["digests"].get(name)
        if noted is None:
            if self.writes:
                started["digests"][name] = digest
                write_json(self._settings, started)
        elif noted != digest:
            raise RunError(f"{self.path}: this run was started with another {name}; set another run_name")

    def read_settings(self) -> dict[str, Any]:
        """The settings that the run was started with, by name; those its version lacked have defaults.

        Raises:
          RunError: there is no run, or its file of settings is damaged.
        """
        found = {canonical(name): value for name, value in self._read()["settings"].items()}
        method = str(found.get("method", "gch"))
        try:
            known = defaults(method)
            return known | checked_values(
                {name: value for name, value in found.items() if name in known}, str(self._settings), method
            )
        except SettingError as error:
            raise RunError(str(error)) from error

    def _read(self) -> dict:
        try:
            found = json.loads(self._settings.read_text(encoding="utf-8"))
            if not (isinstance(found["settings"], dict) and isinstance(found["digests"], dict)):
                raise ValueError("expected an object with 'settings' and 'digests'")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise RunError(f"{self._settings}: not the settings of a run: {error}") from error
        return found

    def has_checkpoint(self) -> bool:
        """Whether there is a best checkpoint."""
        return (self.path / "best" / "checkpoint").is_file()

    def read_history(self) -> list[dict]:
        """Figures of the finished outer epochs, oldest first."""
        return json.loads(self._history.read_text(encoding="utf-8")) if self._history.exists() else []

    def write_history(self, history: list[dict]) -> None:
        """Replaces the figures of the finished outer epochs."""
        write_json(self._history, history)

    def _take_lock(self) -> None:
        if self.writes:
            self._lock = lock(self.path, "another process is working on this run")
