"""index: a search index of the codes of a collection."""

import time
from pathlib import Path

from gch.commands import Call
from gch.errors import SettingError
from gch.search.codes_folder import open_codes
from gch.search.engine.client import is_engine
from gch.search.index import build_index
from gch.search.index_kinds import AUTO, FLAT_ITEMS
from gch.terminal import Progress


def run(call: Call) -> None:
    """Builds an index of folders of codes, in a folder or an engine."""
    kind, out = call.options.kind, call.options.out
    if not call.words:
        raise SettingError("index: no codes given; expected folders that `encode` wrote")
    if not out:
        raise SettingError("index: out is missing; expected --out=FOLDER")
    parameters = {}
    for word in filter(None, call.options.parameters.split(",")):
        name, _, value = word.strip().partition("=")
        if not value.isdecimal() or not value.isascii():
            raise SettingError(f"parameters: found {word!r}; expected NAME=NUMBER, such as efSearch=128")
        parameters[name] = int(value)
    sources = [open_codes(Path(word)) for word in call.words]
    if is_engine(out):
        if kind != AUTO or parameters:
            raise SettingError(f"index: kind and parameters configure FAISS; {out} takes neither")
        from gch.search.engine.loading import load_into_engine  # its client is an extra

        progress, total, loaded = Progress("codes"), sum(len(codes.codes) for codes in sources), 0

        def count(items: int) -> None:
            nonlocal loaded
            loaded += items
            progress(loaded, total)

        for done in load_into_engine(sources, out, count):
            print(f"{done.items:,} {done.modality}s in {out}, {done.new:,} of them new")
        return
    start = time.perf_counter()
    note = build_index(sources, Path(out), kind, parameters)
    seconds = time.perf_counter() - start
    chosen = f" (auto: flat up to {FLAT_ITEMS:,}, hash above)" if kind == AUTO else ""
    for modality, part in note.parts.items():
        names = ", ".join(f"{name}={value}" for name, value in part.parameters.items()) or "exact"
        print(f"{part.items:,} {modality}s: {part.kind} index, {names}{chosen}")
    size = sum(path.stat().st_size for path in Path(out).iterdir())
    print(f"Codes of {note.bits} bits in {out}, {size / 1e6:,.1f} MB, built in {seconds:.1f} s")
