"""Stacked predictions of labels (Wolpert, 1992): k probabilities P_1 ... P_k of a label become one,

    sigmoid(b + sum_k w_k logit(P_k)).

The weights w and the bias b are those of a logistic regression of the labels of items that no P was made
from, with (b^2 + sum_k (w_k - 1 / k)^2) / 2 added to its loss. So few such items say little; without any, b
is 0 and all P weigh the same.
"""

from collections.abc import Sequence

import keras
import numpy as np
import scipy.optimize
from scipy.special import expit, logit

SUREST = 0.99  # a probability that is nearer to 0 or 1 counts as this


def stacking_weights(predictions: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """The weights w, then b, float64 (k + 1,), of k predictions (N, C) in [0, 1] of labels (N, C)."""
    columns = [logit(one.astype(np.float64).clip(1 - SUREST, SUREST)).ravel() for one in predictions]
    seen, there = np.stack([*columns, np.ones(labels.size)], axis=1), labels.astype(np.float64).ravel()
    start = np.append(np.full(len(predictions), 1 / len(predictions)), 0.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        sums, moved = seen @ weights, weights - start
        value = np.sum(np.logaddexp(0, sums) - there * sums) + moved @ moved / 2
        return value, seen.T @ (expit(sums) - there) + moved

    return scipy.optimize.minimize(loss, start, jac=True, method="BFGS").x


@keras.saving.register_keras_serializable(package="gch")
class Stacked(keras.layers.Layer):
    """k predictions of labels (B, C) to one. `fit` sets the weights, which no optimizer moves; before, all
    predictions weigh the same.
    """

    def __init__(self, count: int, dtype: str = "float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.count = count
        start = keras.initializers.Constant(1 / count)
        self._shares = self.add_weight(name="shares", shape=(count,), initializer=start, trainable=False)
        self._bias = self.add_weight(name="bias", shape=(), initializer="zeros", trainable=False)

    def fit(self, predictions: Sequence[np.ndarray], labels: np.ndarray) -> None:
        """Sets the weights, see `stacking_weights`."""
        *shares, bias = stacking_weights(predictions, labels)
        self._shares.assign(shares)
        self._bias.assign(bias)

    def call(self, predictions):
        """The probabilities of the labels, in (0, 1)."""
        total = self._bias
        for number, one in enumerate(predictions):
            some = keras.ops.clip(one, 1 - SUREST, SUREST)
            total = total + self._shares[number] * keras.ops.log(some / (1 - some))
        return keras.ops.sigmoid(total)

    def compute_output_shape(self, shapes):
        """(B, C)."""
        return shapes[0]

    def get_config(self):
        """Arguments of the constructor."""
        return super().get_config() | {"count": self.count}
