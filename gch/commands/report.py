"""report: one HTML page that compares runs."""

import dataclasses
import glob
from pathlib import Path

from gch.commands import Call
from gch.data.text_files import file_bytes
from gch.errors import RunError, SettingError
from gch.reporting import plots
from gch.reporting.page import page
from gch.reporting.record import distinct_names, in_order, read_run
from gch.storage import require_place, write_text

MARK = "<!-- written by main_itpair.py report -->"


def run(call: Call) -> None:
    """Writes the page; never replaces a file that is not a report."""
    if not call.words:
        raise SettingError("report: no runs given; expected folders, such as runs/*")
    out = Path(call.options.out)
    if out.is_dir() or (out.exists() and MARK.encode() not in file_bytes(out, "expected a new file")):
        raise RunError(f"{out}: exists and is not a report; give another file with --out")
    require_place(out.parent)
    found = in_order([read_run(Path(name)) for word in call.words for name in _names(word)])
    names = distinct_names([record.name for record in found], [Path(str(record.folder)) for record in found])
    records = [dataclasses.replace(record, name=name) for record, name in zip(found, names, strict=True)]
    drawn = list(plots.draw_all(records))
    write_text(out, page(records, drawn, MARK))
    print(f"Report in {out}; runs: {len(records)}")


def _names(word: str) -> list[str]:
    """What a pattern matches, as the shells of Windows leave it to programs; else the word itself."""
    return [word] if Path(word).exists() else sorted(glob.glob(word)) or [word]
