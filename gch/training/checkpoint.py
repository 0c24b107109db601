"""Checkpoints: everything that the rest of a run depends on (latest), and what codes depend on (best)."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import keras
import tensorflow as tf

from gch.errors import RunError, disk_errors, reason
from gch.methods.method import Method
from gch.run import REMEDY, RunFolder, require_checkpoint
from gch.storage import literal_path


@dataclasses.dataclass
class Position:
    """The position of a run: `epoch` outer epochs done, then `stage` stages of the next, then `step` steps.

    Batches are a function of seed and position, so this is the random state too, together with the states of
    the dropout layers, which are among the networks' variables.
    """

    epoch: int = 0
    stage: int = 0
    step: int = 0
    best_epoch: int = 0  # outer epoch of the best checkpoint, counted from 1
    best_score: float = -1.0  # its validation score

    def move(self, epoch: int, stage: int = 0, step: int = 0) -> None:
        """Sets the position."""
        self.epoch, self.stage, self.step = epoch, stage, step


class Checkpoints:
    """Saves and restores a method and its position: 'latest', and 'best' without the optimizers, whose
    moments take twice the room of the weights. A kill at any moment leaves a whole checkpoint, because
    TensorFlow writes a new one beside it and renames.
    """

    def __init__(self, folder: Path, method: Method, position: Position):
        self._folder, self._position = folder, position
        self._counts = {
            name: tf.Variable(value, dtype=tf.float64 if isinstance(value, float) else tf.int64)
            for name, value in dataclasses.asdict(position).items()
        }
        own = {f"position/{name}": variable for name, variable in self._counts.items()}
        own |= {f"memory/{name}": variable for name, variable in method.memories.items()}
        self._networks = _numbered("network", method.networks)
        optimizers = _numbered("optimizer", method.optimizers)
        self._checkpoints = {
            "latest": tf.train.Checkpoint(variables=own | self._networks | optimizers),
            "best": tf.train.Checkpoint(variables=own | self._networks),
        }

    def save(self, kind: str) -> None:
        """Replaces the checkpoint of this kind."""
        for name, variable in self._counts.items():
            variable.assign(getattr(self._position, name))
        with disk_errors(self._folder / kind), literal_path(self._folder) as folder:
            tf.train.CheckpointManager(self._checkpoints[kind], str(folder / kind), max_to_keep=1).save()

    def restore(self, kind: str) -> bool:
        """Restores the checkpoint, if there is one; returns whether there was. Raises RunError where it is
        damaged, or of another method or other sizes.
        """
        found = _read(self._folder, kind, self._checkpoints[kind])
        if found:
            for name, variable in self._counts.items():
                setattr(self._position, name, variable.numpy().item())
        return found

    def start_from(self, folder: Path) -> None:
        """Takes the networks' weights alone from the best checkpoint of the run in `folder`; raises RunError
        where there is none, or of other networks.
        """
        require_checkpoint(folder)
        _read(folder, "best", tf.train.Checkpoint(variables=self._networks))


def _read(run: Path, kind: str, checkpoint: tf.train.Checkpoint) -> bool:
    name = RunFolder(run).checkpoint(kind)
    if name is None:
        return False
    try:
        with literal_path(run) as folder:
            checkpoint.restore(str(folder / kind / name)).assert_existing_objects_matched()
    except Exception as error:  # TensorFlow raises nearly anything on bytes that are not its own
        raise RunError(
            f"{run / kind / name}: not a whole checkpoint of this method and its sizes: {reason(error)}; "
            f"{REMEDY}"
        ) from error
    return True


def _numbered(
    kind: str, holders: Mapping[str, keras.Layer | keras.optimizers.Optimizer]
) -> dict[str, tf.Variable]:
    # By number: Keras' generated names depend on what the process built before.
    return {
        f"{kind}/{name}/{number}": variable.value
        for name, holder in holders.items()
        for number, variable in enumerate(holder.variables)
    }
