"""Building an index from codes, so that a reader never sees half of one."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from gch.errors import DataError, RunError
from gch.search.codes_folder import MODALITIES, Codes, read_codes_file, require_one_model
from gch.search.equal_codes import group_equal, write_equal
from gch.search.index_kinds import AUTO, build, choose, complete, load_faiss
from gch.search.index_note import NOTE, IndexNote, PartNote, Source, read_note
from gch.search.note_file import write_note_file

_ROWS_AT_ONCE = 1_000_000


def build_index(
    sources: Sequence[Codes], out: Path, kind: str = AUTO, parameters: Mapping[str, int] | None = None
) -> IndexNote:
    """Writes an index of all codes; the folders that they are from may be removed then.

    Args:
      sources: of one model, of images, texts or both; those of a modality are joined in their order.
      out: the folder of the index; an earlier index of the same codes makes way.
      kind: one of `gch.search.index_kinds.KINDS`, or 'auto', which chooses for each modality by its size.
      parameters: of that kind, where they are not to be the defaults.

    Returns:
      What was built.

    Raises:
      DataError: the codes are of different models, or there are none.
      RunError: the folder holds something else, cannot be written, or FAISS is not installed.
      SettingError: the kind or a parameter is unknown or out of range.
    """
    require_one_model(sources)
    first, out = sources[0], Path(out).absolute()
    load_faiss()
    by_modality = {
        modality: found
        for modality in MODALITIES
        if (found := [codes for codes in sources if codes.modality == modality])
    }
    plans = {
        modality: _plan(found, kind, parameters or {}, first.bits) for modality, found in by_modality.items()
    }
    earlier = _require_free(out)
    try:
        with _unfinished(out) as folder:
            digests = {modality: _join(folder, modality, found) for modality, found in by_modality.items()}
            _require_same(out, earlier, digests)
            parts = {
                modality: _build_part(folder, modality, by_modality[modality], *plan, digests[modality])
                for modality, plan in plans.items()
            }
            note = IndexNote(bits=first.bits, model=first.model, parts=parts)
            write_note_file(folder / NOTE, note)
            _sync(folder)
            _move(folder, out)
    except OSError as error:
        raise RunError(f"{out}: cannot be written, {error.strerror or error}") from error
    return note


def _plan(found: Sequence[Codes], kind: str, parameters: Mapping[str, int], bits: int):
    """Kind and all its parameters."""
    chosen = choose(kind, sum(len(codes.codes) for codes in found))
    return chosen, complete(chosen, parameters, bits)


def _require_free(out: Path) -> IndexNote | None:
    """The index that is in the folder."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        return read_note(out)
    except DataError as error:
        raise RunError(f"{out}: holds something else than an index; expected a new folder") from error


def _require_same(out: Path, earlier: IndexNote | None, digests: Mapping[str, str]) -> None:
    """Nothing of other codes may be lost."""
    held = earlier and {modality: part.digest for modality, part in earlier.parts.items()}
    if held not in (None, digests):
        raise RunError(f"{out}: holds an index of other codes; expected a new folder")


@contextlib.contextmanager
def _unfinished(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` that no other process writes to; what is left of it is removed."""
    folder = out.with_name(f".{out.name}-unfinished")
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_open(folder, handle):
            raise BlockingIOError  # it was finished by another process after it was opened here
    except BlockingIOError as error:
        os.close(handle)
        raise RunError(f"{out}: another process is building this index") from error
    try:
        for path in folder.iterdir():  # of a process that was killed
            path.unlink()
        yield folder
    finally:
        if _is_open(folder, handle):  # else it was moved, and what is there now is of another process
            shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _is_open(folder: Path, handle: int) -> bool:
    return folder.exists() and os.path.samestat(os.fstat(handle), folder.stat())


def _join(folder: Path, modality: str, sources: Sequence[Codes]) -> str:
    """Writes the codes and items of all sources; returns their digest."""
    state = hashlib.sha256()
    with open(folder / f"{modality}.codes", "wb") as file:
        for codes in sources:
            for start in range(0, len(codes.codes), _ROWS_AT_ONCE):
                block = np.ascontiguousarray(codes.codes[start : start + _ROWS_AT_ONCE]).data
                file.write(block)
                state.update(block)
    with open(folder / f"{modality}.items", "wb") as file:
        for codes in sources:
            for lines in codes.items.content():
                file.write(lines)
                state.update(lines)
    return state.hexdigest()


def _build_part(
    folder: Path, modality: str, sources: Sequence[Codes], kind: str, parameters: dict[str, int], digest: str
) -> PartNote:
    note = PartNote(
        kind=kind,
        parameters=parameters,
        digest=digest,
        faiss_bytes=0,
        distinct=0,
        sources=tuple(Source(codes.root, len(codes.codes)) for codes in sources),
    )
    if kind == "flat":
        return note
    codes = read_codes_file(folder / f"{modality}.codes", note.items, sources[0].bits)
    equal, file = group_equal(codes), folder / f"{modality}.faiss"
    write_equal(folder / f"{modality}.equal", equal)
    try:
        load_faiss().write_index_binary(build(kind, parameters, codes[equal.distinct]), str(file))
    except RuntimeError as error:  # the message is a trace of C++
        raise RunError(f"{folder}: FAISS cannot build or write the index, out of memory or disk") from error
    return PartNote(**vars(note) | {"faiss_bytes": file.stat().st_size, "distinct": len(equal.distinct)})


def _sync(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _move(folder: Path, out: Path) -> None:
    """Puts a finished index in its place; an earlier one is gone only when the new one is there."""
    if not out.exists() or not any(out.iterdir()):
        folder.rename(out)
        return
    earlier = out.with_name(f".{out.name}-earlier")
    shutil.rmtree(earlier, ignore_errors=True)
    out.rename(earlier)
    folder.rename(out)
    shutil.rmtree(earlier)
