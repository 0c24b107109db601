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

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from gch.data.text_files import is_count, is_number, object_of, read_json, read_object, require_file
from gch.errors import DataError, RunError, SettingError
from gch.methods import METHODS
from gch.settings import (
    Settings,
    canonical,
    checked_values,
    fields,
    free_settings,
    make_settings,
    of_earlier_runs,
)
from gch.storage import lock, write_json

REMEDY = "put it back from a copy, or train again under another run_name"
_SETTINGS = {
    name: ("a JSON object", lambda value: isinstance(value, dict)) for name in ("settings", "digests")
}
_EPOCH = {
    "epoch": ("a whole number", is_count),
    "seconds": ("a number", is_number),
    "compiling": ("a number", is_number),
}


def run_name(settings: Settings, dataset: str) -> str:
    """The name of a run: `run_name`, or one of data set, method, encoders, bit and seed."""
    if settings.run_name:
        return settings.run_name
    backbone = Path(settings.netStr).stem.lower()
    texts = "" if settings.txtStr == "words" else f"-{Path(settings.txtStr).stem.lower()}"
    trained = "-trained" if settings.backbone == "trained" else ""
    preset = settings.preset.removeprefix(settings.method).removeprefix("_")
    preset = f"-{preset}" if preset else ""
    method, encoders = f"{settings.method}{preset}", f"{backbone}{trained}{texts}"
    return f"{dataset}_{method}_{encoders}_{settings.bit}_seed{settings.seed}"


def run_settings(folder: Path, given: Mapping[str, object], phase: str, where: str) -> Settings:
    """The settings that a run was started with, to run a phase with `given` values of settings that a run may
    change; `where` they are from, for messages. A setting that an earlier version did not know has its
    default, or the value that means what it did then.

    Raises:
      RunError: the folder holds no run.
      SettingError: a value is wrong, or the run cannot change it.
    """
    started = RunFolder(folder).read_settings()
    folder = folder.resolve()
    given = checked_values(given, where)
    fixed = sorted(given.keys() - free_settings())
    if fixed:
        raise SettingError(f"{where}: {fixed[0]} cannot change; a run keeps what it was started with")
    place = {"phase": phase, "checkpoint_dir": str(folder.parent), "run_name": folder.name}
    return make_settings(started | given | place)


def require_checkpoint(folder: Path) -> None:
    """Raises RunError unless a folder holds a best checkpoint that another run may start from."""
    if not RunFolder(folder).checkpoint("best"):
        raise RunError(f"{folder}: no best checkpoint; load_model_path expects the folder of a trained run")


def require_same(folder: Path, settings: Settings, names: Iterable[str]) -> None:
    """Raises RunError where a run that another should start from has other values of settings."""
    if not RunFolder(folder).exists():
        return
    found, own = RunFolder(folder).read_settings(), settings.values()
    for name in names:
        if found[name] != own[name]:
            expected = f"load_model_path expects one with {own[name]!r}"
            raise RunError(f"{folder}: a run with {name} = {found[name]!r}; {expected}")


