"""A stage of an outer epoch: many steps of one kind."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf


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
    shown: those of the losses that the terminal has room for; none: all.
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
    shown: tuple[str, ...] = ()
