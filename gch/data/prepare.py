"""Preparing a data set (`gch.data.prepared`): side by side, resumable, and never half.

A run that was stopped, or that finds damage, goes on with the shards that are not what their notes say
(`gch.data.prepare_shards`). The index comes last (`gch.data.prepare_tables`).
"""

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from gch.data.layouts import INDEX_NAME
from gch.data.pairs import Pairs
from gch.data.prepare_shards import write_shards
from gch.data.prepare_tables import write_tables
from gch.data.prepare_work import Work
from gch.data.prepared_index import SIDES, read_index, read_object
from gch.errors import DataError
from gch.storage import write_json

BROKEN = ("skip", "stop")
_PLAN_NAME = "plan.json"
_TEMPORARY = re.compile(
    r"\.(images|index|items|labels|plan|records|split|texts)-.*"
)  # as `atomic_path` names
# NumPy and Pillow tell no number where a write was cut short.
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None)


def prepare(
    pairs: Pairs,
    folder: Path,
    *,
    encoding: str = "jpeg",
    quality: int = 95,
    shard_items: int = 1024,
    jobs: int = 2,
    broken: str = "skip",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Writes a prepared data set, or goes on where it was stopped; mends a finished one that is damaged.

    A second process that prepares into the same folder waits for the first, and then finds all done.

    Args:
      pairs: the data set, with pictures.
      folder: new, empty, or begun by the same call.
      encoding: 'jpeg', 'png' (no loss) or 'raw' (no loss; three bytes a pixel).
      quality: of JPEG, 1 to 100.
      shard_items: pictures in a shard.
      jobs: threads that read and encode; they do not change what is written.
      broken: pictures of a folder that cannot be decoded are left out ('skip') or end the run ('stop').
      progress: called with the number of pictures done and of all.

    Raises:
      DataError: the folder holds something else, a picture is broken under 'stop', all are, or the disk is
        full; what was written before stays, and the same call goes on.
    """
    if pairs.pictures is None:
        raise DataError(f"{pairs.name}: has features in place of pixels; expected pictures to prepare")
    if not all(side in SIDES for side in pairs.pictures.size):
        height, width = pairs.pictures.size
        expected = f"sides of {SIDES[0]} to {SIDES[-1]} pixels"
        raise DataError(f"{pairs.name}: pictures are {height} x {width}, expected {expected}")
    work = Work(pairs, folder, encoding, quality, shard_items, jobs, broken)
    try:
        with _alone_in(folder):
            _begin(folder, work.plan)
            write_tables(work, write_shards(work, progress))
    except OSError as error:
        advice = "; make room, and the same command goes on" if error.errno in _DISK_FULL else ""
        raise DataError(f"{folder}: cannot be written, {error.strerror or error}{advice}") from error
    report_broken(folder, broken)


def report_broken(folder: Path, broken: str) -> None:
    """Tells which pictures a prepared data set left out; raises DataError where `broken` is 'stop'."""
    left_out = read_index(folder)["left_out"]
    if left_out and broken == "stop":
        raise DataError(f"{left_out[0]}; broken is 'stop' (all {len(left_out)} in {folder / INDEX_NAME})")
    if left_out:
        print(f"Left out, as they cannot be read: {len(left_out)} pictures (all in {folder / INDEX_NAME})")
        for message in left_out[:5]:
            print(f"  {' '.join(message.split())}")


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Makes the folder, and keeps other processes from preparing into it; they wait."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another process is preparing {folder}; waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:  # A file system without locks.
            pass
        yield
    finally:
        os.close(lock)


def _begin(folder: Path, plan: str) -> None:
    """Notes the plan in a new folder, or checks that the folder is of the same plan."""
    begun = {_plan_in(folder / name) for name in (_PLAN_NAME, INDEX_NAME)} - {None}
    temporary = [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name)]
    if not begun and len(temporary) < len(list(folder.iterdir())):
        raise DataError(f"{folder}: not empty, expected a new folder")
    if not begun <= {plan}:
        raise DataError(f"{folder}: begun with other data or other options; expected a new folder")
    for path in temporary:  # of a process that was killed
        path.unlink()
    if _plan_in(folder / _PLAN_NAME) != plan:
        write_json(folder / _PLAN_NAME, {"plan": plan})


def _plan_in(path: Path) -> str | None:
    plan = read_object(path).get("plan")
    return plan if isinstance(plan, str) else None
