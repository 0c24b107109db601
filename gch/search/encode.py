"""Encoding a collection of any size: read, coded and written batch after batch.

Entries are coded in fixed batches of the whole list. Shards take whole batches, so that their codes, one
after the other, are those of a single run to the last bit.
"""

import collections
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gch.data.pictures import read_picture
from gch.errors import DataError
from gch.search.codes_writer import CodesWriter
from gch.search.entries import Entries, Entry, part
from gch.search.exported import ExportedModel
from gch.search.replicas import Replicas

SECONDS_BETWEEN_SAVES = 1.0
UNKNOWN = "none of its words is known to the model"


class Coded(NamedTuple):
    """A batch of entries.

    Attributes:
      codes: uint8 (n, K / 8), of the n entries that could be coded.
      kept: these.
      skipped: the others, with reasons.
      entries: number of both.
    """

    codes: np.ndarray
    kept: list[Entry]
    skipped: list[tuple[Entry, str]]
    entries: int


def shard_range(total: int, batch: int, shard: tuple[int, int]) -> tuple[int, int]:
    """First entry of a shard, and the one after its last: whole batches, as many as the other shards have.

    Args:
      total: number of entries of the whole list.
      batch: entries in a batch.
      shard: its number, from 1 on, and the number of shards.
    """
    number, count = shard
    batches = -(-total // batch)
    first, last = (batches * done // count * batch for done in (number - 1, number))
    return min(first, total), min(last, total)


def encode_entries(
    entries: Entries,
    model: Replicas,
    writer: CodesWriter,
    *,
    start: int,
    batch: int,
    jobs: int,
    progress: Callable[[int, int], None],
) -> list[tuple[Entry, str]]:
    """Encodes what is left of a shard.

    Args:
      entries: of all shards.
      model: encodes them.
      writer: knows how many entries of the shard are done, and takes the rest.
      start: first entry of the shard.
      batch: entries in a batch.
      jobs: threads that read pictures.
      progress: called with the number of entries done and of all.

    Returns:
      The first entries that were skipped, with reasons.

    Raises:
      DataError: the list cannot be read, or became shorter.
    """
    done, total = writer.note.done, writer.note.entries
    batches = _batches(part(entries, start + done, start + total), batch)
    if entries.modality == "image":
        coded = _coded_pictures(batches, Path(entries.root), model, jobs)
    else:
        coded = (_coded_texts(one, model.model) for one in batches)
    told, saved = [], time.monotonic()
    progress(done, total)
    for one in coded:
        writer.write(one.codes, ((entry.id, entry.shown) for entry in one.kept))
        for entry, reason in one.skipped:
            writer.skip(entry.id, reason)
        told += one.skipped[: 3 - len(told)]
        done += one.entries
        if done == total or time.monotonic() - saved >= SECONDS_BETWEEN_SAVES:
            writer.save(done)
            saved = time.monotonic()
        progress(done, total)
    if done != total:
        raise DataError(f"{entries.root or 'texts'}: {done} entries, {total} when it began; the list changed")
    return told


def _batches(entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    entries = iter(entries)
    return iter(lambda: list(itertools.islice(entries, size)), [])


def _coded_pictures(
    batches: Iterator[list[Entry]], root: Path, model: Replicas, jobs: int
) -> Iterator[Coded]:
    """Batches of pictures coded in order, while the files of the next ones are read."""
    note = model.model.note

    def read(entry: Entry) -> np.ndarray:
        return read_picture(root / entry.id, note.image_size, note.fit)

    pool = ThreadPoolExecutor(jobs, "pictures")
    try:
        waiting = collections.deque()
        ahead = 2 * model.count + 1
        for one in batches:
            waiting.append((one, [pool.submit(read, entry) for entry in one]))
            if len(waiting) > ahead:
                yield from _coded_together([waiting.popleft() for _ in range(model.count)], root, model)
        while waiting:
            count = min(model.count, len(waiting))
            yield from _coded_together([waiting.popleft() for _ in range(count)], root, model)
    finally:
        pool.shutdown(cancel_futures=True)


def _coded_together(
    batches: Sequence[tuple[list[Entry], list[Future]]], root: Path, model: Replicas
) -> Iterator[Coded]:
    read = [_read(entries, futures, root) for entries, futures in batches]
    whole = [np.stack(pictures) for _, pictures, _ in read if pictures]
    results = iter(model.encode_pictures(whole) if whole else ())
    for kept, pictures, skipped in read:
        codes = next(results).codes if pictures else np.empty((0, model.model.note.bits // 8), np.uint8)
        yield Coded(codes, kept, skipped, len(kept) + len(skipped))


def _read(
    entries: list[Entry], futures: list[Future], root: Path
) -> tuple[list[Entry], list[np.ndarray], list[tuple[Entry, str]]]:
    kept, pictures, skipped = [], [], []
    for entry, future in zip(entries, futures, strict=True):
        try:
            pictures.append(future.result())
            kept.append(entry)
        except DataError as error:
            skipped.append((entry, str(error).removeprefix(f"{root / entry.id}: ")))
    return kept, pictures, skipped


def _coded_texts(entries: list[Entry], model: ExportedModel) -> Coded:
    found = model.encode_texts([entry.text for entry in entries])
    known = found.words > 0
    kept = [entry for entry, is_known in zip(entries, known, strict=True) if is_known]
    skipped = [(entry, UNKNOWN) for entry, is_known in zip(entries, known, strict=True) if not is_known]
    return Coded(found.codes[known], kept, skipped, len(entries))
