"""export: a trained run as a SavedModel."""

import dataclasses
from pathlib import Path

from gch.commands.catalog import Call
from gch.errors import SettingError
from gch.job import run_job
from gch.run import FREE_SETTINGS, started_settings
from gch.settings import Settings
from gch.settings_file import check_value


def run(call: Call) -> None:
    """Exports the best checkpoint of a run.

    With a label graph the model holds vectors (N, F) and labels (N, C) of the N training items, float32, in
    both modalities: it grows with the training set, and whoever has it can read them.

    Args:
      call: a word is the folder of the run; without one it is the run that the settings describe. The option
        `out` is the folder of the model, by default `export` in that of the run; with `lite` the encoders for
        TensorFlow Lite are in it too.

    Raises:
      SettingError: there is more than one word, or a setting was given that the run cannot change.
      GCHError: the run cannot be exported.
    """
    if len(call.words) > 1:
        raise SettingError(f"export: found {' '.join(call.words)}; expected the folder of one run")
    if call.words:
        settings = _settings_of(Path(call.words[0]), call)
    else:
        settings = call.load(call.given | {"phase": "export"})
    out = call.options["out"]
    run_job(settings, export_to=Path(out) if out else None, lite=call.options["lite"])


def _settings_of(run: Path, call: Call) -> Settings:
    run = run.resolve()
    fixed = sorted(call.given.keys() - FREE_SETTINGS)
    if fixed:
        raise SettingError(f"export: {fixed[0]} is given; a run keeps what it was started with")
    defaults = dataclasses.asdict(call.load({}))  # of what was no setting yet when the run was started
    values = {name: defaults[name] for name in FREE_SETTINGS} | started_settings(run)
    values |= {name: check_value(name, value, where="flag") for name, value in call.given.items()}
    place = {"phase": "export", "checkpoint_dir": str(run.parent), "run_name": run.name}
    names = {field.name for field in dataclasses.fields(Settings)}
    missing = sorted(names - values.keys())
    if missing:
        raise SettingError(f"{run}: the run was started without {missing[0]}, by another version of this")
    return Settings(**{name: values[name] for name in names} | place)
