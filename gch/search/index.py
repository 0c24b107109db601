"""Opening an index, or a folder of codes as one."""

from pathlib import Path

from gch.errors import DataError
from gch.search import codes_folder
from gch.search.collection_index import NOTE, CollectionIndex, IndexPart, PartNote, Source, read_note
from gch.search.engine.address import is_engine
from gch.search.hamming import exact_search
from gch.search.index_kinds import KINDS, faiss_search, read, read_equal
from gch.search.note_file import require_bytes


def open_index(path: str | Path) -> CollectionIndex:
    """Opens an index; a folder of codes counts as a flat one.

    Args:
      path: the folder, or the URI of an engine, see `gch.search.engine.address`.

    Raises:
      DataError: there is none, or it is damaged or of an unknown kind.
      RunError: FAISS or the engine's client is not installed, or the engine cannot be reached.
      SettingError: the URI is none.
    """
    if is_engine(path):
        from gch.search.engine.index import open_engine  # its client is an extra

        return open_engine(str(path))
    path = Path(path)
    if (path / NOTE).is_file():
        note = read_note(path)
        parts = {name: _open_part(path, name, part, note.bits) for name, part in sorted(note.parts.items())}
        return CollectionIndex(note.bits, note.model, parts)
    if not (path / codes_folder.NOTE).is_file() and not any(path.glob("shard-*-of-*")):
        expected = "expected a folder that `index` or `encode` wrote"
        raise DataError(f"{path}: no {NOTE} or {codes_folder.NOTE} in it; {expected}")
    codes = codes_folder.open_codes(path)
    sources = [Source(codes.root, len(codes.items))]
    search, code = exact_search(codes.codes), codes.codes.__getitem__
    part = IndexPart(codes.modality, "flat", sources, search, code, codes.items.at)
    return CollectionIndex(codes.bits, codes.model, {codes.modality: part})


def _open_part(folder: Path, modality: str, note: PartNote, bits: int) -> IndexPart:
    if note.kind not in KINDS or note.parameters.keys() != KINDS[note.kind].keys():
        raise DataError(
            f"{folder}: kind of the {modality}s is {note.kind!r} with "
            f"{', '.join(note.parameters) or 'no parameters'}; expected {', '.join(KINDS)}; build the index "
            "again"
        )
    codes = codes_folder.read_codes_file(folder / f"{modality}.codes", note.items, bits)
    items = codes_folder.Items([(folder / f"{modality}.items", note.items)])
    search = exact_search(codes)
    if note.kind != "flat":
        file = folder / f"{modality}.faiss"
        require_bytes(file, note.faiss_bytes, "build the index again")
        equal = read_equal(folder / f"{modality}.equal", note.items, note.distinct)
        search = faiss_search(read(file, note.kind, note.parameters, note.distinct, bits), equal)
    return IndexPart(modality, note.kind, note.sources, search, codes.__getitem__, items.at)
