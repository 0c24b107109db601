"""An exported model on every GPU of a machine, or on its CPU."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gch.search.exported import Encoded, ExportedModel


class Replicas:
    """Encodes several batches at once, one on each device.

    Args:
      path: the folder that `export` wrote.
      devices: TensorFlow's names of devices; by default all GPUs, or the CPU where there is none.

    Attributes:
      model: the model; texts are encoded by it alone, on the first device.
      count: number of devices R.

    Raises:
      DataError: it is no exported model of this project, or damaged.
    """

    def __init__(self, path: Path, devices: Sequence[str] = ()):
        from gch.quiet import native_stderr_held

        with native_stderr_held():
            import tensorflow as tf

            tf.get_logger().setLevel("ERROR")
            for gpu in tf.config.list_physical_devices("GPU"):
                tf.config.experimental.set_memory_growth(gpu, True)
            devices = devices or [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
        self.count = max(1, len(devices))
        self._strategy = None
        if self.count == 1:
            self.model = ExportedModel(path)
        else:
            self._strategy = tf.distribute.MirroredStrategy(devices)
            with self._strategy.scope():
                self.model = ExportedModel(path)

    def encode_pictures(self, batches: Sequence[np.ndarray]) -> list[Encoded]:
        """Encodes up to R batches, uint8 (B, S, S, 3) each, of any B from 1 on.

        Raises:
          DataError: the model takes features of pictures only.
        """
        if self._strategy is None:
            return [self.model.encode_pictures(batch) for batch in batches]
        filled = [*batches, *[batches[0]] * (self.count - len(batches))]
        given = self._strategy.experimental_distribute_values_from_function(
            lambda context: filled[context.replica_id_in_sync_group]
        )
        found = self._strategy.run(self.model.function("encode_image"), args=(given,))
        fields = {
            name: self._strategy.experimental_local_results(value)[: len(batches)]
            for name, value in found.items()
        }
        return [
            Encoded(**{name: value[number].numpy() for name, value in fields.items()})
            for number in range(len(batches))
        ]
