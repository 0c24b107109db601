"""Building an index from codes.

The files are written to a folder inside that of the index, and moved when they are whole, index.json last. So
a process killed at any moment leaves a new index without index.json, and an earlier one as it was.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gch.errors import DataError, RunError
from gch.search.codes_folder import MODALITIES, Codes, read_codes_file, require_one_model
from gch.search.collection_index import NOTE, IndexNote, PartNote, Source, read_note
from gch.search.index_kinds import AUTO, build, choose, complete, group_equal, load_faiss, write_equal
from gch.search.note_file import write_note_file
from gch.storage import lock

_ROWS_AT_ONCE = 1_000_000
_FILES = {f"{name}.{suffix}" for name in MODALITIES for suffix in ("codes", "items", "faiss", "equal")}


def build_index(
    sources: Sequence[Codes], out: Path, kind: str = AUTO, parameters: Mapping[str, int] | None = None
) -> IndexNote:
    """Writes an index of all codes; the folders that they are from may be removed then.

    Args:
      sources: of one model, of images, texts or both; those of a modality are joined in their order.
      out: the folder of the index; an earlier index of the same codes makes way.
      kind: one of `gch.search.index_kinds.KINDS`, or 'auto', which chooses for each modality by its size.
      parameters: of that kind, where they are not to be the defaults.

    Raises:
      DataError: the codes are of different models, or there are none.
      RunError: the folder holds something else, cannot be written, another process builds there, or FAISS is
        needed and not installed.
      SettingError: the kind or a parameter is unknown or out of range.
    """
    require_one_model(sources)
    bits, model = sources[0].bits, sources[0].model
    groups = {name: [codes for codes in sources if codes.modality == name] for name in MODALITIES}
    plans: dict[str, tuple[str, dict[str, int]]] = {}
    for modality, group in groups.items():
        if group:
            chosen = choose(kind, sum(len(codes.codes) for codes in group))
            plans[modality] = chosen, complete(chosen, parameters or {}, bits)
    if any(chosen != "flat" for chosen, _ in plans.values()):
        load_faiss()
    _earlier(out)  # before anything is written there
    with lock(out, "another process is building this index"):
        earlier, folder = _earlier(out), out / ".unfinished"
        try:
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
            folder.mkdir()
            digests = {modality: _join(folder, modality, groups[modality]) for modality in plans}
            if earlier and digests != {name: part.digest for name, part in earlier.parts.items()}:
                raise RunError(f"{out}: holds an index of other codes; expected a new folder")
            parts = {
                modality: _build_part(folder, modality, groups[modality], *plan, digests[modality])
                for modality, plan in plans.items()
            }
            note = IndexNote(bits=bits, model=model, parts=parts)
            write_note_file(folder / NOTE, note)
            _put_in_place(folder, out)
        except OSError as error:
            raise RunError(f"{out}: cannot be written, {error.strerror or error}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return note


def _earlier(out: Path) -> IndexNote | None:
    """The index that is in the folder; none where a process was killed before index.json was there."""
    if not out.exists():
        return None
    if out.is_dir() and all(name in _FILES or name.startswith(".") for name in os.listdir(out)):
        return None
    try:
        return read_note(out)
    except DataError as error:
        raise RunError(f"{out}: holds something else than an index; expected a new folder") from error


def _join(folder: Path, modality: str, sources: Sequence[Codes]) -> str:
    """Writes the codes and items of all sources; returns their digest."""
    state = hashlib.sha256()
    codes = (
        np.ascontiguousarray(one.codes[start : start + _ROWS_AT_ONCE]).data
        for one in sources
        for start in range(0, len(one.codes), _ROWS_AT_ONCE)
    )
    items = (content.data for one in sources for content in one.items.content())
    for suffix, blocks in (("codes", codes), ("items", items)):
        with open(folder / f"{modality}.{suffix}", "wb") as file:
            for block in blocks:
                file.write(block)
                state.update(block)
    return state.hexdigest()


def _build_part(
    folder: Path, modality: str, sources: Sequence[Codes], kind: str, parameters: dict[str, int], digest: str
) -> PartNote:
    distinct = faiss_bytes = 0
    if kind != "flat":
        items = sum(len(codes.codes) for codes in sources)
        codes = read_codes_file(folder / f"{modality}.codes", items, sources[0].bits)
        equal, file = group_equal(codes), folder / f"{modality}.faiss"
        write_equal(folder / f"{modality}.equal", equal)
        try:
            load_faiss().write_index_binary(build(kind, parameters, codes[equal.distinct]), str(file))
        except RuntimeError as error:  # the message is a trace of C++
            raise RunError(
                f"{folder.parent}: FAISS cannot build or write the index, out of memory or disk"
            ) from error
        distinct, faiss_bytes = len(equal.distinct), file.stat().st_size
    return PartNote(
        kind=kind,
        parameters=parameters,
        digest=digest,
        faiss_bytes=faiss_bytes,
        distinct=distinct,
        sources=tuple(Source(one.root, len(one.codes)) for one in sources),
    )


def _put_in_place(folder: Path, out: Path) -> None:
    names = sorted(os.listdir(folder), key=lambda name: name == NOTE)
    for name in names:
        with open(folder / name, "rb+") as file:
            os.fsync(file.fileno())
    for name in names:
        os.replace(folder / name, out / name)
    for name in _FILES.difference(names):  # of an earlier index of another kind
        (out / name).unlink(missing_ok=True)
