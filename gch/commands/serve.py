"""serve: a search page and a JSON API over an exported model and an index."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

from gch.commands import Call
from gch.errors import RunError, SettingError
from gch.search.engine.address import is_engine
from gch.serve.limits import Limits

_NEEDED = ("fastapi", "uvicorn")


def run(call: Call) -> None:
    """Serves until Ctrl-C.

    Args:
      call: words are the folders of a model and of an index; options are `host`, `port`, `batch`, `queue`,
        `max_megabytes` and `timeout_s`.

    Raises:
      DataError: the model or the index is missing or damaged, or they do not fit.
      RunError: FastAPI is not installed, or the address is taken.
      SettingError: a folder is missing, or an option is out of range.
    """
    if len(call.words) != 2:
        raise SettingError(f"serve: {len(call.words)} folders given; expected two, MODEL and INDEX")
    model, index = Path(call.words[0]), call.words[1]
    host, port, limits = call.options.host, call.options.port, _limits(call.options)
    if not 0 <= port < 2**16:
        raise SettingError(f"--port={port}: expected 0 to 65535; 0 takes any that is free")
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise RunError(f"serve: {' and '.join(missing)} not installed; expected pip install -e '.[serve]'")

    from gch.serve.server import is_local, listen, serve

    with listen(host, port) as taken:  # First, as loading a model takes longer than finding the port taken.
        searcher = _searcher(model, index)
        if not is_local(host):
            told = "anybody who reaches this address can search and see the collection: there is no password"
            print(f"serve: {told}", file=sys.stderr, flush=True)
        serve(searcher, limits, taken, host, (model,) if is_engine(index) else (model, Path(index)))


def _searcher(model: Path, index: str):
    from gch.search.exported import ExportedModel
    from gch.search.index import open_index
    from gch.search.query import Searcher

    searcher = Searcher(ExportedModel(model), open_index(index))
    held = " and ".join(f"{len(part):,} {modality}s" for modality, part in searcher.index.parts.items())
    note = searcher.model.note
    print(f"{index}: {held}, codes of {note.bits} bits by {note.method.upper()} trained on {note.dataset}")
    return searcher


def _limits(options: dict[str, object]) -> Limits:
    for name in ("batch", "queue", "max_megabytes", "timeout_s"):
        if options[name] < 1:
            raise SettingError(f"--{name}={options[name]}: expected 1 or more")
    body_bytes = options["max_megabytes"] * 2**20
    return dataclasses.replace(
        Limits(),
        body_bytes=body_bytes,
        held_bytes=max(Limits.held_bytes, 4 * body_bytes),
        seconds=float(options["timeout_s"]),
        queue=options["queue"],
        batch=options["batch"],
    )
