"""A stage as one compiled program on the device: batches drawn, gradients applied, memories scattered.

Python sees the loop, not the steps. Where the pixels of a trained backbone come from the host, Python's part
is a queue of batches, and the program is a step.
"""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from gch.data.stream import image_batches, reading_errors
from gch.methods.batch import draw_order
from gch.methods.items import TrainingItems
from gch.methods.method import Batch, Losses, Stage
from gch.methods.optimizer import learning_rate
from gch.settings import Settings
from gch.storage import digest

MOST_PARTS = 16  # of a stage's losses


class StageLoop:
    """Runs any part of a stage: the batches depend on seed, pass and step alone, not on where it starts.

    `batch_size` counts the items of all replicas together. XLA compiles for one device only.
    """

    def __init__(
        self,
        stage: Stage,
        items: TrainingItems,
        batch_size: int,
        jit_compile: bool = False,
        strategy: tf.distribute.Strategy | None = None,
    ):
        self.stage = stage
        self._items, self._batch_size = items, batch_size
        self._steps_per_pass = len(items) // batch_size
        self._strategy = strategy or tf.distribute.get_strategy()
        several = self._strategy.num_replicas_in_sync > 1
        jit_compile = jit_compile and not several
        self._parts: list[str] = []
        self._streams = stage.reads_images and items.images is None
        # Replicas synchronise within a step, so the step must not be a function of its own then.
        self._step = self._packed if several else tf.function(self._packed, jit_compile=jit_compile)
        self._run_drawn = tf.function(self._drawn, jit_compile=jit_compile)
        self._run_streamed = tf.function(self._streamed)

    def trace(self) -> Callable[[], object] | None:
        """Traces the program; returns what compiles it, without a step, in any thread. None for a streamed
        stage, which compiles with its first step.
        """
        if self._streams:
            return None
        integer = tf.TensorSpec((), tf.int32)
        traced = self._run_drawn.get_concrete_function(tf.TensorSpec((2,), tf.int64), integer, integer)
        return lambda: traced(tf.zeros(2, tf.int64), tf.constant(0), tf.constant(0))

    def open(self, seed: tuple[int | str, ...], first: int) -> Callable[[int], dict[str, float]]:
        """Prepares to run the stage from step `first`, by a function of the number of steps to run, which
        returns the mean of each part of the losses over them.
        """
        self.stage.begin()
        # Two numbers that change with any part of `seed`.
        numbers = np.frombuffer(bytes.fromhex(digest(*seed))[:16], np.int64) & (2**62 - 1)
        drawn, done, batches = tf.constant(numbers), first, None
        if self._streams and self._items.pictures:
            which = {"seed": int(numbers[0]), "start_step": first, "steps": self.stage.steps - first}
            batches = iter(image_batches(self._items.pictures, self._items.rows, self._batch_size, **which))

        def run(count: int) -> dict[str, float]:
            nonlocal done
            if batches is None:
                totals = self._run_drawn(drawn, tf.constant(done), tf.constant(done + count))
            else:
                with reading_errors():
                    totals = self._run_streamed(batches, tf.constant(count))
            done += count
            means = totals.numpy() / np.float32(count)
            return dict(zip(self._parts, means.tolist(), strict=False))

        return run

    def _streamed(self, batches: Iterator, count: tf.Tensor) -> tf.Tensor:
        totals = tf.zeros([MOST_PARTS])
        for _ in tf.range(count):
            positions, images = next(batches)
            totals += self._on_replicas(self._step, positions, images)
        return totals

    def _drawn(self, seed: tf.Tensor, first: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
        """The sums of the losses of steps `first` to `end` - 1, pass after pass."""
        totals, step = tf.zeros([MOST_PARTS]), first
        while step < end:
            number = step // self._steps_per_pass
            order, start = draw_order(seed, number, len(self._items)), number * self._steps_per_pass
            last = tf.minimum(end, start + self._steps_per_pass)
            while step < last:
                positions = tf.slice(order, [(step - start) * self._batch_size], [self._batch_size])
                totals += self._on_replicas(self._packed, positions)
                step += 1
        return totals

    def _on_replicas(self, step: Callable, *batch: tf.Tensor) -> tf.Tensor:
        losses = self._strategy.run(step, args=batch)
        return self._strategy.experimental_local_results(losses)[0]  # they are the same on all replicas

    @tf.autograph.experimental.do_not_convert  # it would rewrite every function that a step calls
    def _packed(self, positions: tf.Tensor, images: tf.Tensor | None = None) -> tf.Tensor:
        """The losses of a step in the order of `self._parts`, filled up with zeros."""
        if images is None and self.stage.reads_images:
            images = tf.gather(self._items.images, positions)
        parts = self.step(Batch(positions, images))
        self._parts = list(parts)
        values = tf.stack([tf.cast(value, tf.float32) for value in parts.values()])
        return tf.pad(values, [[0, MOST_PARTS - len(parts)]])

    def step(self, batch: Batch) -> Losses:
        """One step; returns the parts of its losses."""
        stage, replicas = self.stage, self._strategy.num_replicas_in_sync
        tape = tf.GradientTape(persistent=len(stage.updates) > 1)
        with tape:
            outputs = stage.forward(batch)
        parts: Losses = {}
        for update in stage.updates:
            with tape:
                losses = update.loss(batch, outputs)
                # Optimizers add up the gradients of all replicas.
                total = update.optimizer.scale_loss(tf.add_n(list(losses.values()))) / replicas
            gradients = tape.gradient(total, [variable.value for variable in update.trains])
            # Keras would warn of what has no gradient, such as the codes of students that learn labels alone.
            found = [pair for pair in zip(gradients, update.trains, strict=True) if pair[0] is not None]
            update.optimizer.apply(*zip(*found, strict=True))
            parts |= losses
        stage.after(batch, outputs)
        return parts


def set_rates(stage: Stage, settings: Settings, epoch: int) -> float:
    """Sets the learning rates of a stage in outer epoch `epoch`, from 0; returns that of the last update."""
    schedule = settings.decay, settings.decay_steps, epoch, settings.decay_early
    for update in stage.updates:
        rate = learning_rate(update.rate, *schedule) if update.decays else update.rate
        update.optimizer.learning_rate = rate
    return rate
