"""Encoding a collection of any size: read, coded and written batch after batch.

Entries are coded in fixed batches of the whole list. Shards take whole batches, so that their codes, one
after the other, are those of a single run to the last bit.
"""

import collections
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gch.data.pictures import read_picture
from gch.errors import DataError
from gch.search.codes_folder import CodesWriter
from gch.search.entries import Entries, Entry
from gch.search.exported import ExportedModel
from gch.terminal import quiet_stderr

SECONDS_BETWEEN_SAVES = 1.0
EMPTY = "neither a picture nor a text"
FROM_TEXT = "coded from its text"
UNKNOWN = "none of its words is known to the model"
_SHOWN = 3


class _Coded(NamedTuple):
    """A batch of n entries."""

    entries: Sequence[Entry]
    codes: np.ndarray  # uint8 (n, K / 8)
    coded: np.ndarray  # bool (n,), whether they have a code
    reasons: Sequence[str | None]  # why one could not be read whole


def load_on_devices(path: Path) -> list[ExportedModel]:
    """An exported model on every GPU of this machine, or a single one without several GPUs."""
    with quiet_stderr():
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        devices = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
    return [ExportedModel(path, device) for device in (devices if len(devices) > 1 else [None])]


def shard_range(total: int, batch: int, shard: tuple[int, int]) -> tuple[int, int]:
    """First entry of a shard, and the one after its last: whole batches, shared evenly."""
    number, count = shard  # from 1 on
    batches = -(-total // batch)
    first, last = (batches * done // count * batch for done in (number - 1, number))
    return min(first, total), min(last, total)


def encode_entries(
    entries: Entries,
    models: Sequence[ExportedModel],
    writer: CodesWriter,
    *,
    start: int,
    batch: int,
    jobs: int,
    progress: Callable[[int, int], None],
) -> list[tuple[Entry, str]]:
    """Encodes the rest of a shard; returns the first entries that could not be read whole, with reasons.

    Args:
      entries: of all shards.
      models: the model on each device; batches go to them in turn.
      writer: holds the number of finished entries of the shard, and receives the rest.
      start: first entry of the shard.
      batch: entries that are encoded together.
      jobs: threads that read pictures.
      progress: called with the number of entries done and of all.

    Raises:
      DataError: the list cannot be read, or became shorter.
    """
    done, total = writer.note.done, writer.note.entries
    left = itertools.islice(entries, start + done, start + total)
    batches = iter(lambda: list(itertools.islice(left, batch)), [])
    skipped: list[tuple[Entry, str]] = []
    saved = time.monotonic()
    progress(done, total)
    for some in _coded(batches, entries.modality, Path(entries.root), models, jobs):
        whole = itertools.compress(some.entries, some.coded)
        writer.write(some.codes[some.coded], [(entry.id, entry.shown) for entry in whole])
        for entry, coded, reason in zip(some.entries, some.coded.tolist(), some.reasons, strict=True):
            if reason is not None:
                writer.skip(entry.id, reason, coded)
                skipped += [(entry, reason)] if len(skipped) < _SHOWN else []
        done += len(some.entries)
        if done == total or time.monotonic() - saved >= SECONDS_BETWEEN_SAVES:
            writer.save(done)
            saved = time.monotonic()
        progress(done, total)
    if done != total:
        raise DataError(f"{entries.root or 'texts'}: {done} entries, {total} when it began; the list changed")
    return skipped


def _coded(
    batches: Iterator[list[Entry]],
    modality: str,
    root: Path,
    models: Sequence[ExportedModel],
    jobs: int,
) -> Iterator[_Coded]:
    """Batches in order; while one is coded, the files of the next ones are read."""
    note = models[0].note

    def read(entry: Entry) -> np.ndarray | str:
        path = root / entry.id
        if not Path(os.path.realpath(path)).is_relative_to(root):
            return "a link to a file outside the folder, expected a picture inside it"
        try:
            return read_picture(path, note.image_size, note.fit)
        except DataError as error:
            return str(error).removeprefix(f"{path}: ")

    def code(entries: list[Entry], pictures: list[Future | None], model: ExportedModel) -> _Coded:
        if entries[0].vector is not None:
            vectors = np.array([entry.vector for entry in entries])
            codes = model.vector_outputs(modality, vectors).codes
            return _Coded(entries, codes, np.ones(len(entries), bool), [None] * len(entries))
        found = [None if picture is None else picture.result() for picture in pictures]
        read = [None if isinstance(picture, str) else picture for picture in found]
        codes, coded = model.codes_of_halves(read, [entry.text for entry in entries])
        reasons = list(map(_reason, entries, found, coded.tolist()))
        return _Coded(entries, codes, coded, reasons)

    readers, coders = ThreadPoolExecutor(jobs, "pictures"), ThreadPoolExecutor(len(models), "devices")
    waiting: collections.deque[Future[_Coded]] = collections.deque()
    try:
        for one, model in zip(batches, itertools.cycle(models)):
            pictures = [readers.submit(read, entry) if entry.pictured else None for entry in one]
            waiting.append(coders.submit(code, one, pictures, model))
            if len(waiting) > 2 * len(models):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for pool in (readers, coders):
            pool.shutdown(cancel_futures=True)


def _reason(entry: Entry, picture: np.ndarray | str | None, coded: bool) -> str | None:
    """Why an entry could not be read whole, where `picture` is what was read of it."""
    unread = [picture] if isinstance(picture, str) else []
    if coded:
        return f"{unread[0]}; {FROM_TEXT}" if unread else None
    return "; ".join([*unread, *([UNKNOWN] if entry.text is not None else [])]) or EMPTY
