"""The settings of a run, as one frozen object.

Each package describes its own: `gch.data.settings` and so on, and each method its own in its folder. They are
read from layers, each over the one before: defaults, setting.py, a preset, flags or keyword arguments.
"""

import dataclasses
import difflib
import runpy
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

from gch.data.settings import DataSettings
from gch.data.text_files import opened
from gch.errors import SettingError
from gch.evaluation.settings import EvaluationSettings
from gch.methods import METHODS, method_settings
from gch.networks.settings import NetworkSettings
from gch.rules import checked, setting
from gch.training.settings import DeviceSettings, RunSettings, TrainingSettings

_FOLDERS = ("DATA_DIR", "checkpoint_dir", "log_dir")
RETIRED = {"per_process_gpu_memory_fraction": "GPU memory grows as needed"}


def known_presets() -> tuple[str, ...]:
    """Names of the presets: the files of gch/presets."""
    files = (Path(file.name) for file in resources.files("gch").joinpath("presets").iterdir())
    return tuple(sorted(file.stem for file in files if file.suffix == ".py" and file.stem != "__init__"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobSettings:
    """What a run does."""

    phase: str = setting(
        "train",
        "train, then test; or test or export the best checkpoint of the run",
        choices=["train", "test", "export"],
        free=True,
    )
    method: str = setting("gch", "hashing method", choices=list(METHODS))
    bit: int = setting(64, "length K of a code in bits, a positive multiple of 8", minimum=8, maximum=2**16)
    seed: int = setting(
        0, "seed of the split, the weights, the batches and dropout", minimum=0, maximum=2**31 - 1
    )
    preset: str = setting(
        "",
        "named group of settings that overrides setting.py, '': none: " + ", ".join(known_presets()),
        free=True,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(
    JobSettings,
    DataSettings,
    NetworkSettings,
    TrainingSettings,
    EvaluationSettings,
    RunSettings,
    DeviceSettings,
):
    """One run's settings; `options` are those of its method, a `MethodSettings`."""

    options: Any

    def values(self) -> dict[str, Any]:
        """All settings of the run by name, those of its method too."""
        shared = {field.name: getattr(self, field.name) for _, field in _shared_fields()}
        return shared | dataclasses.asdict(self.options)

    def replace(self, **values: Any) -> "Settings":
        """A copy with other values, unchecked; names as in setting.py."""
        own = {field.name for field in dataclasses.fields(self.options)} & values.keys()
        options = dataclasses.replace(self.options, **{name: values.pop(name) for name in own})
        return dataclasses.replace(self, options=options, **values)


_SHARED = {
    "The job": JobSettings,
    "Data": DataSettings,
    "Networks": NetworkSettings,
    "Training": TrainingSettings,
    "Evaluation": EvaluationSettings,
    "Runs and TensorBoard": RunSettings,
    "Device": DeviceSettings,
}


def _shared_fields() -> Iterator[tuple[str, dataclasses.Field]]:
    for section, of in _SHARED.items():
        for field in dataclasses.fields(of):
            yield section, field


def fields(method: str = "") -> Iterator[tuple[str, dataclasses.Field]]:
    """All settings, each with its section of --help; of the methods' own, those of `method`, or of all."""
    yield from _shared_fields()
    for name in METHODS:
        if method in ("", name):
            for field in dataclasses.fields(method_settings(name)):
                yield f"The method {name.upper()}", field


def free_settings() -> frozenset[str]:
    """Names of the settings that may change when a run resumes."""
    return frozenset(field.name for _, field in fields() if field.metadata["free"])


def shaping(method: str) -> Iterator[str]:
    """Names of the settings, those of a method too, that can change which weights a run has."""
    return (field.name for _, field in fields(method) if field.metadata["shapes"])


def of_earlier_runs(method: str) -> dict[str, Any]:
    """What holds for a run of a version that did not have a setting, by name: most often its default."""
    return {field.name: field.metadata["before"] for _, field in fields(method)}


def canonical(name: str) -> str:
    """The name of the setting that `name`, possibly an alias, stands for."""
    return next((field.name for _, field in fields() if name in field.metadata["aliases"]), name)


def checked_values(values: Mapping[str, object], where: str, method: str = "") -> dict[str, object]:
    """Values by the names of settings, from values by name or alias, each checked on its own; retired
    settings are dropped with a notice. `where` they are from, for messages; `method` is meant where several
    share a name. Raises SettingError for a name that is unknown or given twice, and for a wrong value.
    """
    known = {field.name: field for _, field in fields()} | {field.name: field for _, field in fields(method)}
    found: dict[str, object] = {}
    for given, value in values.items():
        if given in RETIRED:
            print(f"{where}: {given} is no longer used: {RETIRED[given]}")
            continue
        name = canonical(given)
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "--help lists all settings"
            raise SettingError(f"{where}: unknown setting {name}; {hint}")
        if name in found:
            raise SettingError(f"{where}: {name} is given twice, also as {given}; expected it once")
        found[name] = checked(known[name], value, where)
    return found


def read_assignments(path: Path) -> dict[str, object]:
    """The values of a file of plain assignments. What it imports for them does not count. Raises SettingError
    where the file is missing, or not Python.
    """
    with opened(path, "expected a file of settings, one assignment each", 2**24, SettingError):
        pass
    try:
        found = runpy.run_path(str(path))
    except Exception as error:
        line = getattr(error, "lineno", None)
        where = f"{path}, line {line}" if line else str(path)
        raise SettingError(f"{where}: {type(error).__name__}: {error}; expected plain assignments") from error
    known = {field.name for _, field in fields()}

    def is_import(name: str) -> bool:
        return name not in known and (isinstance(found[name], ModuleType) or callable(found[name]))

    return {name: value for name, value in found.items() if not name.startswith("_") and not is_import(name)}


def load_settings(path: Path | None, given: Mapping[str, object], where: str = "flag") -> Settings:
    """Merges the defaults, a settings file, a preset and values `given` by flags or keyword arguments, each
    over the one before; `where` they are from, for messages. Raises SettingError for a wrong value, and where
    settings contradict each other.
    """
    layers = [checked_values(read_assignments(path), str(path))] if path else []
    layers.append(checked_values(given, where))
    values = {name: value for layer in layers for name, value in layer.items()}
    preset = values.get("preset", "")
    if preset:
        if preset not in known_presets():
            known = ", ".join(map(repr, known_presets()))
            raise SettingError(f"preset is {preset!r}; expected one of {known}")
        with resources.as_file(resources.files("gch").joinpath("presets", f"{preset}.py")) as file:
            of_preset = checked_values(read_assignments(file), str(file))
        method = layers[-1].get("method", of_preset["method"])
        if of_preset["method"] != method:
            raise SettingError(
                f"preset is {preset!r}, for the method {of_preset['method']!r}; found method {method!r}"
            )
        values |= of_preset | layers[-1]
    for name in _FOLDERS:
        if values.get(name) == "":  # most often a variable of the shell that is not set
            raise SettingError(f"{name} is ''; expected a folder, such as '.' for the current one")
    settings = make_settings(values)
    read = {field.name for _, field in fields(settings.method)}
    for name in sorted(layers[-1].keys() - read):
        print(f"{where}: {name} is a setting of another method; {settings.method} does not read it")
    return settings


def make_settings(values: Mapping[str, Any]) -> Settings:
    """Settings of checked values. Missing ones have their defaults; those of other methods are ignored.
    Raises SettingError where settings contradict each other.
    """
    of_method = method_settings(str(values.get("method", "gch")))
    own = {field.name for field in dataclasses.fields(of_method)} & values.keys()
    shared = {field.name for _, field in _shared_fields()} & values.keys()
    options = of_method(**{name: values[name] for name in own})
    settings = Settings(options=options, **{name: values[name] for name in shared})
    if settings.bit % 8:
        raise SettingError(
            f"bit is {settings.bit}; expected a positive multiple of 8, so that codes pack into bytes"
        )
    if 0 < settings.TRAINING_SIZE < settings.batch_size:
        raise SettingError(
            f"batch_size is {settings.batch_size}, TRAINING_SIZE {settings.TRAINING_SIZE}; "
            "expected a batch no larger than the training set"
        )
    settings.check_data()
    settings.check_networks()
    settings.check_evaluation()
    settings.check_run()
    settings.check_device()
    options.check()
    return settings
