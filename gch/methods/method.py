"""What a hashing method offers to training, evaluation and export."""

from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from gch.methods.stage import Stage


class Method(Protocol):
    """Attributes:
    networks: all networks by name, and single layers that have weights of their own.
    encoders: what makes codes, of the networks' layers. 'image' maps images (features (B, F) of a frozen
      backbone, else pixels (B, H, W, 3)) and 'text' maps float texts (B, D) to a dictionary with `code`
      (B, K) in (-1, 1) and `label` logits (B, C).
    encoders_without_own: where encoders look training items up, the same encoders with a second input, int32
      (B,): the position of a training item, whose own entry is then left out, or -1. Else empty.
    encoding_batch: items that are encoded together where a code depends on its batch, else None.
    optimizers: all optimizers by name.
    memories: variables beside networks and optimizers that a checkpoint must hold, by name.
    stages: what an outer epoch runs, in order.
    """

    networks: dict[str, keras.Layer]
    encoders: dict[str, keras.Model]
    encoders_without_own: dict[str, keras.Model]
    encoding_batch: int | None
    optimizers: dict[str, keras.optimizers.Optimizer]
    memories: dict[str, tf.Variable]
    stages: tuple[Stage, ...]

    def relaxed_codes(self) -> dict[str, np.ndarray]:
        """Relaxed codes (N, K) of the training items by the networks that only training has."""
        ...
