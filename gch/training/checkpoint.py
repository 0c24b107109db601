"""Checkpoints: everything that the rest of a run depends on (latest), and what codes depend on (best)."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import keras
import tensorflow as tf

from gch.errors import RunError
from gch.methods.method import Method
from gch.run import require_checkpoint


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
        self._position = position
        self._counts = {
            name: tf.Variable(value, dtype=tf.float64 if isinstance(value, float) else tf.int64)
            for name, value in dataclasses.asdict(position).items()
        }
        own = {f"position/{name}": variable for name, variable in self._counts.items()}
        own |= {f"memory/{name}": variable for name, variable in method.memories.items()}
        self._networks = _numbered("network", method.networks)
        optimizers = _numbered("optimizer", method.optimizers)
        self._managers = {
            "latest": _manager(folder / "latest", own | self._networks | optimizers),
            "best": _manager(folder / "best", own | self._networks),
        }

    def save(self, kind: str) -> None:
        """Replaces the checkpoint of this kind."""
        for name, variable in self._counts.items():
            variable.assign(getattr(self._position, name))
        self._managers[kind].save()

    def restore(self, kind: str) -> bool:
        """Restores the checkpoint, if there is one; returns whether there was. Raises RunError where it is
        damaged, or of another method or other sizes.
        """
        found = _read(self._managers[kind])
        if found:
            for name, variable in self._counts.items():
                setattr(self._position, name, variable.numpy().item())
        return found

    def start_from(self, folder: Path) -> None:
        """Takes the networks' weights alone from the best checkpoint of the run in `folder`; raises RunError
        where there is none, or of other networks.
        """
        require_checkpoint(folder)
        _read(_manager(folder / "best", self._networks))


def _manager(folder: Path, variables: dict[str, tf.Variable]) -> tf.train.CheckpointManager:
    return tf.train.CheckpointManager(tf.train.Checkpoint(variables=variables), str(folder), max_to_keep=1)


def _read(manager: tf.train.CheckpointManager) -> bool:
    path = manager.latest_checkpoint
    if path is None:
        return False
    try:
        manager.checkpoint.restore(path).assert_existing_objects_matched()
    except (AssertionError, ValueError, IndexError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RunError(f"{path}: expected a whole checkpoint of this method: {reason}") from error
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
