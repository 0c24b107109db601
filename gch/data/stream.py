"""Batches of images through tf.data: shuffled with bounded memory, read ahead, exact to resume.

Files of images are fast to read in runs of rows and slow row by row. So the order of an epoch is drawn in
two steps: first the file's blocks in random order, then, within each window of so many items, the items. A
window is read at once, each of its blocks once, and only the window is in memory. The order depends on the
seed and the epoch's number alone: a run that resumes draws it anew and reads from the step where it stopped.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from gch.data.pairs import Pictures
from gch.errors import DataError, SettingError

WINDOW = 1024  # Items in memory at once: 154 MB at 224 x 224.
_BATCHES_AHEAD = 2


def epoch_order(rows: np.ndarray, block: int, window: int, seed: int | Sequence[int]) -> np.ndarray:
    """Draws the order in which an epoch visits the items.

    Args:
      rows: int64 (n,), ascending row numbers of the data set.
      block: rows i and j lie in one block of the file when i // block == j // block; 1 or more.
      window: number of consecutive items that are shuffled among themselves, 1 or more.
      seed: integer or integers from 0 on; equal seeds give equal orders.

    Returns:
      int64 (n,), a permutation of 0..n-1: positions in `rows`. Of the blocks in a window, only the first and
      the last one reach into another.
    """
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    if len(rows) == 0:
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.diff(rows // block)) + 1
    runs = np.split(np.arange(len(rows), dtype=np.int64), starts)
    order = np.concatenate([runs[i] for i in random.permutation(len(runs))])
    for start in range(0, len(order), window):
        random.shuffle(order[start : start + window])
    return order


def image_batches(
    pictures: Pictures,
    rows: np.ndarray,
    batch_size: int,
    *,
    seed: int,
    start_step: int = 0,
    steps: int | None = None,
    window: int = WINDOW,
) -> tf.data.Dataset:
    """Shuffled batches of images, epoch after epoch.

    An epoch has E = n // batch_size steps; the items left over at its end are not visited in it. Step s of
    the stream is step s mod E of epoch s div E. Its content depends on `pictures`, `rows`, `batch_size`,
    `seed` and `window` only, wherever the stream starts. Memory holds one window and a few batches.
    Iterate under `reading_errors`.

    Args:
      pictures: of the data set.
      rows: int64 (n,), ascending row numbers of the data set.
      batch_size: B, from 1 to n.
      seed: integer from 0 on.
      start_step: the first step, counted from the beginning of epoch 0.
      steps: number of steps; None goes to the end of the epoch of `start_step`.
      window: number of items read and shuffled together.

    Returns:
      Data set of (positions, images): int64 (B,), positions in `rows`; uint8 (B, H, W, 3).

    Raises:
      SettingError: `batch_size` does not fit.
    """
    if not 1 <= batch_size <= len(rows):
        raise SettingError(
            f"batch size {batch_size}: expected 1 to {len(rows)}, the number of items to train on"
        )
    rows = np.asarray(rows, np.int64)
    epoch_steps = len(rows) // batch_size
    if steps is None:
        steps = epoch_steps - start_step % epoch_steps

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        step = start_step
        while step < start_step + steps:
            epoch, skipped = divmod(step, epoch_steps)
            taken = min(epoch_steps - skipped, start_step + steps - step)
            order = epoch_order(rows, pictures.block, window, (seed, epoch))
            yield from _cut(pictures, rows, order, window, batch_size, skipped, skipped + taken)
            step += taken

    return _dataset(pictures, generate, batch_size).apply(tf.data.experimental.assert_cardinality(steps))


def sequential_batches(pictures: Pictures, rows: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """All items in the order of `rows`, in batches of `batch_size` and a smaller last one.

    Iterate under `reading_errors`.

    Returns:
      Data set of (positions, images): int64 (b,), 0..n-1 in order; uint8 (b, H, W, 3), with b at most B.
    """
    rows = np.asarray(rows, np.int64)

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(rows), batch_size):
            positions = np.arange(start, min(start + batch_size, len(rows)), dtype=np.int64)
            yield positions, pictures.read(rows[positions])

    steps = -(-len(rows) // batch_size)
    return _dataset(pictures, generate, None).apply(tf.data.experimental.assert_cardinality(steps))


@contextlib.contextmanager
def reading_errors() -> Iterator[None]:
    """Raises a DataError of the reading thread as it was; TensorFlow hands it on as an error of its own.

    Wrap whatever consumes the batches: a Python loop, or the call of a tf.function.
    """
    try:
        yield
    except tf.errors.OpError as error:
        # TensorFlow keeps the type and the text of a Python exception.
        found = re.search(rf"\b{DataError.__name__}: (.+)", error.message)
        if found is None:
            raise
        raise DataError(found[1]) from error


def _cut(
    pictures: Pictures,
    rows: np.ndarray,
    order: np.ndarray,
    window: int,
    batch_size: int,
    first: int,
    end: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields steps `first` to `end` - 1 of an epoch, reading no item of an earlier or a later step."""
    batch, filled = None, 0
    item, stop = first * batch_size, end * batch_size
    while item < stop:
        positions = order[item : min((item // window + 1) * window, stop)]
        images = pictures.read(rows[positions])
        used = 0
        while used < len(positions):
            if batch is None:
                batch = np.empty(batch_size, np.int64), np.empty((batch_size, *images.shape[1:]), np.uint8)
            count = min(batch_size - filled, len(positions) - used)
            batch[0][filled : filled + count] = positions[used : used + count]
            batch[1][filled : filled + count] = images[used : used + count]
            filled, used = filled + count, used + count
            if filled == batch_size:
                yield batch
                batch, filled = None, 0
        item += len(positions)
        del images  # The next window must not find this one still in memory.


def _dataset(pictures: Pictures, generate, batch_size: int | None) -> tf.data.Dataset:
    signature = (
        tf.TensorSpec((batch_size,), tf.int64),
        tf.TensorSpec((batch_size, *pictures.size, 3), tf.uint8),
    )
    return tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(_BATCHES_AHEAD)
