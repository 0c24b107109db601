"""The terminal: progress on one line, and the output of libraries hidden."""

import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping

_HIDING = threading.Lock()  # there is one standard error
LOG_SECONDS = 30.0  # between lines of progress where there is no terminal


class Progress:
    """Prints progress: at most twice a second on a terminal, else a line every LOG_SECONDS; and at the end.

    Args:
      things: what is counted.
      title: a line to print first.
    """

    def __init__(self, things: str = "pictures", title: str = ""):
        self._things, self._title = things, title
        self._start: tuple[float, int] | None = None
        self._printed = 0.0

    def __call__(self, done: int, total: int, figures: Mapping[str, float] | None = None) -> None:
        """Prints `done` of `total`, the rate since the first call, and the figures."""
        now = time.monotonic()
        if self._start is None:
            self._start = now, done
            self._printed = now
            print(end=self._title and f"{self._title}\n")
        terminal = sys.stdout.isatty()
        if done < total and now - self._printed < (0.5 if terminal else LOG_SECONDS):
            return
        self._printed = now
        rate = (done - self._start[1]) / max(now - self._start[0], 1e-3)
        words = [f"  {done:,} of {total:,} {self._things}", f"{rate:.0f} a second"]
        line = ", ".join([*words, *(f"{name} {value:.4f}" for name, value in (figures or {}).items())])
        if terminal:
            width = shutil.get_terminal_size().columns - 1
            line = f"\r{line[:width]:<{width}}"
        print(line, end="" if terminal and done < total else "\n", flush=True)


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hides what libraries write to standard error, and shows it if the body raises.

    TensorFlow announces its build and the absence of a GPU there before its own switches take effect.
    With TF_CPP_MIN_LOG_LEVEL=0 in the environment nothing is hidden. Of several threads one hides it: others
    would take its file for the terminal, and standard error would be lost.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0" or not _HIDING.acquire(blocking=False):
        yield
        return
    try:
        sys.stderr.flush()
        terminal = os.dup(2)
        with tempfile.TemporaryFile() as hidden:
            os.dup2(hidden.fileno(), 2)
            try:
                yield
            except BaseException:
                hidden.seek(0)
                os.write(terminal, hidden.read())
                raise
            finally:
                sys.stderr.flush()
                os.dup2(terminal, 2)
                os.close(terminal)
    finally:
        _HIDING.release()
