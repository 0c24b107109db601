"""The workers of a training on several machines, read from TF_CONFIG without loading TensorFlow."""

import dataclasses
import json
from collections.abc import Mapping

from gch.errors import SettingError


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes that train together, one a machine."""

    workers: int = 1
    index: int = 0  # which of them this process is

    @property
    def chief(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.index == 0


ALONE = Cluster()


def read_cluster(environment: Mapping[str, str]) -> Cluster:
    """The cluster of TF_CONFIG; without it, or with one worker in it, this process alone.

    Raises:
      SettingError: TF_CONFIG is not what TensorFlow expects, or names tasks other than a chief and workers.
    """
    text = environment.get("TF_CONFIG") or "{}"
    try:
        config = json.loads(text)
        jobs, task = config.get("cluster", {}), config.get("task", {})
        if not jobs.keys() <= {"chief", "worker"}:
            raise ValueError(f"its tasks are {', '.join(jobs)}")
        tasks = [(job, index) for job in ("chief", "worker") for index in range(len(jobs.get(job, ())))]
        if len(tasks) < 2:
            return ALONE
        return Cluster(len(tasks), tasks.index((task.get("type"), task.get("index"))))
    except (ValueError, TypeError, AttributeError) as error:
        raise SettingError(
            f'TF_CONFIG is {text!r}: {error}; expected {{"cluster": {{"worker": ["host:port", ...]}}, '
            '"task": {"type": "worker", "index": 0}}, with another index in every process'
        ) from error
