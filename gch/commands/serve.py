"""serve: a search page and a JSON API over an exported model and an index."""

import importlib.util
import sys
from pathlib import Path

from gch.commands import Call
from gch.errors import RunError, SettingError
from gch.search.engine.client import is_engine


def run(call: Call) -> None:
    """Serves an index, a folder or a URI, with the model of a folder, until Ctrl-C."""
    if len(call.words) != 2:
        raise SettingError(f"serve: {len(call.words)} folders given; expected two, MODEL and INDEX")
    model, index = Path(call.words[0]), call.words[1]
    options = call.options
    missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise RunError(f'serve: {" and ".join(missing)} not installed; expected pip install "gch[serve]"')

    from gch.search.exported import ExportedModel
    from gch.search.index import open_index
    from gch.search.model_note import read_model_note
    from gch.search.query import Searcher, require_same_model
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
        opened = open_index(index)
        require_same_model(read_model_note(model), opened)
        searcher = Searcher(ExportedModel(model), opened)
        searcher.model.nearest_words("word")  # loads the encoder of unknown words, so that no query waits
        parts = " and ".join(f"{len(part):,} {modality}s" for modality, part in searcher.index.parts.items())
        note = searcher.model.note
        print(
            f"{index}: {parts}, codes of {note.bits} bits by {note.method.upper()} trained on {note.dataset}"
        )
        if not is_local(options.host):
            warning = "anyone who reaches this address can search and see the collection; it has no password"
            print(f"serve: {warning}", file=sys.stderr, flush=True)
        hidden = (model,) if is_engine(index) else (model, Path(index))
        serve(searcher, limits, listener, options.host, hidden)
