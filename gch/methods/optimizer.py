"""The optimizers: Adam and Adamax, with a learning rate of its own for some of the variables."""

from collections.abc import Iterable

import keras
import tensorflow as tf


class _Rated:
    """Scales the step on some variables: a pretrained backbone learns slower than its head."""

    def __init__(self, *args, slowed: Iterable[keras.Variable] = (), factor: float = 1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self._slowed = frozenset(map(id, slowed))
        self._factors = ()
        self._factor = factor

    def build(self, variables: list[keras.Variable]) -> None:
        """Creates the moments of the variables."""
        super().build(variables)
        self._factors = tuple(self._factor if id(one) in self._slowed else 1.0 for one in variables)

    def _rate(self, index: int, learning_rate: tf.Tensor) -> tf.Tensor:
        return learning_rate * self._factors[index]


class RatedAdam(_Rated, keras.optimizers.Adam):
    """Adam. Epsilon is 1e-8, TensorFlow 1's, on the original's side of the square root."""

    def __init__(self, name: str, slowed: Iterable[keras.Variable] = (), factor: float = 1.0):
        super().__init__(epsilon=1e-8, name=name, slowed=slowed, factor=factor)

    def update_step(self, gradient, variable, learning_rate):
        """One step of Adam on one variable, which the backend hands over as a tf.Variable.

        TensorFlow's own operation makes one pass over the weights and needs no memory; Keras writes the
        same formula as a dozen operations, each of which does.
        """
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=self._rate(index, learning_rate),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class RatedAdamax(_Rated, keras.optimizers.Adamax):
    """Adamax (Kingma and Ba, ICLR 2015, algorithm 2) with decay of the weights as PyTorch's has it.

    Args:
      name: of the optimizer.
      beta_1, beta_2: decay of the first moment and of the norm.
      penalty: times the weight is added to its gradient, so that it takes part in the moments; Keras' own
        `weight_decay` shrinks the weights beside the step.
      slowed, factor: variables whose rate is scaled, and by what.
    """

    def __init__(
        self,
        name: str,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        penalty: float = 0.0,
        slowed: Iterable[keras.Variable] = (),
        factor: float = 1.0,
    ):
        super().__init__(beta_1=beta_1, beta_2=beta_2, epsilon=1e-8, name=name, slowed=slowed, factor=factor)
        self._penalty = penalty

    def update_step(self, gradient, variable, learning_rate):
        """One step on one variable, in one pass over it, as `RatedAdam`'s."""
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdaMax(
            var=variable.handle,
            m=self._m[index].value.handle,
            v=self._u[index].value.handle,
            beta1_power=self.beta_1**step,
            lr=self._rate(index, learning_rate),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient + self._penalty * variable if self._penalty else gradient,
        )


def loss_scaled(optimizer: keras.optimizers.Optimizer, precision: str) -> keras.optimizers.Optimizer:
    """Wraps the optimizer so that float16 gradients do not underflow; other precisions need nothing."""
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer


def learning_rate(base: float, decay: float, decay_steps: int, epoch: int, early: bool = False) -> float:
    """The rate in outer epoch `epoch` (0 is the first): base * decay^(epoch // decay_steps).

    Args:
      base: rate of the first outer epoch.
      decay: factor of a cut.
      decay_steps: outer epochs from one cut to the next.
      epoch: number of the outer epoch.
      early: the first cut comes after the first outer epoch, as in the original of AGAH.
    """
    return base * decay ** ((epoch + (decay_steps - 1 if early else 0)) // decay_steps)
