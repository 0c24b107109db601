"""eval: measures saved codes, of this project or of any tool."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gch import __version__
from gch.commands.catalog import Call
from gch.errors import RunError, SettingError
from gch.evaluation.codes import CodedItems
from gch.evaluation.codes_file import read_codes
from gch.evaluation.directions import CROSS, NEW_ITEMS, evaluate_directions
from gch.evaluation.figures import Evaluation
from gch.reporting import plots, tables
from gch.reporting.record import Record
from gch.settings import Settings, cutoff_ranks
from gch.storage import atomic_path, file_digest, read_json, write_json


def run(call: Call) -> None:
    """Evaluates files of codes, prints a table, and saves it with everything else that was measured.

    Args:
      call: words are paths, see `gch.evaluation.codes_file.read_codes`; options are `out`, the folder to save
        to, and `per_query`; of the settings those of the section Evaluation count.

    Raises:
      DataError: a file is not one of codes; all are read before any is evaluated.
      RunError: the folder of the results holds those of other files.
      SettingError: no path was given.
    """
    if not call.words:
        raise SettingError("eval: no codes given; expected files or folders, such as runs/NAME or codes.mat")
    settings, out = call.load(call.given), Path(call.options["out"])
    saved = [read_codes(Path(path)) for path in call.words]
    digests = {str(codes.path): _digest(codes.path) for codes in saved}
    _require_own(out, digests)
    names = _names([codes.path for codes in saved])
    found, of_new = {}, {}
    for name, codes in zip(names, saved, strict=True):
        found[name] = _evaluate(codes.queries, codes.database, settings)
        new = codes.new is not None and codes.new.any()
        database = {kind: items.only(codes.new) for kind, items in codes.database.items()} if new else {}
        of_new[name] = _evaluate(codes.queries, database, settings) if new else {}
    records = [Record(name, _figures(found[name]), _figures(of_new[name])) for name in names]
    header, lines = tables.rows(records, CROSS)
    print(tables.plain(header, lines))
    for note in tables.notes(records):
        print(note)
    _save(out, records, digests, header, lines)
    if call.options["per_query"]:
        _save_per_query(out / "per_query.npz", found)
    if settings.plots and plots.available():
        for name, drawn in plots.draw_all(records):
            plots.save(drawn, out / "plots" / name)
        print(f"Plots in {out / 'plots'}")
    elif settings.plots:
        print(plots.NEEDED)


def _evaluate(
    queries: dict[str, CodedItems], database: dict[str, CodedItems], settings: Settings
) -> dict[str, Evaluation]:
    return evaluate_directions(
        queries,
        database,
        cutoffs=cutoff_ranks(settings),
        ties=settings.ties,
        without_relevant=settings.without_relevant,
    )


def _figures(evaluations: dict[str, Evaluation]) -> dict[str, dict]:
    return {direction: one.figures() for direction, one in evaluations.items()}


def _save(out: Path, records: Sequence[Record], digests: dict[str, str], header, lines) -> None:
    texts = {
        "results.csv": tables.comma_separated(records),
        "table.md": f"{tables.markdown(header, lines)}\n\n{NEW_ITEMS}\n",
        "table.tex": f"{tables.latex(header, lines)}\n% {NEW_ITEMS}\n",
    }
    for name, text in texts.items():
        with atomic_path(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    results = {
        "files": digests,
        "evaluations": {record.name: record.directions for record in records},
        "evaluations_not_trained_on": {record.name: record.new or None for record in records},
        "versions": {"gch": __version__},
    }
    write_json(out / "results.json", results)
    print(f"All measures in {out / 'results.json'} and results.csv, the table in table.md and table.tex")


def _save_per_query(path: Path, found: dict[str, dict[str, Evaluation]]) -> None:
    """Arrays 'name|direction|measure', float64 (Q,): the values whose means are told."""
    arrays = {
        f"{name}|{direction}|{measure}": values
        for name, evaluations in found.items()
        for direction, one in evaluations.items()
        for measure, values in one.values.items()
    }
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)
    print(f"Values of every query in {path}")


def _require_own(out: Path, digests: dict[str, str]) -> None:
    """Nothing of other files may be lost."""
    path = out / "results.json"
    if not path.exists():
        return
    held = read_json(path)
    if not isinstance(held, dict) or list(held.get("files", ())) != list(digests):
        raise RunError(f"{path}: holds the results of other files; give another folder by --out")


def _digest(path: Path) -> str | None:
    return file_digest(path) if path.is_file() else None


def _names(paths: Sequence[Path]) -> list[str]:
    """Short names that tell the paths apart: the run or folder, the file, or both."""
    in_run = [path.parent.name if (path.parent / "settings.json").exists() else path.stem for path in paths]
    if len(set(in_run)) == len(paths):
        return in_run
    longer = [f"{path.resolve().parent.name}/{path.name}" for path in paths]
    if len(set(longer)) == len(paths):
        return longer
    return [f"{number}: {path}" for number, path in enumerate(paths, 1)]
