"""An index in a folder: building it from codes, and opening it.

index.json     bits, model, and of each modality kind, parameters, number of items and where they are from
image.codes    packed codes, K / 8 bytes an item; with image.items they are as `encode` writes them
image.items    an item a line
image.faiss    FAISS's index of the distinct codes, and
image.equal    the rows of each, see `gch.search.index_kinds`; a flat index has neither
text.codes ... the same of texts, and of pairs

The files are written to a folder inside that of the index, and moved when they are whole, index.json last. A
process that is killed leaves a new index without index.json, and an earlier one as it was; killed while it
moves files, a mixture, which checksums find: building the index again mends it.
"""

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gch.data.text_files import shown
from gch.errors import DataError, RunError, SettingError, writing
from gch.search import codes_folder
from gch.search.codes_folder import MODALITIES, Codes, Items, by_modality, read_codes_file, require_one_model
from gch.search.collection_index import CollectionIndex, IndexPart, Source
from gch.search.engine.client import is_engine
from gch.search.hamming import exact_search
from gch.search.index_kinds import (
    AUTO,
    KINDS,
    build,
    choose,
    complete,
    faiss_search,
    file_checksum,
    group_equal,
    load_faiss,
    read,
    read_equal,
    write_equal,
)
from gch.search.note_file import read_note_file, require_bits, require_bytes, write_note_file
from gch.storage import lock, unfinished_folder

NOTE = "index.json"
_ROWS_AT_ONCE = 1_000_000
_FILES = {f"{name}.{suffix}" for name in MODALITIES for suffix in ("codes", "items", "faiss", "equal")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartNote:
    """The items of a modality."""

    kind: str  # one of `gch.search.index_kinds.KINDS`
    parameters: Mapping[str, int]  # all of the kind
    digest: str  # of codes and items
    codes_checksum: int = 0  # CRC-32 of the codes; 0: of an earlier version, which kept none
    faiss_bytes: int = 0  # length of FAISS's file
    faiss_checksum: int = 0  # its CRC-32; 0: of an earlier version, which kept none
    distinct: int = 0  # number of distinct codes in it
    sources: tuple[Source, ...]  # in the order of rows

    @property
    def items(self) -> int:
        """Number of items N."""
        return sum(source.items for source in self.sources)


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndexNote:
    """The content of index.json."""

    bits: int  # length of a code K
    model: str  # digest of the model that made the codes
    parts: Mapping[str, PartNote]  # by modality

    def __post_init__(self) -> None:
        require_bits(self.bits)
        if not self.parts or not set(self.parts) <= set(MODALITIES):
            raise ValueError(f"parts are {shown(list(self.parts))}, expected image, text or pair")


def read_note(folder: Path) -> IndexNote:
    """The content of index.json in a folder."""
    return read_note_file(folder / NOTE, IndexNote, "expected a folder that `index` wrote")


def open_index(path: str | Path) -> CollectionIndex:
    """Opens an index; a folder of codes counts as a flat one.

    Args:
      path: the folder, or the URI of an engine, see `gch.search.engine.client`.

    Raises:
      DataError: there is none, or it is damaged or of an unknown kind.
      RunError: FAISS or the engine's client is not installed, or the engine cannot be reached.
      SettingError: the URI is not valid.
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
        found = f"{shown(note.kind)} with {shown(list(note.parameters))}"
        expected = f"expected {', '.join(KINDS)}; build the index again"
        raise DataError(f"{folder}: kind of the {modality}s is {found}; {expected}")
    try:
        complete(note.kind, note.parameters, bits)
    except SettingError as error:
        raise DataError(f"{folder / NOTE}: {modality}s: {error}; build the index again") from error
    file, again = folder / f"{modality}.codes", "build the index again"
    codes = read_codes_file(file, note.items, bits, note.codes_checksum, again)
    items = Items([(folder / f"{modality}.items", note.items)])
    search = exact_search(codes)
    if note.kind != "flat":
        file = folder / f"{modality}.faiss"
        require_bytes(file, note.faiss_bytes, "build the index again")
        # FAISS would end the process, or never end, on some damaged files.
        if note.faiss_checksum and file_checksum(file) != note.faiss_checksum:
            raise DataError(f"{file}: damaged, its checksum differs; build the index again")
        equal = read_equal(folder / f"{modality}.equal", note.items, note.distinct)
        search = faiss_search(read(file, note.kind, note.parameters, note.distinct, bits), equal, search)
    return IndexPart(modality, note.kind, note.sources, search, codes.__getitem__, items.at)


def build_index(
    sources: Sequence[Codes], out: Path, kind: str = AUTO, parameters: Mapping[str, int] | None = None
) -> IndexNote:
    """Writes an index of all codes; their folders may be removed afterwards.

    Args:
      sources: of one model, of images, texts, pairs or several of these; those of a modality are joined in
        their order.
      out: the folder of the index; an earlier index of the same codes is replaced.
      kind: one of `gch.search.index_kinds.KINDS`, or 'auto', which chooses for each modality by its size.
      parameters: of that kind; those left out have their defaults.

    Raises:
      DataError: the codes are of different models, or there are none.
      RunError: the folder holds something else, cannot be written, another process builds there, or FAISS is
        needed and not installed.
      SettingError: the kind or a parameter is unknown or out of range.
    """
    require_one_model(sources)
    bits, model = sources[0].bits, sources[0].model
    groups = by_modality(sources)
    kinds = {name: choose(kind, sum(len(one.codes) for one in group)) for name, group in groups.items()}
    chosen = {name: complete(kinds[name], parameters or {}, bits) for name in groups}
    if any(kind != "flat" for kind in kinds.values()):
        load_faiss()
    _earlier(out)  # before anything is written there
    with lock(out, "another process is building this index"):
        earlier = _earlier(out)
        with writing(out), unfinished_folder(out) as folder:
            digests = {name: _join(folder, name, group) for name, group in groups.items()}
            if earlier and digests != {name: part.digest for name, part in earlier.parts.items()}:
                raise RunError(f"{out}: holds an index of other codes; expected a new folder")
            parts = {
                name: _build_part(folder, name, group, kinds[name], chosen[name], digests[name])
                for name, group in groups.items()
            }
            note = IndexNote(bits=bits, model=model, parts=parts)
            write_note_file(folder / NOTE, note)
            _put_in_place(folder, out)
    return note


def _earlier(out: Path) -> IndexNote | None:
    """The index in the folder; None if there is none, or a process was killed before it wrote index.json."""
    if not out.exists():
        return None
    if out.is_dir() and all(name in _FILES or name.startswith(".") for name in os.listdir(out)):
        return None
    try:
        return read_note(out)
    except DataError as error:
        raise RunError(f"{out}: holds something other than an index; expected a new folder") from error


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
    built = {"codes_checksum": file_checksum(folder / f"{modality}.codes")}
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
        built |= {"faiss_bytes": file.stat().st_size, "faiss_checksum": file_checksum(file)}
        built |= {"distinct": len(equal.distinct)}
    places = tuple(Source(one.root, len(one.codes)) for one in sources)
    return PartNote(kind=kind, parameters=parameters, digest=digest, sources=places, **built)


def _put_in_place(folder: Path, out: Path) -> None:
    names = [*sorted(_FILES.intersection(os.listdir(folder))), NOTE]
    for name in names:
        with open(folder / name, "rb+") as file:
            os.fsync(file.fileno())
    for name in names:
        os.replace(folder / name, out / name)
    for name in _FILES.difference(names):  # of an earlier index of another kind
        (out / name).unlink(missing_ok=True)
