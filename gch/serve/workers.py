"""Some threads, and a bound on what may wait for them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from gch.serve.batching import QueueFull


class Workers:
    """Threads for work that would hold up the event loop.

    Args:
      name: of the threads.
      threads: their number.
      queue: calls that may wait or run, 1 or more.
    """

    def __init__(self, name: str, threads: int, queue: int):
        self._pool = ThreadPoolExecutor(threads, name)
        self._queue, self._taken = queue, 0

    async def run(self, call: Callable, *arguments: object) -> object:
        """What the call returns, made in one of the threads.

        Raises:
          QueueFull: too many calls wait.
          Exception: what the call raised.
        """
        if self._taken >= self._queue:
            raise QueueFull
        self._taken += 1
        future = self._pool.submit(call, *arguments)
        loop = asyncio.get_running_loop()
        # Counted until the thread is done with it, also where nobody waits for it any more.
        future.add_done_callback(lambda _: _soon(loop, self._release))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Drops what has not begun, and waits for what has."""
        self._pool.shutdown(cancel_futures=True)

    def _release(self) -> None:
        self._taken -= 1


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)
