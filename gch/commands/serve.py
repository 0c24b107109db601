"""serve: a search page and a JSON API over an exported model and an index."""

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gch.commands import Call
from gch.errors import RunError, SettingError
from gch.search.engine.address import is_engine

if TYPE_CHECKING:
    from gch.search.query import Searcher

_NEEDED = ("fastapi", "uvicorn")


def run(call: Call) -> None:
    """Serves until Ctrl-C.

    Args:
      call: words are the folders of a model and of an index; options are `host`, `port`, `batch`, `queue`,
        `max_megabytes` and `timeout_s`.

    Raises:
      DataError: the model or the index is missing or damaged, or they do not fit.
      RunError: FastAPI is not installed, or the address is taken.
      SettingError: a folder is missing.
    """
    if len(call.words) != 2:
        raise SettingError(f"serve: {len(call.words)} folders given; expected two, MODEL and INDEX")
    model, index = Path(call.words[0]), call.words[1]
    options = call.options
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise RunError(f"serve: {' and '.join(missing)} not installed; expected pip install -e '.[serve]'")

    from gch.serve.limits import Limits
    from gch.serve.server import is_local, listen, serve

    body_bytes = options.max_megabytes * 2**20
    limits = Limits(
        body_bytes=body_bytes,
        total_body_bytes=max(Limits.total_body_bytes, 4 * body_bytes),
        seconds=float(options.timeout_s),
        queue=options.queue,
        batch=options.batch,
    )
    # Listens first: a port in use is found before the model is loaded, which takes seconds.
    with listen(options.host, options.port) as listener:
        searcher = _searcher(model, index)
        if not is_local(options.host):
            warning = (
                "anybody who reaches this address can search and see the collection: there is no password"
            )
            print(f"serve: {warning}", file=sys.stderr, flush=True)
        serve(
            searcher, limits, listener, options.host, (model,) if is_engine(index) else (model, Path(index))
        )


def _searcher(model: Path, index: str) -> "Searcher":
    from gch.search.exported import ExportedModel
    from gch.search.index import open_index
    from gch.search.query import Searcher

    searcher = Searcher(ExportedModel(model), open_index(index))
    parts = " and ".join(f"{len(part):,} {modality}s" for modality, part in searcher.index.parts.items())
    note = searcher.model.note
    print(f"{index}: {parts}, codes of {note.bits} bits by {note.method.upper()} trained on {note.dataset}")
    return searcher
