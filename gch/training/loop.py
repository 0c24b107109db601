"""A stage as one compiled loop on the device: batches drawn, steps taken; Python sees the loop only."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from gch.data.stream import image_batches, reading_errors
from gch.methods.items import TrainingItems
from gch.methods.stage import Stage
from gch.storage import digest


class StageLoop:
    """Runs any part of a stage: the batches depend on seed, pass and step alone, not on where it starts."""

    def __init__(self, stage: Stage, items: TrainingItems, batch_size: int):
        self.stage = stage
        self._items = items
        self._batch_size = batch_size
        self._steps_per_pass = len(items) // batch_size
        self._streams = stage.reads_images and items.features is None
        self._drawn = tf.function(self._run_drawn)
        self._streamed = tf.function(self._run_streamed)

    def open(self, seed: tuple[int | str, ...], first: int) -> Callable[[int], np.ndarray]:
        """Prepares to run the stage from step `first`.

        Args:
          seed: what the order of the items depends on, besides the pass.
          first: number of steps already done.

        Returns:
          A function that runs the next `count` steps and returns the mean of each part of the loss over
          them, float32 (parts,).
        """
        self.stage.begin()
        numbers = _numbers(seed)
        if self._streams:
            items = self._items
            left = self.stage.steps - first
            batches = iter(
                image_batches(
                    items.pictures,
                    items.rows,
                    self._batch_size,
                    seed=int(numbers[0]),
                    start_step=first,
                    steps=left,
                )
            )

            def run_streamed(count: int) -> np.ndarray:
                with reading_errors():
                    return self._streamed(batches, tf.constant(count)).numpy()

            return run_streamed
        number = tf.constant(numbers)
        done = first

        def run(count: int) -> np.ndarray:
            nonlocal done
            losses = self._drawn(number, tf.constant(done), tf.constant(count))
            done += count
            return losses.numpy()

        return run

    def _run_streamed(self, batches: Iterator, count: tf.Tensor) -> tf.Tensor:
        total = tf.zeros([len(self.stage.parts)])
        for _ in tf.range(count):
            positions, images = next(batches)
            total += self._update(positions, images)
        return total / tf.cast(count, tf.float32)

    def _run_drawn(self, seed: tf.Tensor, first: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        total = tf.zeros([len(self.stage.parts)])
        order = self._order(seed, first // self._steps_per_pass)
        for step in tf.range(first, first + count):
            slot = step % self._steps_per_pass
            if slot == 0:
                order = self._order(seed, step // self._steps_per_pass)
            positions = order[slot * self._batch_size : (slot + 1) * self._batch_size]
            images = tf.gather(self._items.features, positions) if self.stage.reads_images else None
            total += self._update(positions, images)
        return total / tf.cast(count, tf.float32)

    def _order(self, seed: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """The training positions in the order of pass `number`."""
        pass_seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(number, tf.int64))
        return tf.argsort(tf.random.stateless_uniform([len(self._items)], pass_seed))

    def _update(self, positions: tf.Tensor, images: tf.Tensor | None) -> tf.Tensor:
        losses = self.stage.update(positions, images)
        return tf.stack([losses[part] for part in self.stage.parts])


def _numbers(seed: tuple[int | str, ...]) -> np.ndarray:
    """Two int64 numbers that any difference in `seed` changes."""
    return np.frombuffer(bytes.fromhex(digest(*seed))[:16], np.int64) & (2**62 - 1)
