"""`python -m gch.child`: the command line in a process that ends with the one that started it.

Its standard input is the end of a pipe that the parent holds open. However the parent ends, killed too, the
pipe closes, and the child ends at once, as by a kill: a run loses nothing by that.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence


def run_child(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Runs the command line with these arguments; returns its exit status and its standard error."""
    with subprocess.Popen(
        [sys.executable, "-m", "gch.child", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        assert process.stderr
        said = process.stderr.read()  # `communicate` would close standard input
        return process.wait(), said


def end_with_parent() -> None:
    """Ends this process when its standard input ends; signals that its parent gets too do not."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    end_with_parent()
    from gch.__main__ import console

    sys.exit(console())
