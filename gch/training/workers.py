"""What the workers of a training tell each other between steps, and the loss of one of them."""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from gch.cluster import Cluster
from gch.errors import RunError, TrainingError
from gch.storage import digest
from gch.training.device import Device

_LOST = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError)
_ABORTED = re.compile("Collective ops is aborted by: (.+)")


def any_worker(device: Device, said: bool) -> bool:
    """Whether any worker says yes. All of them call this, and wait for each other."""
    if device.cluster.workers == 1:
        return said
    return any(_of_all(device, int(said)))


def require_alike(device: Device, what: str, *values: object) -> None:
    """Raises RunError on every worker unless `values` are the same on all of them."""
    if device.cluster.workers == 1:
        return
    own = int(digest(*values)[:15], 16)
    if any(one != own for one in _of_all(device, own)):
        raise RunError(f"the workers of TF_CONFIG differ in {what}; expected the same files on all machines")


def _of_all(device: Device, number: int) -> list[int]:
    given = device.strategy.experimental_distribute_values_from_function(
        lambda _: tf.constant([number], tf.int64)
    )
    return device.strategy.gather(given, axis=0).numpy().tolist()


@contextlib.contextmanager
def lost_workers(cluster: Cluster) -> Iterator[None]:
    """Names the loss of another worker, which TensorFlow reports as an operation that failed.

    Raises:
      TrainingError: another worker ended or cannot be reached.
    """
    try:
        yield
    except tf.errors.OpError as error:
        aborted = _ABORTED.search(error.message)
        if cluster.workers == 1 or not (aborted or isinstance(error, _LOST)):
            raise
        reason = aborted[1] if aborted else error.message.strip().splitlines()[0]
        raise TrainingError(
            f"another worker of TF_CONFIG ended or cannot be reached ({reason}); "
            f"start all {cluster.workers} again to go on from the last checkpoint"
        ) from error
