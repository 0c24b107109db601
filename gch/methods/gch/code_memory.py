"""The code memory: the last codes of all training items, which a batch is compared with."""

import zlib

import tensorflow as tf

from gch.methods.draws import draw_positions
from gch.methods.sign import sign
from gch.methods.similarity import similarity
from gch.settings import Settings


class CodeMemory:
    """Relaxed codes of N training items.

    They are zeros at first, or, with the setting `memory_refresh` 'step', N(0, 1) by the seed and the name.

    Attributes:
      codes: tf.Variable float32 (N, K).
      refreshed_by_step: whether each step is followed by a pass that fills it, and nothing else does.
    """

    def __init__(self, settings: Settings, labels: tf.Tensor, name: str):
        self._kind, self._count, self._labels = settings.memory, settings.pair_items, labels
        self.refreshed_by_step = settings.memory_refresh == "step"
        shape = [len(labels), settings.bit]
        if self.refreshed_by_step:
            seed = tf.constant([settings.seed, zlib.crc32(name.encode())], tf.int64)
            start = tf.random.stateless_normal(shape, seed)
        else:
            start = tf.zeros(shape)
        self.codes = tf.Variable(start, trainable=False, name=name)

    def update(self, positions: tf.Tensor, codes: tf.Tensor) -> None:
        """Replaces the codes (B, K) of a batch."""
        self.codes.scatter_update(tf.IndexedSlices(codes, positions))

    def pairs(
        self, code: tf.Tensor, positions: tf.Tensor, targets: tf.Variable | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What the pair loss compares a batch with, as the settings `memory` and `pair_items` say.

        Args:
          code: float (B, K), codes of the batch itself.
          positions: int (B,).
          targets: float (N, K), codes in place of this memory's.

        Returns:
          Codes (M, K), and which of the pairs are similar, float (M, B).
        """
        batch, total = tf.gather(self._labels, positions), len(self._labels)
        if self._kind == "batch":
            return code, similarity(batch, batch)
        memory = self._constant() if targets is None else tf.convert_to_tensor(targets)
        if not 0 < self._count < total:
            return memory, similarity(self._labels, batch)
        others = draw_positions(positions, self._count, total)
        return tf.gather(memory, others), similarity(tf.gather(self._labels, others), batch)

    def _constant(self) -> tf.Tensor:
        codes = tf.convert_to_tensor(self.codes)
        return sign(codes) if self._kind == "sign" else codes
