"""export: a trained run as a SavedModel."""

from pathlib import Path

from gch.commands import Call
from gch.errors import SettingError
from gch.job import run_job
from gch.run import run_settings


def run(call: Call) -> None:
    """Exports the best checkpoint of a run.

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
        settings = run_settings(Path(call.words[0]), call.given, "export", "export")
    else:
        settings = call.load(call.given | {"phase": "export"})
    out = call.options.out
    run_job(settings, export_to=Path(out) if out else None, lite=call.options.lite)
