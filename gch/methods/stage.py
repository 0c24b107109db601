"""A stage of an outer epoch, as data: many steps of one kind, which `gch.training.loop` compiles."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

Losses = dict[str, tf.Tensor]


class Batch(NamedTuple):
    """What a step works on.

    Attributes:
      positions: int (B,), of training items; no position occurs twice.
      images: features (B, F) of a frozen backbone, or pixels uint8 (B, H, W, 3) for a trained one; None in a
        stage that reads no images.
    """

    positions: tf.Tensor
    images: tf.Tensor | None


def _nothing(*_) -> None:
    pass


@dataclasses.dataclass(frozen=True)
class Update:
    """One step of gradient descent.

    Attributes:
      loss: takes the batch and the outputs of the stage's `forward`; returns the parts of the loss, float
        scalars by name. Their sum is minimised. A function of variables alone.
      trains: what it is minimised over.
      optimizer: built for these variables.
      rate: learning rate of the first outer epoch.
      decays: whether the schedule lowers the rate.
    """

    loss: Callable[[Batch, Any], Losses]
    trains: Sequence[keras.Variable]
    optimizer: keras.optimizers.Optimizer
    rate: float
    decays: bool = True


@dataclasses.dataclass(frozen=True)
class Stage:
    """Attributes:
    name: such as 'text/label'.
    steps: number of steps.
    forward: a batch to the outputs that all updates share; recorded for their gradients.
    updates: of a step, in order.
    after: what follows the updates, from the batch and the outputs: a scatter into the code memory, signs.
    begin: sets what is constant during the stage, such as targets. Called again when the stage resumes, so
      it may depend only on what the stage leaves alone.
    reads_images: whether a batch has images.
    shown: those parts of the losses that the terminal has room for; none: all.
    """

    name: str
    steps: int
    forward: Callable[[Batch], Any]
    updates: tuple[Update, ...]
    after: Callable[[Batch, Any], None] = _nothing
    begin: Callable[[], None] = _nothing
    reads_images: bool = False
    shown: tuple[str, ...] = ()


def state(value, dtype=None, name: str | None = None) -> tf.Variable:
    """A variable that no optimizer trains. Every replica has a copy, and assigns to it what all assign."""
    return tf.Variable(value, trainable=False, dtype=dtype, name=name)
