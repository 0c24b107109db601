"""report: one HTML page that compares runs."""

from pathlib import Path

from gch.commands import Call
from gch.data.text_files import file_bytes
from gch.errors import RunError, SettingError
from gch.reporting import plots
from gch.reporting.page import page
from gch.reporting.record import read_run
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
    records = [read_run(Path(path)) for path in call.words]
    drawn = list(plots.draw_all(records))
    write_text(out, page(records, drawn, MARK))
    print(f"Report of {len(records)} runs in {out}")
