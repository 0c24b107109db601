"""Batches of images through tf.data: shuffled with bounded memory, read ahead, resumable exactly.

Files of images are fast to read in runs of rows and slow row by row. So the order of an epoch is drawn in
two steps: first the file's blocks in random order, then, within each window of so many items, the items. A
window is read at once, each of its blocks once.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from gch.data.pairs import Pictures
from gch.errors import DataError

WINDOW = 1024  # Items in memory at once: 154 MB at 224 x 224.
_BATCHES_AHEAD = 2


def epoch_order(rows: np.ndarray, block: int, window: int, seed: int | Sequence[int]) -> np.ndarray:
    """Draws the order of an epoch: int64 (n,), positions in `rows` (int64, ascending).

    Rows i and j lie in one block of the file when i // block == j // block. Of the blocks in a window of the
    order, only the first and the last one reach into another.
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
    """
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
            item, stop = skipped * batch_size, (skipped + taken) * batch_size
            while item < stop:  # No item of an earlier or a later step is read.
                positions = order[item : min((item // window + 1) * window, stop)]
                images = pictures.read(rows[positions])
                for start in range(0, len(positions), batch_size):
                    yield positions[start : start + batch_size], images[start : start + batch_size]
                item += len(positions)
                del images  # The next window must not find this one still in memory.
            step += taken

    return _dataset(pictures, generate, steps, batch_size)


def sequential_batches(pictures: Pictures, rows: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """All items in the order of `rows`, as in `image_batches`; the last batch may be smaller."""
    rows = np.asarray(rows, np.int64)

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(rows), batch_size):
            positions = np.arange(start, min(start + batch_size, len(rows)), dtype=np.int64)
            yield positions, pictures.read(rows[positions])

    return _dataset(pictures, generate, -(-len(rows) // batch_size))


@contextlib.contextmanager
def reading_errors() -> Iterator[None]:
    """Raises a DataError of the reading thread as it was, around whatever consumes the batches."""
    try:
        yield
    except tf.errors.OpError as error:  # Its message holds the type and text of the Python exception.
        found = re.search(rf"\b{DataError.__name__}: (.+)", error.message)
        if found is None:
            raise
        raise DataError(found[1]) from error


def _dataset(
    pictures: Pictures,
    generate: Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]],
    steps: int,
    batch_size: int | None = None,
) -> tf.data.Dataset:
    """What `generate` yields, read ahead; cut into batches of one size where one is given."""
    signature = (tf.TensorSpec((None,), tf.int64), tf.TensorSpec((None, *pictures.size, 3), tf.uint8))
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    if batch_size is not None:
        dataset = dataset.rebatch(batch_size, drop_remainder=True)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    return dataset.prefetch(_BATCHES_AHEAD)
