"""Steps of gradient descent, by an Adam with a learning rate of its own for some of the variables."""

from collections.abc import Callable, Iterable

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


def compiled_step(
    forward: Callable,
    variables: list[keras.Variable],
    optimizer: keras.optimizers.Optimizer,
    jit_compile: bool,
) -> Callable:
    """One compiled step of gradient descent.

    Args:
      forward: takes the positions of a batch and its inputs, and returns whatever is wanted of them, and the
        parts of the loss by name, whose sum is minimised.
      variables: what is trained.
      optimizer: built for the variables.
      jit_compile: with XLA.

    Returns:
      A function that takes and returns the same as `forward`.
    """

    @tf.function(jit_compile=jit_compile)
    def step(positions, inputs):
        with tf.GradientTape() as tape:
            output, parts = forward(positions, inputs)
            loss = optimizer.scale_loss(tf.add_n(list(parts.values())))
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        return output, parts

    return step


def learning_rate(base: float, decay: float, decay_steps: int, epoch: int) -> float:
    """The rate in outer epoch `epoch` (0 is the first): base * decay^(epoch // decay_steps)."""
    return base * decay ** (epoch // decay_steps)
