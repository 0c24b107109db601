"""A stage: many steps of one kind. It runs as one compiled loop on the device; Python sees the loop only."""

import dataclasses
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from gch.data.stream import image_batches, reading_errors
from gch.storage import digest
from gch.training.inputs import TrainingItems


@dataclasses.dataclass(frozen=True)
class Stage:
    """Attributes:
    name: such as 'text/label'.
    steps: number of steps.
    update: one step: takes positions int64 (B,) of training items and their images (features (B, F) of a
      frozen backbone, pixels (B, H, W, 3) uint8 of a trained one, None where `reads_images` is False),
      returns a float scalar for every name in `parts`.
    parts: names of the losses.
    optimizers: each with its base learning rate.
    reads_images: whether `update` needs images.
    begin: sets what is constant during the stage, such as the targets. Called again when the stage resumes,
      so it may depend only on what the stage leaves alone.
    """

    name: str
    steps: int
    update: Callable[[tf.Tensor, tf.Tensor | None], dict[str, tf.Tensor]]
    parts: tuple[str, ...]
    optimizers: tuple[tuple[keras.optimizers.Optimizer, float], ...]
    reads_images: bool
    begin: Callable[[], None]


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
                    items.pairs,
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
