"""Checkpoints: everything that the rest of a run depends on, in two rings: latest and best."""

from pathlib import Path

import tensorflow as tf

from gch.errors import RunError
from gch.methods.method import Method


class Position:
    """Where a run stands: `epoch` outer epochs are done, then `stage` stages of the next, then `step` steps.

    `best_score` is the validation score of the best checkpoint (-1 before the first), `best_epoch` its outer
    epoch, counted from 1. Batches are a function of seed and position, so this is the random state too,
    together with the states of the dropout layers, which are among the networks' variables.
    """

    def __init__(self):
        self._counts = {
            name: tf.Variable(0, dtype=tf.int64) for name in ("epoch", "stage", "step", "best_epoch")
        }
        self._best_score = tf.Variable(-1.0, dtype=tf.float64)
        self.variables = {**self._counts, "best_score": self._best_score}

    @property
    def epoch(self) -> int:
        """Outer epochs done."""
        return int(self._counts["epoch"])

    @property
    def stage(self) -> int:
        """Stages of the outer epoch done."""
        return int(self._counts["stage"])

    @property
    def step(self) -> int:
        """Steps of the stage done."""
        return int(self._counts["step"])

    @property
    def best_epoch(self) -> int:
        """Outer epoch of the best checkpoint, counted from 1."""
        return int(self._counts["best_epoch"])

    @property
    def best_score(self) -> float:
        """Validation score of the best checkpoint."""
        return float(self._best_score)

    def move(self, epoch: int, stage: int = 0, step: int = 0) -> None:
        """Sets the position."""
        for name, value in (("epoch", epoch), ("stage", stage), ("step", step)):
            self._counts[name].assign(value)

    def crown(self, score: float, epoch: int) -> None:
        """Declares outer epoch `epoch` (counted from 1) the best."""
        self._best_score.assign(score)
        self._counts["best_epoch"].assign(epoch)


class Checkpoints:
    """Saves and restores a method and its position. A kill at any moment leaves a whole checkpoint behind:
    TensorFlow writes beside the old one and renames.
    """

    def __init__(self, folder: Path, method: Method, position: Position):
        variables = {f"position/{name}": variable for name, variable in position.variables.items()}
        variables |= {f"memory/{name}": variable for name, variable in method.memories.items()}
        holders = {f"network/{name}": network for name, network in method.networks.items()}
        holders |= {f"optimizer/{name}": optimizer for name, optimizer in method.optimizers.items()}
        for name, holder in holders.items():
            # By number: Keras makes up names that depend on what the process built before.
            variables |= {
                f"{name}/{number}": variable.value for number, variable in enumerate(holder.variables)
            }
        self._checkpoint = tf.train.Checkpoint(variables=variables)
        self._latest = tf.train.CheckpointManager(self._checkpoint, str(folder / "latest"), max_to_keep=1)
        self._best = tf.train.CheckpointManager(self._checkpoint, str(folder / "best"), max_to_keep=1)

    def save_latest(self) -> None:
        """Saves for resuming."""
        self._latest.save()

    def save_best(self) -> None:
        """Saves for testing."""
        self._best.save()

    def restore_latest(self) -> bool:
        """Restores the latest checkpoint, if there is one; says whether there was."""
        return self._restore(self._latest)

    def restore_best(self) -> bool:
        """Restores the best checkpoint, if there is one; says whether there was."""
        return self._restore(self._best)

    def _restore(self, manager: tf.train.CheckpointManager) -> bool:
        path = manager.latest_checkpoint
        if path is None:
            return False
        try:
            self._checkpoint.restore(path).assert_consumed()
        except (AssertionError, ValueError, IndexError, tf.errors.OpError) as error:
            reason = str(error).strip().splitlines()[0]
            raise RunError(
                f"{path}: not a whole checkpoint of this method and its sizes: {reason}"
            ) from error
        return True
