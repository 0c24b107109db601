"""eval: measures saved codes, of this project or of any tool."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gch import __version__
from gch.commands import Call
from gch.data.text_files import read_object
from gch.errors import RunError, SettingError
from gch.evaluation.codes_file import read_codes
from gch.evaluation.results import measured_codes
from gch.reporting import plots, tables
from gch.reporting.record import Record, distinct_names
from gch.storage import atomic_path, file_digest, require_place, write_json, write_text


def run(call: Call) -> None:
    """Evaluates files of codes, prints a table, and saves it with all other measures.

    All files are read before any is evaluated; results of other files are never replaced.
    """
    if not call.words:
        raise SettingError("eval: no codes given; expected files or folders, such as runs/NAME or codes.mat")
    settings, out = call.load(), Path(call.options.out)
    require_place(out)
    saved = [read_codes(Path(path)) for path in call.words]
    digests = {str(codes.path): file_digest(codes.path) if codes.path.is_file() else None for codes in saved}
    _require_own(out, digests)
    records: list[Record] = []
    per_query: dict[str, Any] = {}
    paths = [codes.path for codes in saved]
    for name, codes in zip(distinct_names(map(_name, paths), paths), saved, strict=True):
        figures, values = measured_codes(codes.queries, codes.database, codes.new, **settings.ranking)
        records.append(Record(name, figures))
        per_query |= {f"{name}|{measure}": of_queries for measure, of_queries in values.items()}
    _save(out, records, digests)
    if call.options.per_query:
        with atomic_path(out / "per_query.npz") as temporary:
            np.savez_compressed(temporary, **per_query)
        print(f"Values of every query in {out / 'per_query.npz'}")
    if settings.plots and plots.available():
        for name, drawn in plots.draw_all(records):
            plots.save(drawn, out / "plots" / name)
        print(f"Plots in {out / 'plots'}")
    elif settings.plots:
        print(plots.NEEDED)


def _save(out: Path, records: Sequence[Record], digests: dict[str, str | None]) -> None:
    measured, why = tables.all_measures(records), tables.why(records)
    print("\n".join([tables.joined(measured, tables.plain, "{}:"), *tables.notes(records)]))
    write_text(out / "results.csv", tables.comma_separated(records))
    for suffix, text in tables.documents(measured, why).items():
        write_text(out / f"table{suffix}", text)
    results = {
        "files": digests,
        "evaluations": {record.name: record.directions or None for record in records},
        "evaluations_not_trained_on": {record.name: record.new or None for record in records},
        "own_half": {record.name: record.own_half for record in records},
        "versions": {"gch": __version__},
    }
    write_json(out / "results.json", results)
    print(f"All measures in {out / 'results.json'} and results.csv, the table in table.md and table.tex")


def _require_own(out: Path, digests: dict[str, str | None]) -> None:
    """Raises RunError where results of other files would be lost."""
    path = out / "results.json"
    found = read_object(path, {"files": {}})["files"] if path.exists() else digests
    if list(found) != list(digests):
        raise RunError(f"{path}: holds the results of other files; give another folder with --out")


def _name(path: Path) -> str:
    return path.parent.name if (path.parent / "settings.json").exists() else path.stem
