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
from gch.evaluation.evaluate import evaluate_directions
from gch.evaluation.own_half import own_halves
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
    options = settings.ranking
    saved = [read_codes(Path(path)) for path in call.words]
    digests = {str(codes.path): file_digest(codes.path) if codes.path.is_file() else None for codes in saved}
    _require_own(out, digests)
    records: list[Record] = []
    per_query: dict[str, Any] = {}
    paths = [codes.path for codes in saved]
    for name, codes in zip(distinct_names(map(_name, paths), paths), saved, strict=True):
        whole = evaluate_directions(codes.queries, codes.database, **options) if codes.database else {}
        own, of_new = own_halves(codes.queries, settings.ties), {}
        if codes.new is not None and codes.new.any():
            new_items = {kind: items.only(codes.new) for kind, items in codes.database.items()}
            of_new = evaluate_directions(codes.queries, new_items, **options)
        found, new = ({key: one.figures() for key, one in some.items()} for some in (whole, of_new))
        own_half = {direction: one.figures() for direction, one in own.items()}
        records.append(Record(name, found, new, own_half=own_half))
        every: list[tuple[str, Any]] = list(whole.items())
        every += [(f"own half {direction}", one) for direction, one in own.items()]
        for direction, one in every:
            per_query |= {f"{name}|{direction}|{measure}": values for measure, values in one.values.items()}
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
