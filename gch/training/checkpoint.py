"""Checkpoints: everything that the rest of a run depends on (latest), and what codes depend on (best)."""

from pathlib import Path

import tensorflow as tf

from gch.errors import RunError
from gch.methods.method import Method
from gch.run import require_checkpoint


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
    TensorFlow writes beside the old one and renames. The best one lacks the optimizers, whose moments take
    twice the room of the weights.
    """

    def __init__(self, folder: Path, method: Method, position: Position):
        own = {f"position/{name}": variable for name, variable in position.variables.items()}
        own |= {f"memory/{name}": variable for name, variable in method.memories.items()}
        self._networks = _numbered("network", method.networks)
        optimizers = _numbered("optimizer", method.optimizers)
        self._latest = _manager(folder / "latest", own | self._networks | optimizers)
        self._best = _manager(folder / "best", own | self._networks)

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

    def start_from(self, folder: Path) -> None:
        """Takes the networks' weights from the best checkpoint of the run in `folder`, and nothing else.

        Raises:
          RunError: there is none, or it is of other networks.
        """
        require_checkpoint(folder)
        self._restore(_manager(folder / "best", self._networks))

    def _restore(self, manager: tf.train.CheckpointManager) -> bool:
        path = manager.latest_checkpoint
        if path is None:
            return False
        try:
            manager.checkpoint.restore(path).assert_existing_objects_matched()
        except (AssertionError, ValueError, IndexError, tf.errors.OpError) as error:
            reason = str(error).strip().splitlines()[0]
            raise RunError(
                f"{path}: not a whole checkpoint of this method and its sizes: {reason}"
            ) from error
        return True


def _numbered(kind: str, holders: dict[str, object]) -> dict[str, tf.Variable]:
    """The variables of networks or optimizers, by number: Keras makes up names that depend on what the
    process built before.
    """
    return {
        f"{kind}/{name}/{number}": variable.value
        for name, holder in holders.items()
        for number, variable in enumerate(holder.variables)
    }


def _manager(folder: Path, variables: dict[str, tf.Variable]) -> tf.train.CheckpointManager:
    return tf.train.CheckpointManager(tf.train.Checkpoint(variables=variables), str(folder), max_to_keep=1)
