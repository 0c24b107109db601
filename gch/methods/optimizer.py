"""Adam and Adamax with a lower learning rate for some of the variables, and the schedule of the rates.

TensorFlow's own operations make one pass over the weights and need no memory; Keras writes the same formulas
as a dozen operations, each with its own pass. Epsilon is 1e-8, as in TensorFlow 1.
"""

from collections.abc import Iterable

import keras
import tensorflow as tf


class _Rated(keras.optimizers.Optimizer):
    """Multiplies the learning rate of the variables `slowed` by `factor`: a pretrained backbone learns slower
    than its head. `betas` are the decay of both moments.
    """

    def __init__(
        self,
        name: str,
        slowed: Iterable[keras.Variable] = (),
        factor: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
    ):
        super().__init__(beta_1=betas[0], beta_2=betas[1], epsilon=1e-8, name=name)
        self._slowed, self._factor = frozenset(map(id, slowed)), factor
        self._factors: tuple[float, ...] = ()

    def build(self, variables: list[keras.Variable]) -> None:
        """Creates the moments of the variables."""
        super().build(variables)
        self._factors = tuple(self._factor if id(one) in self._slowed else 1.0 for one in variables)

    def _all_reduce_sum_gradients(self, pairs: list[tuple]) -> list[tuple]:
        # One replica has nothing to add up, and TensorFlow would never free the graph of the step, nor the
        # variables that it uses.
        alone = tf.distribute.get_strategy().num_replicas_in_sync == 1
        return pairs if alone else super()._all_reduce_sum_gradients(pairs)

    def _arguments(self, index: int, learning_rate: tf.Tensor) -> dict:
        """The arguments of both operations besides the variable, its moments and its gradient."""
        return {
            "beta1_power": self.beta_1 ** tf.cast(self.iterations + 1, tf.float32),
            "lr": learning_rate * self._factors[index],
            "beta1": self.beta_1,
            "beta2": self.beta_2,
            "epsilon": self.epsilon,
        }


class RatedAdam(_Rated, keras.optimizers.Adam):
    """Adam (Kingma and Ba, ICLR 2015, algorithm 1)."""

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """One step on one variable."""
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta2_power=self.beta_2 ** tf.cast(self.iterations + 1, tf.float32),
            grad=gradient,
            **self._arguments(index, learning_rate),
        )


class RatedAdamax(_Rated, keras.optimizers.Adamax):
    """Adamax (the same paper, algorithm 2) with PyTorch's weight decay: `penalty` times the weight is added
    to its gradient, so that it takes part in the moments. Keras' own shrinks weights outside of the step.
    """

    def __init__(self, name: str, penalty: float = 0.0, **options):
        super().__init__(name, **options)
        self._penalty = penalty

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """One step on one variable."""
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdaMax(
            var=variable.handle,
            m=self._m[index].value.handle,
            v=self._u[index].value.handle,
            grad=gradient + self._penalty * variable if self._penalty else gradient,
            **self._arguments(index, learning_rate),
        )


class _LossScaled(keras.optimizers.LossScaleOptimizer):
    """Leaves a step out on all replicas if a gradient of one overflows, as each has gradients of its own."""

    def check_finite(self, grads: list[tf.Tensor]) -> tf.Tensor:
        """Whether the gradients of all replicas are finite."""
        finite, context = super().check_finite(grads), tf.distribute.get_replica_context()
        if context.num_replicas_in_sync == 1:
            return finite
        return context.all_reduce("SUM", 1 - tf.cast(finite, tf.float32)) == 0


def loss_scaled(optimizer: keras.optimizers.Optimizer, precision: str) -> keras.optimizers.Optimizer:
    """Wraps the optimizer so that float16 gradients do not underflow; other precisions need nothing."""
    return _LossScaled(optimizer) if precision == "mixed_float16" else optimizer


def learning_rate(base: float, decay: float, decay_steps: int, epoch: int, early: bool = False) -> float:
    """The rate in outer epoch `epoch` (0 is the first): base * decay^(epoch // decay_steps).

    With `early` the first decay comes after the first outer epoch, as in AGAH's original.
    """
    return base * decay ** ((epoch + (decay_steps - 1 if early else 0)) // decay_steps)
