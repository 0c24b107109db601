"""Adam with a learning rate of its own for some of the variables."""

from collections.abc import Iterable

import keras
import tensorflow as tf


class RatedAdam(keras.optimizers.Adam):
    """Adam whose step on some variables is scaled: a pretrained backbone learns slower than its head.

    Epsilon is 1e-8, TensorFlow 1's, on the original's side of the square root.
    """

    def __init__(self, name: str, slowed: Iterable[keras.Variable] = (), factor: float = 1.0):
        super().__init__(epsilon=1e-8, name=name)
        self._slowed = frozenset(variable.value.ref() for variable in slowed)
        self._factor = factor

    def update_step(self, gradient, variable, learning_rate):
        """One step of Adam on one variable, which the backend hands over as a tf.Variable.

        TensorFlow's own operation makes one pass over the weights and needs no memory; Keras writes the
        same formula as a dozen operations, each of which does.
        """
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        rate = learning_rate * self._factor if variable.ref() in self._slowed else learning_rate
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def loss_scaled(optimizer: keras.optimizers.Optimizer, precision: str) -> keras.optimizers.Optimizer:
    """Wraps the optimizer so that float16 gradients do not underflow; other precisions need nothing."""
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer


def learning_rate(base: float, decay: float, decay_steps: int, epoch: int) -> float:
    """The rate in outer epoch `epoch` (0 is the first): base * decay^(epoch // decay_steps)."""
    return base * decay ** (epoch // decay_steps)
