"""Adam with a learning rate of its own for some of the variables."""

from collections.abc import Iterable

import keras


class RatedAdam(keras.optimizers.Adam):
    """Adam whose step on some variables is scaled: a pretrained backbone learns slower than its head.

    Epsilon is 1e-8, TensorFlow 1's, on the original's side of the square root.
    """

    def __init__(self, name: str, slowed: Iterable[keras.Variable] = (), factor: float = 1.0):
        super().__init__(epsilon=1e-8, name=name)
        self._slowed = frozenset(variable.value.ref() for variable in slowed)
        self._factor = factor

    def update_step(self, gradient, variable, learning_rate):
        """One step of Adam on one variable, which the backend hands over as a tf.Variable."""
        if variable.ref() in self._slowed:
            learning_rate = learning_rate * self._factor
        super().update_step(gradient, variable, learning_rate)


def loss_scaled(optimizer: keras.optimizers.Optimizer, precision: str) -> keras.optimizers.Optimizer:
    """Wraps the optimizer so that float16 gradients do not underflow; other precisions need nothing."""
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer


def learning_rate(base: float, decay: float, decay_steps: int, epoch: int) -> float:
    """The rate in outer epoch `epoch` (0 is the first): base * decay^(epoch // decay_steps)."""
    return base * decay ** (epoch // decay_steps)
