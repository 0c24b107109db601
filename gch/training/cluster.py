"""The workers of a training on several machines, read from TF_CONFIG without loading TensorFlow."""

import dataclasses
import re
from collections.abc import Mapping

from gch.data.text_files import Fields, is_count, json_of, object_of, shown
from gch.errors import DataError, SettingError


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
_PORTS = range(1, 2**16)
_ADDRESS = (
    f"a text host:port, with a port from {_PORTS[0]} to {_PORTS[-1]}",
    lambda value: (
        isinstance(value, str)
        and re.fullmatch(r".+:[0-9]{1,5}", value) is not None
        and int(value.rpartition(":")[2]) in _PORTS
    ),
)
_CONFIG: Fields = {"cluster": {...: [_ADDRESS]}, "task": {}}


def read_cluster(environment: Mapping[str, str]) -> Cluster:
    """The cluster of TF_CONFIG; without it, or with one worker in it, this process alone. Raises SettingError
    where it is not what TensorFlow expects, or names tasks other than a chief and workers.
    """
    text = environment.get("TF_CONFIG") or "{}"
    try:
        value = json_of(text, "TF_CONFIG")
        config = object_of(
            {"cluster": {}, "task": {}} | value if isinstance(value, dict) else value, "TF_CONFIG", _CONFIG
        )
        jobs, task = config["cluster"], config["task"]
        if not jobs.keys() <= {"chief", "worker"}:
            raise DataError(f"TF_CONFIG: its tasks are {shown(list(jobs))}")
        tasks = [(job, index) for job in ("chief", "worker") for index in range(len(jobs.get(job, ())))]
        if len(tasks) < 2:
            return ALONE
        mine = task.get("type"), task.get("index")
        if mine not in tasks or not is_count(mine[1]):  # true equals 1
            raise DataError(f"TF_CONFIG: its task is {shown(task)}, not one of the cluster")
        return Cluster(len(tasks), tasks.index(mine))
    except DataError as error:
        raise SettingError(
            f'{error}; expected {{"cluster": {{"worker": ["host:port", ...]}}, '
            '"task": {"type": "worker", "index": 0}}, with another index in every process'
        ) from error
