"""export: a trained run as a SavedModel."""

from pathlib import Path

from gch.commands import Call
from gch.errors import SettingError
from gch.job import run_job
from gch.run import run_settings


def run(call: Call) -> None:
    """Exports the best checkpoint of a run: of the folder that is given, else of the run of the settings."""
    if len(call.words) > 1:
        raise SettingError(f"export: found {' '.join(call.words)}; expected the folder of one run")
    if call.words:
        settings = run_settings(Path(call.words[0]), call.given, "export", "export")
    else:
        settings = call.load(call.given | {"phase": "export"})
    out = call.options.out
    run_job(settings, export_to=Path(out) if out else None, lite=call.options.lite)
