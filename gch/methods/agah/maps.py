"""The two maps of AGAH, which are made anew after every pass over the training items.

The code map Q (C, K) holds a code of every label, the feature map Z (C, E) a feature. The original keeps the
codes and features of all N items until a pass is over, and makes the maps of them. But they enter in sums
over the items only, which are as small as the maps: those are what a pass gathers here.
"""

import tensorflow as tf

from gch.methods.sign import sign


def updated_code_map(code_map: tf.Tensor, label_codes: tf.Tensor, bit_products: tf.Tensor) -> tf.Tensor:
    """One round of discrete coordinate descent: every bit in turn, the others held.

    With U, V (N, K) the signs of the image and text codes and L (N, C) the labels, bit k becomes
    sign(P_k - 2 sum over i != k of q_i ((U^T U + V^T V)_ik + q_i . q_k)), q_i the column i of Q,
    P = 2 K (L^T (U + V) + (2 I - 1) Q).

    Args:
      code_map: float (C, K), Q, of -1 and +1.
      label_codes: float (C, K), L^T (U + V).
      bit_products: float (K, K), U^T U + V^T V.

    Returns:
      float (C, K), of -1 and +1.
    """
    labels, bits = code_map.shape
    apart = 2 * tf.eye(labels) - 1
    pull = tf.transpose(2 * bits * (label_codes + tf.matmul(apart, code_map)))
    columns = tf.transpose(code_map)
    for bit in tf.range(bits):
        column = columns[bit]
        weights = bit_products[:, bit] + tf.linalg.matvec(columns, column)
        weights = tf.where(tf.range(bits) == bit, 0.0, weights)
        new = sign(pull[bit] - 2 * tf.linalg.matvec(columns, weights, transpose_a=True))
        columns = tf.tensor_scatter_nd_update(columns, [[bit]], new[None])
    return tf.transpose(columns)


def updated_feature_map(feature_map: tf.Tensor, label_features: tf.Tensor) -> tf.Tensor:
    """The directions of the mean features of the labels, image and text averaged.

    Args:
      feature_map: float (C, E), Z, which a label that no item has keeps (the original: NaN).
      label_features: float (C, E), L^T (F_image + F_text); counts do not matter to a direction.

    Returns:
      float (C, E), rows of unit length but for those kept.
    """
    length = tf.norm(label_features, axis=1, keepdims=True)
    return tf.where(length > 0, label_features / tf.maximum(length, 1e-12), feature_map)


class PassMaps:
    """Both maps, and what the pass that is under way has gathered for them.

    Attributes:
      code_map: tf.Variable float32 (C, K).
      variables: what a checkpoint must hold, by name; the feature map is a weight of the networks.
    """

    def __init__(
        self, labels: int, bits: int, embedding: int, items: int, feature_map: tf.Variable, seed: int
    ):
        """Arguments beside the obvious: `items`, how many make a pass; `feature_map`, the variable (C, E) to
        set; `seed`, of the random signs that the code map starts from.
        """

        def zeros(*shape: int) -> tf.Variable:
            return tf.Variable(tf.zeros(shape), trainable=False)

        start = sign(tf.random.stateless_normal([labels, bits], seed=(seed, labels)))
        self.code_map = tf.Variable(start, trainable=False)
        self._feature_map, self._items = feature_map, items
        self._label_codes, self._bit_products = zeros(labels, bits), zeros(bits, bits)
        self._label_features, self._seen = zeros(labels, embedding), zeros()
        self.variables = {
            "code_map": self.code_map,
            "label_codes": self._label_codes,
            "bit_products": self._bit_products,
            "label_features": self._label_features,
            "items_seen": self._seen,
        }

    def gather(self, labels: tf.Tensor, outputs: list[dict[str, tf.Tensor]]) -> None:
        """Adds a batch, and makes the maps when the pass is over.

        Args:
          labels: float (B, C).
          outputs: of the image and the text network: `code` (B, K), `feature` (B, E).
        """
        codes = [sign(output["code"]) for output in outputs]
        features = tf.add_n([output["feature"] for output in outputs])
        self._label_codes.assign_add(tf.matmul(labels, tf.add_n(codes), transpose_a=True))
        self._bit_products.assign_add(tf.add_n([tf.matmul(code, code, transpose_a=True) for code in codes]))
        self._label_features.assign_add(tf.matmul(labels, features, transpose_a=True))
        self._seen.assign_add(tf.cast(tf.shape(labels)[0], tf.float32))
        if self._seen >= self._items:
            self._make()

    def _make(self) -> None:
        self.code_map.assign(updated_code_map(self.code_map, self._label_codes, self._bit_products))
        self._feature_map.assign(updated_feature_map(self._feature_map, self._label_features))
        for gathered in (self._label_codes, self._bit_products, self._label_features, self._seen):
            gathered.assign(tf.zeros_like(gathered))
