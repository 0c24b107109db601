"""Ctrl-C and SIGTERM end a command with one line, whatever it does at that moment.

Python runs its handlers only when the main thread is back from TensorFlow, and libraries swallow the
exceptions that handlers raise. So a thread reads the number of the signal from a pipe, which the system's
handler writes to; it prints the line and ends the process. That loses nothing: files are written beside their
places and put there whole (`gch.storage`).

Code that ends in an orderly way, as training and serving do, sets its own handlers, and has GRACE_SECONDS.

This module is imported before anything else. It imports little before the handlers are set.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # as in `typing`, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

GRACE_SECONDS = 1.4
SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_FLUSH_SECONDS = 0.3

# By command, what the same command does after a stop.
GO_ON = dict.fromkeys(
    ("test", "help", "inspect", "eval", "export", "index", "search", "serve", "report"), "starts again"
) | {
    "train": "goes on from the last checkpoint, if there is one",
    "prepare": "goes on after the pictures that are written (with --as=mat it starts again)",
    "encode": "goes on after the codes that are written",
    "sweep": "goes on with the runs that are not finished",
}


def run_stoppable(program: str, words: list[str], run: Callable[[], int]) -> int:
    """Runs a command, which SIGINT and SIGTERM end from now on; returns its exit status. The line of a stop
    names the program, and the command among its `words`.
    """
    watch = _Watch(program, words)
    try:
        return run()
    except KeyboardInterrupt as stop:
        watch.end(getattr(stop, "number", signal.SIGINT), str(stop))
    finally:
        watch.finish()


class _Watch:
    """Waits for signals in a thread."""

    def __init__(self, program: str, words: list[str]):
        self._program = program
        self._command = next((word for word in words if word in GO_ON), "")
        self._terminal, self._number = 2, 0
        _handle(self._end_at_once)

        import atexit
        import threading

        self._new_thread, self._new_timer = threading.Thread, threading.Timer
        self._ending = threading.Lock()
        try:
            self._terminal = os.dup(2)  # libraries' output is hidden by pointing 2 elsewhere for a while
        except OSError:  # it is closed
            self._terminal = -1
        self._nowhere = os.open(os.devnull, os.O_WRONLY)
        self._reads, writes = os.pipe()
        if os.name != "nt":
            os.set_blocking(writes, False)
        signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
        self._new_thread(target=self._wait, daemon=True).start()
        _handle(self._leave_to_thread)
        atexit.register(self.finish, signal.SIG_IGN)  # runs last, when all is done

    def finish(self, handler: signal.Handlers | None = None) -> None:
        """Ends the process if there was a signal: the main thread must not be done before the other one."""
        if handler is not None:
            _handle(handler)
        if self._number:
            self.end(self._number)

    def end(self, number: int, where: str = "") -> NoReturn:
        """Prints the line and ends the process; the first call counts."""
        self._ending.acquire()
        os.dup2(self._nowhere, 2)  # the main thread may find that a child was ended too
        # In threads, because a reader of the output may be slower than the user who ends this.
        for target, arguments in ((_flush, ()), (self._say, (number, where))):
            thread = self._new_thread(target=target, args=arguments, daemon=True)
            thread.start()
            thread.join(_FLUSH_SECONDS)
        os._exit(128 + number)

    def _wait(self) -> None:
        asked = False
        while True:
            number = os.read(self._reads, 1)[0]
            if number not in SIGNALS:
                continue
            if asked or signal.getsignal(number) == self._leave_to_thread:
                self.end(number)
            asked = True
            timer = self._new_timer(GRACE_SECONDS, self.end, (number,))
            timer.daemon = True
            timer.start()

    def _say(self, number: int, where: str = "") -> None:
        what = self._command or "the run"
        go_on = "goes on from there" if where else GO_ON[self._command or "train"]
        line = f"{self._program}: {what} was stopped by {SIGNALS[signal.Signals(number)]}{where}"
        start = "\n" if os.isatty(self._terminal) else ""  # after ^C, or a line of progress
        try:  # without contextlib, which may not be loaded yet
            os.write(self._terminal, f"{start}{line}; the same command {go_on}\n".encode())
        except OSError:
            return

    def _leave_to_thread(self, number: int, frame: object) -> None:
        self._number = number

    def _end_at_once(self, number: int, frame: object) -> None:
        self._say(number)
        os._exit(128 + number)


def _handle(handler: Callable | signal.Handlers) -> None:
    for number in SIGNALS:
        signal.signal(number, handler)


def _flush() -> None:
    import contextlib

    with contextlib.suppress(Exception):  # it is closed, or the main thread is within it
        sys.stdout.flush()
