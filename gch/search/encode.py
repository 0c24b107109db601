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

import numpy as np

from gch.data.pictures import read_picture
from gch.errors import DataError
from gch.search.codes_folder import CodesWriter
from gch.search.entries import Entries, Entry
from gch.search.exported import ExportedModel
from gch.terminal import quiet_stderr

SECONDS_BETWEEN_SAVES = 1.0
UNKNOWN = "none of its words is known to the model"
_SHOWN = 3

# Entries, for each the reason why it could not be coded or None, and the codes of the others.
_Coded = tuple[Sequence[Entry], Sequence[str | None], np.ndarray]


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
    """Encodes the rest of a shard; returns the first skipped entries, with reasons.

    Args:
      entries: of all shards.
      models: the model on each device; pictures go to them in turn, texts to the first.
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
    if entries.modality == "image":
        coded = _coded_pictures(batches, Path(entries.root), models, jobs)
    else:
        coded = _coded_texts(batches, models[0])
    skipped: list[tuple[Entry, str]] = []
    saved = time.monotonic()
    progress(done, total)
    for some, reasons, codes in coded:
        results = list(zip(some, reasons, strict=True))
        writer.write(codes, [(entry.id, entry.shown) for entry, reason in results if reason is None])
        for entry, reason in results:
            if reason is not None:
                writer.skip(entry.id, reason)
                skipped += [(entry, reason)] if len(skipped) < _SHOWN else []
        done += len(some)
        if done == total or time.monotonic() - saved >= SECONDS_BETWEEN_SAVES:
            writer.save(done)
            saved = time.monotonic()
        progress(done, total)
    if done != total:
        raise DataError(f"{entries.root or 'texts'}: {done} entries, {total} when it began; the list changed")
    return skipped


def _coded_texts(batches: Iterator[list[Entry]], model: ExportedModel) -> Iterator[_Coded]:
    for entries in batches:
        outputs = model.text_outputs([entry.text or "" for entry in entries])
        known = np.asarray(outputs.words) > 0
        yield entries, [None if word else UNKNOWN for word in known.tolist()], outputs.codes[known]


def _coded_pictures(
    batches: Iterator[list[Entry]], root: Path, models: Sequence[ExportedModel], jobs: int
) -> Iterator[_Coded]:
    """Batches of pictures in order; while one is coded, the files of the next ones are read."""
    note = models[0].note

    def read(entry: Entry) -> np.ndarray | str:
        path = root / entry.id
        if not Path(os.path.realpath(path)).is_relative_to(root):
            return "a link to a file outside the folder, expected a picture inside it"
        try:
            return read_picture(path, note.image_size, note.fit)
        except DataError as error:
            return str(error).removeprefix(f"{path}: ")

    def code(entries: list[Entry], pictures: list[Future], model: ExportedModel) -> _Coded:
        found = [picture.result() for picture in pictures]
        whole = [picture for picture in found if not isinstance(picture, str)]
        none = np.empty((0, note.bits // 8), np.uint8)
        codes = model.picture_outputs(np.stack(whole)).codes if whole else none
        return entries, [one if isinstance(one, str) else None for one in found], codes

    readers, coders = ThreadPoolExecutor(jobs, "pictures"), ThreadPoolExecutor(len(models), "devices")
    waiting: collections.deque[Future[_Coded]] = collections.deque()
    try:
        for one, model in zip(batches, itertools.cycle(models)):
            pictures = [readers.submit(read, entry) for entry in one]
            waiting.append(coders.submit(code, one, pictures, model))
            if len(waiting) > 2 * len(models):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for pool in (readers, coders):
            pool.shutdown(cancel_futures=True)
