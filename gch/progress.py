"""How far a long piece of work is, on one line of the terminal."""

import sys
import time


class Progress:
    """Call it with the numbers of things done and of all; it tells them now and then, with the rate.

    Args:
      things: what is counted.
    """

    def __init__(self, things: str = "pictures"):
        self._things = things
        self._start: tuple[float, int] | None = None
        self._told = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Tells `done` of `total`, at most twice a second, and at the end."""
        now = time.monotonic()
        if self._start is None:
            self._start = (now, done)
        if done < total and (now - self._told < 0.5 or not sys.stdout.isatty()):
            return
        self._told = now
        began, first = self._start
        rate = (done - first) / max(now - began, 1e-3)
        line = f"  {done:,} of {total:,} {self._things}, {rate:.0f} a second"
        end = "\n" if done >= total else ""
        print(f"\r{line:<60}" if sys.stdout.isatty() else line, end=end, flush=True)
