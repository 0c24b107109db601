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

import dataclasses
import json
from pathlib import Path

import filelock

from gch.errors import RunError
from gch.settings import Settings
from gch.storage import lock, write_json

# A run may go on with other values of these: they do not change what is learned.
FREE_SETTINGS = frozenset(
    {
        "phase",
        "Epoch",
        "DATA_DIR",
        "annotations",
        "broken",
        "num_label",
        "tag_dim",
        "MODEL_DIR",
        "meanpath",
        "preset",
        "checkpoint_dir",
        "log_dir",
        "run_name",
        "checkpoint_minutes",
        "ties",
        "cutoffs",
        "without_relevant",
        "own_neighbour",
        "plots",
        "panel_queries",
        "histograms",
        "select_gpu",
        "per_process_gpu_memory_fraction",
    }
)


def run_name(settings: Settings, dataset: str) -> str:
    """The name of a run: as set, or made of what tells runs apart."""
    if settings.run_name:
        return settings.run_name
    backbone = Path(settings.netStr).stem.lower()
    trained = "-trained" if settings.backbone == "trained" else ""
    preset = settings.preset.removeprefix(settings.method).removeprefix("_")
    preset = f"-{preset}" if preset not in ("", dataset) else ""
    return f"{dataset}_{settings.method}{preset}_{backbone}{trained}_{settings.bit}_seed{settings.seed}"


def started_settings(folder: Path) -> dict[str, object]:
    """The settings that the run in a folder was started with, by name.

    Raises:
      RunError: there is no run.
    """
    return RunFolder(folder).read_settings()


def require_checkpoint(folder: Path) -> None:
    """Raises RunError unless the folder of a run holds a best checkpoint that another run may start from."""
    if not (folder / "best" / "checkpoint").is_file():
        raise RunError(f"{folder}: no best checkpoint; load_model_path expects the folder of a trained run")


class RunFolder:
    """One run's folder; holds a lock on it until it is closed.

    Attributes:
      writes: whether this process may; of several workers, one does. The others only check and read.
    """

    def __init__(self, path: Path, writes: bool = True):
        self.path, self.writes = path, writes
        self.split = path / "split.npz"
        self.split_for_matlab = path / "split.mat"
        self.vocabulary = path / "vocabulary.json"
        self.results = path / "results.json"
        self._settings = path / "settings.json"
        self._history = path / "history.json"
        self._lock: filelock.BaseFileLock | None = None

    def start(self, settings: Settings, data_digest: str) -> None:
        """Makes the folder, or checks that the run in it is the one that the settings describe.

        Raises:
          RunError: the run was started with other settings or other data, or another process is at it.
        """
        if self._settings.exists():
            self.check(settings, data_digest)
            self._take_lock()
            return
        if not self.writes:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            write_json(
                self._settings, {"digests": {"data": data_digest}, "settings": dataclasses.asdict(settings)}
            )
        except OSError as error:
            raise RunError(f"{self.path}: cannot keep a run here: {error.strerror}") from error

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

    def check(self, settings: Settings, data_digest: str) -> None:
        """Raises RunError unless the run in the folder has these settings and this data."""
        started = self._read()["settings"]
        for name, now in dataclasses.asdict(settings).items():
            if name not in FREE_SETTINGS and started.get(name) != now:
                raise RunError(
                    f"{self.path}: this run was started with {name} = {started.get(name)!r}, "
                    f"the settings say {now!r}; restore it, or set another run_name"
                )
        self.bind("data", data_digest)

    def bind(self, name: str, digest: str) -> None:
        """Notes the digest of what the run depends on, or checks that it is the one noted before.

        Raises:
          RunError: the run was started with another one.
        """
        if not (self.writes or self._settings.exists()):
            return
        started = self._read()
        noted = started["digests"].get(name)
        if noted is None:
            if not self.writes:
                return
            started["digests"][name] = digest
            write_json(self._settings, started)
        elif noted != digest:
            raise RunError(f"{self.path}: this run was started with another {name}; set another run_name")

    def read_settings(self) -> dict[str, object]:
        """The settings it was started with, by name."""
        return self._read()["settings"]

    def _read(self) -> dict:
        try:
            found = json.loads(self._settings.read_text(encoding="utf-8"))
            if not (isinstance(found["settings"], dict) and isinstance(found["digests"], dict)):
                raise ValueError("expected the tables settings and digests")
        except (OSError, ValueError, KeyError, TypeError) as error:
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

    def close(self) -> None:
        """Lets other processes work on the run."""
        if self._lock:
            self._lock.release()

    def _take_lock(self) -> None:
        if not self.writes:
            return
        self._lock = lock(self.path, "another process is working on this run")