class RunFolder:
    """The folder of a run. From `start` or `open` to `close`, no other process can use it.

    Attributes:
      writes: whether this process may; of several workers, one does. The others only check and read.
      begun: whether `start` found the run there.
    """

    def __init__(self, path: Path, writes: bool = True):
        self.path, self.writes = path, writes
        self.split = path / "split.npz"
        self.split_for_matlab = path / "split.mat"
        self.vocabulary = path / "vocabulary.json"
        self.results = path / "results.json"
        self.begun = False
        self._settings = path / "settings.json"
        self._history = path / "history.json"
        self._lock: BaseFileLock | None = None

    def exists(self) -> bool:
        """Whether a run was started in the folder."""
        return self._settings.exists()

    def start(self, settings: Settings, data_digest: str) -> None:
        """Creates the folder, or raises RunError unless the run in it has these settings and this data, and
        no other process uses it.
        """
        self.begun = self.exists()
        if self.begun:
            self.check(settings, data_digest)
            self._take_lock()
            self._check_progress()
        elif self.writes:
            self._take_lock()
            write_json(self._settings, {"digests": {"data": data_digest}, "settings": settings.values()})

    def open(self, settings: Settings, data_digest: str) -> None:
        """Raises RunError unless the folder has a trained run of these settings and this data, and no other
        process uses it.
        """
        if not self.checkpoint("best"):
            raise RunError(
                f"{self.path}: no checkpoint to {settings.phase}; train first, with the same settings"
            )
        self.check(settings, data_digest)
        self._take_lock()
        if settings.phase != "export":  # which needs no history
            self.read_history()

    def close(self) -> None:
        """Lets other processes use the folder."""
        if self._lock:
            self._lock.release()

    def adopt(self, settings: Settings) -> Settings:
        """The settings; a default that came after the run began is what held before it. Raises RunError where
        the run's file of settings is damaged.
        """
        if not self.exists():
            return settings
        started, values = self._read()["settings"], settings.values()
        if started.get("method", "gch") != settings.method:  # which `check` refuses
            return settings
        known = {canonical(name) for name in started}
        before = {
            field.name: field.metadata["before"]
            for _, field in fields(settings.method)
            if field.name not in known
            and values[field.name] == field.default
            and field.metadata["before"] != field.default
        }
        for name, value in before.items():
            print(f"{self.path}: an earlier version began this run; {name} stays {value!r}")
        return settings.replace(**before)

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
        """Stores the digest of something that the run depends on, or raises RunError where another one is
        stored.
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
            raise RunError(f"{self.path}: this run was not started with this {name}; set another run_name")

    def read_settings(self) -> dict[str, Any]:
        """The settings that the run was started with, by name; those that its version lacked too. Raises
        RunError where there is no run, or its file of settings is damaged.
        """
        if not self.exists():
            raise RunError(f"{self.path}: no settings.json in it; expected the folder of a run")
        found = {canonical(name): value for name, value in self._read()["settings"].items()}
        method = str(found.get("method", "gch"))
        try:
            if method not in METHODS:
                raise SettingError(f"{self._settings}: method is {method!r}; expected {' or '.join(METHODS)}")
            known = of_earlier_runs(method)
            given = {name: value for name, value in found.items() if name in known}
            values = known | checked_values(given, str(self._settings), method)
            make_settings(values)
            return values
        except SettingError as error:
            where = "" if str(self._settings) in str(error) else f"{self._settings}: "
            raise RunError(f"{where}{error}; {REMEDY}") from error

    def _read(self) -> dict:
        try:
            return read_object(self._settings, _SETTINGS)
        except DataError as error:
            raise RunError(f"{error}; {REMEDY}") from error

    def checkpoint(self, kind: str) -> str | None:
        """The name of the 'latest' or the 'best' checkpoint; None where none was ever saved. Raises RunError
        where what names it is damaged, or a file of it is missing.
        """
        pointer = self.path / kind / "checkpoint"
        files = sorted(file.name for file in pointer.parent.iterdir()) if pointer.parent.is_dir() else []
        indices = [name for name in files if re.fullmatch(r"ckpt-\d+\.index", name)]
        if not pointer.exists() and indices in ([], ["ckpt-1.index"]):
            return "ckpt-1" if indices else None  # a kill may have ended the very first save
        text = pointer.read_bytes().decode("utf-8", "replace") if pointer.is_file() else ""
        named = re.search(r'^model_checkpoint_path: "(?:.*/)?(ckpt-\d+)"$', text, re.MULTILINE)
        if named is None:
            there = indices[-1].removesuffix(".index") if indices else "ckpt-NUMBER"
            raise RunError(
                f"{pointer}: {'damaged' if pointer.exists() else 'missing'}, expected a line "
                f'model_checkpoint_path: "{there}"; {REMEDY}'
            )
        for suffix in (".index", ".data-00000-of-00001"):
            if f"{named[1]}{suffix}" not in files:
                raise RunError(f"{pointer.parent / named[1]}{suffix}: missing; {REMEDY}")
            require_file(f"{pointer.parent / named[1]}{suffix}", REMEDY, RunError)
        return named[1]

    def read_history(self, least: int = 0) -> list[dict]:
        """Figures of the finished outer epochs, oldest first. Raises RunError where the file is damaged, or
        has fewer epochs than `least`, those of a checkpoint.
        """
        try:
            found = read_json(self._history) if self._history.exists() else []
            if not isinstance(found, list) or len(found) < least:
                size = f"{len(found)} outer epochs" if isinstance(found, list) else "no list"
                raise DataError(f"{self._history}: {size}, expected the {least} of the checkpoint")
            for number, epoch in enumerate(found, 1):
                where, early = f"{self._history}: outer epoch {number}", {"compiling": 0.0}
                known = object_of(early | epoch if isinstance(epoch, dict) else epoch, where, _EPOCH)
                if known["epoch"] != number:
                    raise DataError(f"{where}: epoch is {known['epoch']}, expected {number}")
        except DataError as error:
            raise RunError(f"{error}; {REMEDY}") from error
        return found

    def write_history(self, history: list[dict]) -> None:
        """Replaces the figures of the finished outer epochs."""
        write_json(self._history, history)

    def _check_progress(self) -> None:
        """Raises RunError where it can be seen, without reading the checkpoints, that they or the history
        are damaged.
        """
        best, epochs = self.checkpoint("best"), len(self.read_history())
        # A kill may come after the first epoch is noted and before its checkpoint is saved.
        if not self.checkpoint("latest") and epochs > 1:
            raise RunError(
                f"{self.path / 'latest'}: no checkpoint in it, {self._history} has {epochs} outer epochs; "
                f"{REMEDY}{'; test and export still work' if best else ''}"
            )
        if self.writes:
            self._remove_halves()

    def _remove_halves(self) -> None:
        """Removes what a killed process left of a checkpoint that it was writing, or had replaced."""
        for kind in ("latest", "best"):
            name = self.checkpoint(kind)
            for path in (self.path / kind).glob("ckpt-*"):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif not path.name.startswith(f"{name}."):
                    path.unlink(missing_ok=True)

    def _take_lock(self) -> None:
        if self.writes:
            self._lock = lock(self.path, "another process is working on this run")
