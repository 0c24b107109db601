"""What TensorBoard shows of a run."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto import event_pb2
from tensorboard.plugins.hparams import api as hparams

from gch.errors import disk_errors
from gch.methods.method import Method
from gch.settings import Settings, free_settings

HISTOGRAM_VALUES = 100_000


class Summaries:
    """Writes a run's log to a folder, if any. Losses and rates are plotted over training steps, all else over
    outer epochs.
    """

    def __init__(self, folder: Path | None):
        self._before = sorted(filter(Path.is_file, folder.glob("*tfevents*"))) if folder else []
        create = tf.summary.create_file_writer
        self._folder = folder or ""
        with disk_errors(self._folder):
            self._writer = create(str(folder)) if folder else tf.summary.create_noop_writer()

    def purge(self, counts: Callable[[str, int], bool]) -> None:
        """Removes what earlier processes wrote to the log and what is written again, so that nothing is in it
        twice; `counts` says of a tag and its step whether it stays.
        """
        with disk_errors(self._folder):
            for path in self._before:
                self._purge(path, counts)

    def _purge(self, path: Path, counts: Callable[[str, int], bool]) -> None:
        temporary, found = path.with_name(".purged"), False
        with tf.io.TFRecordWriter(str(temporary)) as kept:
            for record in RawEventFileLoader(str(path)).Load():
                event = event_pb2.Event.FromString(record)
                values = [value for value in event.summary.value if counts(value.tag, event.step)]
                graph = event.HasField("graph_def") and not counts("", event.step)
                if graph or len(values) < len(event.summary.value):
                    found = True
                    if not values:
                        continue
                    del event.summary.value[:]
                    event.summary.value.extend(values)
                kept.write(event.SerializeToString())
        if found:
            temporary.replace(path)
        else:
            temporary.unlink()

    def settings(self, settings: Settings, metrics: Iterable[str]) -> None:
        """The settings as a table, and as hyper-parameters to compare runs by the scalars `metrics`."""
        values = settings.values()
        rows = "\n".join(f"| {name} | {value!r} |" for name, value in values.items())
        learned = {name: value for name, value in values.items() if name not in free_settings() - {"Epoch"}}
        names = [hparams.HParam(name) for name in learned]
        with self._at(0):
            tf.summary.text("settings", f"| setting | value |\n|---|---|\n{rows}")
            hparams.hparams_config(names, [hparams.Metric(name) for name in metrics])
            hparams.hparams(learned, trial_id=Path(self._folder).name)  # else a hash in its tables

    def graph(self, method: Method) -> None:
        """The networks as a graph."""
        networks = method.networks

        @tf.function(autograph=False)
        def forward(inputs):
            outputs = {}
            for name, network in networks.items():
                with tf.name_scope(f"{name}_network"):
                    outputs[name] = network(inputs[name], training=False)
            return outputs

        taken = {name: network.input for name, network in networks.items()}
        specs = tf.nest.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), taken)
        with self._at(0):
            tf.summary.graph(forward.get_concrete_function(specs).graph.as_graph_def())

    def losses(self, stage: str, step: int, parts: dict[str, float], rate: float) -> None:
        """Mean losses of the steps up to `step` of a stage, and its learning rate."""
        losses = {f"loss {stage}/{part}": value for part, value in parts.items()}
        self._scalars(losses | {f"learning rate/{stage}": rate}, step)

    def scalars(self, group: str, values: dict[str, float], epoch: int) -> None:
        """Figures after outer epoch `epoch`, in one group of TensorBoard."""
        self._scalars({f"{group}/{name}": value for name, value in values.items()}, epoch)

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

    def close(self) -> None:
        """Flushes and closes the log."""
        self._writer.close()

    def _scalars(self, values: dict[str, float], step: int) -> None:
        with self._at(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    @contextlib.contextmanager
    def _at(self, step: int) -> Iterator[None]:
        with disk_errors(self._folder):
            with self._writer.as_default(step=step):
                yield
            self._writer.flush()


def _sampled(values: tf.Tensor | np.ndarray) -> tf.Tensor:
    """At most HISTOGRAM_VALUES of a tensor's values, spread evenly: tf.summary.histogram takes 240 bytes for
    each value, 9 GB for VGG-F's fc6.
    """
    flat = tf.reshape(values, [-1])
    return flat[:: 1 + (flat.shape[0] - 1) // HISTOGRAM_VALUES]
