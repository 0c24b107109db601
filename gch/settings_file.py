"""Settings from three layers, each over the one before: setting.py, a preset (a file like setting.py that
names only what it changes), and the flags of the command line.
"""

import dataclasses
import difflib
import math
import runpy
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from gch.data.names import canonical_dataset, known_datasets
from gch.errors import SettingError
from gch.networks.names import canonical_backbone, known_backbones
from gch.settings import Settings


def known_presets() -> tuple[str, ...]:
    """Names of the presets: the files of gch/presets."""
    files = resources.files("gch").joinpath("presets").iterdir()
    return tuple(
        sorted(
            Path(file.name).stem for file in files if file.name.endswith(".py") and file.name != "__init__.py"
        )
    )


def meaning(field: dataclasses.Field) -> str:
    """What --help says of a setting."""
    text = field.metadata["meaning"].replace("%(presets)s", ", ".join(known_presets()))
    choices = field.metadata["choices"]
    return f"{text}: {' | '.join(choices)}" if choices else text


def read_assignments(path: Path) -> dict[str, object]:
    """The values of a file of plain assignments, checked one by one.

    Raises:
      SettingError: the file is missing or not Python, or it names an unknown setting or gives a value of
        the wrong type or out of range.
    """
    if not path.is_file():
        raise SettingError(f"{path}: no such file; expected a file of settings, one assignment each")
    try:
        found = runpy.run_path(str(path))
    except Exception as error:
        line = getattr(error, "lineno", None)
        where = f"{path}, line {line}" if line else str(path)
        raise SettingError(f"{where}: {type(error).__name__}: {error}; expected plain assignments") from error
    values = {name: value for name, value in found.items() if not name.startswith("_")}
    return {name: check_value(name, value, where=str(path)) for name, value in values.items()}


def check_value(name: str, value: object, *, where: str) -> object:
    """Returns `value` as the type of setting `name`.

    Raises:
      SettingError: there is no such setting, or the value has the wrong type or is out of range.
    """
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    if name not in fields:
        known_as = {field.metadata["alias"]: field.name for field in fields.values()}
        close = [known_as[name]] if name in known_as else difflib.get_close_matches(name, fields, n=1)
        hint = f"; did you mean {close[0]}?" if close else "; --help lists all settings"
        raise SettingError(f"{where}: unknown setting {name}{hint}")
    field = fields[name]
    if name == "jit_compile":  # earlier versions knew True and False
        value = {"True": "on", "False": "off"}.get(str(value), value)
    if field.type is float and type(value) is int:
        value = float(value)
    if type(value) is not field.type:
        raise SettingError(
            f"{where}: {name} is {value!r}, a {type(value).__name__}; expected a {field.type.__name__}"
        )
    if field.type is float and not math.isfinite(value):
        raise SettingError(f"{where}: {name} is {value!r}; expected a finite number")
    rules = field.metadata
    if rules["choices"] and value not in rules["choices"]:
        raise SettingError(
            f"{where}: {name} is {value!r}; expected one of {', '.join(map(repr, rules['choices']))}"
        )
    for rule, broken, words in (
        ("minimum", lambda bound: value < bound, "at least"),
        ("above", lambda bound: value <= bound, "more than"),
        ("maximum", lambda bound: value > bound, "at most"),
    ):
        if rules[rule] is not None and broken(rules[rule]):
            raise SettingError(f"{where}: {name} is {value!r}; expected {words} {rules[rule]}")
    return value


def load_settings(path: Path, flags: Mapping[str, object]) -> Settings:
    """Lays preset and flags over the settings file.

    Args:
      path: the settings file, setting.py.
      flags: values of the flags that were given, by name.

    Raises:
      SettingError: a value is wrong, the file lacks a setting, or settings contradict each other.
    """
    values = read_assignments(path)
    missing = [field.name for field in dataclasses.fields(Settings) if field.name not in values]
    if missing:
        raise SettingError(f"{path}: {missing[0]} is missing; --help tells what it means")
    flags = {name: check_value(name, value, where="flag") for name, value in flags.items()}
    preset = flags.get("preset", values["preset"])
    if preset:
        if preset not in known_presets():
            raise SettingError(
                f"preset is {preset!r}; expected one of {', '.join(map(repr, known_presets()))}"
            )
        with resources.as_file(resources.files("gch").joinpath("presets", f"{preset}.py")) as file:
            of_preset = read_assignments(file)
        wanted = flags.get("method", of_preset.get("method", values["method"]))
        if of_preset.get("method", wanted) != wanted:
            raise SettingError(
                f"preset is {preset!r}, which is of the method {of_preset['method']}; method is {wanted!r}"
            )
        values |= of_preset
    settings = Settings(**(values | flags | {"preset": preset}))
    _check_combinations(settings)
    return settings


def _check_combinations(settings: Settings) -> None:
    if settings.bit % 8:
        raise SettingError(
            f"bit is {settings.bit}; expected a positive multiple of 8, so that codes pack into bytes"
        )
    if canonical_dataset(settings.dataset_dir) is None:
        known = ", ".join(known_datasets())
        raise SettingError(f"dataset_dir is {settings.dataset_dir!r}; expected one of {known}")
    if canonical_backbone(settings.netStr) is None:
        known = ", ".join(known_backbones()[:5])
        raise SettingError(
            f"netStr is {settings.netStr!r}; expected {known} ... (keras.applications), or a .keras file"
        )
    if not settings.teacher and settings.graph != "label":
        raise SettingError(
            f"teacher is False and graph is {settings.graph!r}; without a teacher codes come from the graph "
            "'label' only"
        )
    for name, example in (("cutoffs", "10,100,1000"), ("txt_widths", "8192,4096")):
        listed = getattr(settings, name)
        if not all(number.isdigit() and int(number) > 0 for number in listed.split(",")):
            raise SettingError(f"{name} is {listed!r}; expected positive whole numbers such as '{example}'")
    if settings.QUERY_SIZE == 0 or settings.TRAINING_SIZE == 0 or settings.DATABASE_SIZE == 0:
        raise SettingError(
            "QUERY_SIZE, DATABASE_SIZE and TRAINING_SIZE must be positive, or -1 for the data set's own"
        )
    if settings.num_label == 0 or settings.tag_dim == 0:
        raise SettingError("num_label and tag_dim must be positive, or -1 for whatever the data have")
    if 0 < settings.TRAINING_SIZE < settings.batch_size:
        raise SettingError(
            f"batch_size is {settings.batch_size}, TRAINING_SIZE {settings.TRAINING_SIZE}; "
            "expected a batch no larger than the training set"
        )
    if any(separator in settings.run_name for separator in ("/", "\\")) or settings.run_name in (".", ".."):
        raise SettingError(f"run_name is {settings.run_name!r}; expected a plain name, without a path")
    if not all(part.isdigit() for part in settings.select_gpu.split(",")) and settings.select_gpu:
        raise SettingError(
            f"select_gpu is {settings.select_gpu!r}; expected numbers such as '0' or '0,1', or ''"
        )
