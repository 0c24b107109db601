"""What TensorBoard shows of a run."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from gch.methods.method import Method
from gch.settings import Settings, free_settings

HISTOGRAM_VALUES = 100_000


class Summaries:
    """Writes a run's log. Losses and rates have training steps on their axis, all else outer epochs.

    Args:
      folder: of the log; None writes nothing.
    """

    def __init__(self, folder: Path | None):
        create = tf.summary.create_file_writer
        self._writer = create(str(folder)) if folder else tf.summary.create_noop_writer()

    def settings(self, settings: Settings, metrics: Iterable[str]) -> None:
        """The settings as a table, and as hyper-parameters to compare runs by the scalars `metrics`."""
        values = settings.values()
        rows = "\n".join(f"| {name} | {value!r} |" for name, value in values.items())
        learned = {name: value for name, value in values.items() if name not in free_settings() - {"Epoch"}}
        with self._writer.as_default():
            tf.summary.text("settings", f"| setting | value |\n|---|---|\n{rows}", step=0)
            hparams.hparams_config(
                hparams=[hparams.HParam(name) for name in learned],
                metrics=[hparams.Metric(name) for name in metrics],
            )
            hparams.hparams(learned)

    def graph(self, method: Method) -> None:
        """The networks as a graph."""
        networks = method.networks

        @tf.function
        def forward(inputs):
            outputs = {}
            for name, network in networks.items():
                with tf.name_scope(f"{name}_network"):
                    outputs[name] = network(inputs[name], training=False)
            return outputs

        inputs = tf.nest.map_structure(
            lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype),
            {name: network.input for name, network in networks.items()},
        )
        with self._writer.as_default():
            tf.summary.graph(forward.get_concrete_function(inputs).graph.as_graph_def())

    def losses(self, stage: str, step: int, parts: dict[str, float], rate: float) -> None:
        """Mean losses of the steps up to `step` of a stage, and its learning rate."""
        with self._at(step):
            for part, value in parts.items():
                tf.summary.scalar(f"loss {stage}/{part}", value)
            tf.summary.scalar(f"learning rate/{stage}", rate)

    def scalars(self, group: str, values: dict[str, float], epoch: int) -> None:
        """Figures after outer epoch `epoch`, on one page of TensorBoard."""
        with self._at(epoch):
            for name, value in values.items():
                tf.summary.scalar(f"{group}/{name}", value)

    def histograms(self, method: Method, codes: dict[str, np.ndarray], epoch: int) -> None:
        """Distributions of weights and relaxed codes."""
        with self._at(epoch):
            for name, network in method.networks.items():
                for variable in network.trainable_variables:
                    tf.summary.histogram(f"weights of {name}/{variable.path}", _sampled(variable.value))
            for name, relaxed in codes.items():
                tf.summary.histogram(f"relaxed codes/{name}", _sampled(relaxed))

    def picture(self, name: str, picture: np.ndarray, epoch: int) -> None:
        """A picture, uint8 (H, W, 3)."""
        with self._at(epoch):
            tf.summary.image(name, picture[None])

    @contextlib.contextmanager
    def _at(self, step: int) -> Iterator[None]:
        with self._writer.as_default(step=step):
            yield
        self._writer.flush()

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()


def _sampled(values: tf.Tensor | np.ndarray) -> tf.Tensor:
    """At most HISTOGRAM_VALUES of a tensor's values, spread evenly.

    tf.summary.histogram takes 240 bytes for each value: 9 GB for VGG-F's fc6, 15 GB for a million codes of
    64 bits.
    """
    flat = tf.reshape(values, [-1])
    return flat[:: 1 + (flat.shape[0] - 1) // HISTOGRAM_VALUES]
