"""What a prepared data set holds beside its shards: words, labels, places of the pictures, and the index."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from gch.data.layouts import INDEX_NAME
from gch.data.pairs import OwnSplit, Pairs, SplitSizes
from gch.data.prepare_work import Work
from gch.data.prepared_index import FORMAT, VERSION, read_object
from gch.errors import DataError
from gch.storage import atomic_path, file_digest, write_json


def write_tables(work: Work, notes: list[dict]) -> None:
    """Writes everything but the shards, and the index last, unless it is there.

    Args:
      work: what is prepared.
      notes: of all shards, from `gch.data.prepare_shards.write_shards`.

    Raises:
      DataError: fewer than two pictures can be read, or none of a part of the source's split.
      OSError: the folder cannot be written.
    """
    records = np.concatenate([np.array(note["records"], np.int64).reshape(-1, 4) for note in notes])
    left_out = [message for note in notes for message in note["left_out"]]
    if len(records) < 2:
        found = "one picture" if len(records) else "no picture"
        raise DataError(f"{work.folder}: {found} can be read, expected two or more; {''.join(left_out[:1])}")
    kept = records[:, 0]
    split = _split_of(work, kept)
    writers = _tables(work.pairs, kept, records[:, 1:], split)
    index = {
        "format": FORMAT,
        "version": VERSION,
        "name": work.pairs.name,
        "items": len(kept),
        "size": list(map(int, work.pairs.pictures.size)),
        "encoding": work.encoding,
        "default_sizes": list(map(int, _sizes(work.pairs, len(kept), split))),
        "tag_names": list(work.pairs.tag_names),
        "label_names": list(work.pairs.label_names),
        "described": "items.jsonl" in writers,
        "split": split is not None,
        "plan": work.plan,
        "shards": [
            {"file": shard.name, "records": len(note["records"]), "bytes": note["bytes"]}
            | {"sha256": note["sha256"]}
            for shard, note in zip(work.shards, notes, strict=True)
        ],
        "left_out": left_out,
    }
    if read_object(work.folder / INDEX_NAME) == index | {"files": _digests(work.folder, writers)}:
        return
    (work.folder / INDEX_NAME).unlink(missing_ok=True)
    for name, write in writers.items():
        with atomic_path(work.folder / name) as temporary:
            write(temporary)
    write_json(work.folder / INDEX_NAME, index | {"files": _digests(work.folder, writers)})


def _digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: file_digest(folder / name) if (folder / name).is_file() else "" for name in names}


def _tables(
    pairs: Pairs, kept: np.ndarray, records: np.ndarray, split: OwnSplit | None
) -> dict[str, Callable[[Path], None]]:
    """What writes each file, by its name."""
    rows = slice(None) if len(kept) == len(pairs.labels) else kept
    tables = {
        "records.npy": lambda path: np.save(path, records),
        "texts.npy": lambda path: np.save(path, pairs.texts[rows]),
        "labels.npy": lambda path: np.save(path, pairs.labels[rows]),
    }
    if pairs.ids is not None or pairs.captions is not None:
        tables["items.jsonl"] = lambda path: _describe(path, pairs, kept.tolist())
    if split is not None:
        tables["split.npz"] = lambda path: np.savez(path, **split._asdict())
    return tables


def _describe(path: Path, pairs: Pairs, kept: list[int]) -> None:
    # Halves of surrogate pairs, which UTF-8 cannot hold, become escapes of JSON.
    with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
        for row in kept:
            item = {"id": str(row) if pairs.ids is None else pairs.ids[row]}
            if pairs.captions is not None:
                caption = pairs.captions[row]
                item["text" if isinstance(caption, str) else "tags"] = caption
            file.write(json.dumps(item, ensure_ascii=False) + "\n")


def _split_of(work: Work, kept: np.ndarray) -> OwnSplit | None:
    """The source's own split, in the numbers of the rows that were kept."""
    if work.pairs.own_split is None:
        return None
    split = OwnSplit(*(np.flatnonzero(np.isin(kept, rows)) for rows in work.pairs.own_split))
    for part, rows in split._asdict().items():
        if not len(rows):
            raise DataError(f"{work.folder}: {part}: no picture of it can be read")
    return split


def _sizes(pairs: Pairs, items: int, split: OwnSplit | None) -> SplitSizes:
    """The default split, less the items that were left out; queries stay as many as they can."""
    sizes = pairs.default_sizes
    if items == len(pairs.labels):
        return sizes
    if split is not None:
        validation = min(sizes.validation, len(split.training) - 1)
        return SplitSizes(
            len(split.query), len(split.retrieval), len(split.training) - validation, validation
        )
    query = min(sizes.query, max(1, items // 2))
    retrieval = min(sizes.retrieval, items - query)
    validation = min(sizes.validation, retrieval - 1)
    return SplitSizes(query, retrieval, min(sizes.training, retrieval - validation), validation)
