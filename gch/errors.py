"""The errors that a user can fix.

Each has a message of one line: where the error is, what was found there, and what was expected.
The command line prints that line, without a traceback, and exits with a status other than 0.
"""

import contextlib
import errno
import os
import traceback
from collections.abc import Iterator

# Of a program, where it raises them itself.
_MISTAKES = (AssertionError, AttributeError, NameError, TypeError)
_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)


class GCHError(Exception):
    """An error that the user can fix."""


class SettingError(GCHError):
    """A setting is unknown, of the wrong type, out of range or impossible in combination with others."""


class DataError(GCHError):
    """A data file is missing, broken, or does not match its layout."""


class WeightsError(GCHError):
    """A file of network weights is missing, broken, or fits another network."""


class RunError(GCHError):
    """A run folder cannot be used as asked: nothing to test, or trained with other settings."""


class TrainingError(GCHError):
    """Training cannot go on: a loss is not a finite number."""


@contextlib.contextmanager
def damage(where: str, advice: str = "") -> Iterator[None]:
    """Raises DataError, '<where>, <reason><advice>', for whatever a library raises on damaged bytes."""
    try:
        yield
    except GCHError:
        raise
    except Exception as error:  # NumPy, h5py and SciPy raise nearly any exception on damaged bytes.
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        ours = frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]
        if ours and isinstance(error, _MISTAKES):
            raise
        raise DataError(f"{where}, {reason(error)}{advice}") from error


@contextlib.contextmanager
def writing(path: str | os.PathLike, fault: type[GCHError] = RunError) -> Iterator[None]:
    """Raises `fault`, '<path>: cannot be written, <reason>', where the system refuses to write."""
    try:
        yield
    except OSError as error:
        raise fault(f"{path}: cannot be written, {error.strerror or error}") from error


@contextlib.contextmanager
def disk_errors(path: str | os.PathLike) -> Iterator[None]:
    """Raises RunError, '<path>, cannot be written', where a library says that the system refused to write."""
    try:
        yield
    except GCHError:
        raise
    except Exception as error:  # TensorFlow and h5py have the system's words in types of their own
        refused = [words for words in map(os.strerror, _REFUSED) if words in str(error)]
        if not refused:
            raise
        raise RunError(
            f"{path}: cannot be written, {refused[0]}; make room there, and give the same command again"
        ) from error


def reason(error: Exception) -> str:
    """The first line of what an exception says, at most 200 characters that print; or its type."""
    lines = str(error).strip().splitlines()
    line = lines[0] if lines else type(error).__name__
    return line[:200] if line.isprintable() else ascii(line[:200])
