"""Limits on what a client may cost, and their enforcement in bodies and threads."""

import asyncio
import contextlib
import dataclasses
import math
from collections.abc import AsyncIterator, Callable, Iterator
from typing import ClassVar, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from gch.data.pictures import MAX_SIDE
from gch.search.query import MAX_COUNT

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")

_LANES = {2**22: 2, 2**25: 1, math.inf: 1}  # threads for work up to a weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a client may cost."""

    body_bytes: int = 16 * 2**20  # of a request
    total_body_bytes: int = 256 * 2**20  # of all requests in progress
    seconds: float = 30.0  # for a body to arrive, an answer to begin, and a client to read each piece of it
    head_seconds: float = 10.0  # interval in which a connection must bring a request
    queue: int = 256  # requests that may wait for the model; pictures that may wait to be decoded or scaled
    batch: int = 32  # requests answered together
    count: int = MAX_COUNT  # results of a request
    text_characters: int = 2000  # of a text, or of tags together
    tags: int = 100
    connections: int = 512  # open at the same time
    pixels: int = 2**26  # that decoding a picture may hold in memory, about 7 bytes each
    side: ClassVar[int] = MAX_SIDE  # of a picture, in pixels

    @property
    def query_bytes(self) -> int:
        """Of the JSON of a text or tags, in which a character takes 12 bytes at most."""
        return 16 * self.text_characters + 1024

    def answer_time(self) -> contextlib.AbstractContextManager[None]:
        """Answers 504 in place of a block that takes longer than `seconds`."""
        return _time_limit(self.seconds, 504, f"no answer within {self.seconds:g} s")


@contextlib.contextmanager
def _time_limit(seconds: float, status: int, reason: str) -> Iterator[None]:
    with anyio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise HTTPException(status, reason)


class Bodies:
    """Reads the bodies of requests and counts their memory."""

    def __init__(self, limits: Limits):
        self._limits, self._total = limits, 0

    @contextlib.asynccontextmanager
    async def read(self, request: Request, most: int) -> AsyncIterator[bytes]:
        """The whole body of a request, `most` bytes at most. Its memory counts until the context ends.

        Raises HTTPException: 413, the body is too large; 408, it is too slow; and asyncio.QueueFull where it
        is larger than the memory that all bodies leave free. So large ones leave room for small ones.
        """
        body, size, seconds = bytearray(), 0, self._limits.seconds
        try:
            with _time_limit(seconds, 408, f"the body did not come within {seconds:g} s"):
                _require_size(int(request.headers.get("content-length", 0)), most)
                async for piece in request.stream():
                    body += piece
                    size += len(piece)
                    self._total += len(piece)
                    _require_size(size, most)
                    if size > self._limits.total_body_bytes - self._total:
                        raise asyncio.QueueFull
            content = bytes(body)
            body.clear()
            yield content
        finally:
            self._total -= size


def _require_size(size: int, most: int) -> None:
    if size > most:
        limit = f"{most} bytes" if most % 2**10 else f"{most / 2**20:g} MiB"
        raise HTTPException(413, f"the body is too large; expected at most {limit}")


class Workers:
    """Threads for work on pictures, which would block the event loop, in lanes by its weight.

    A weight is a number of pixels or bytes. Small pictures do not wait for large ones, and only one of the
    largest is in memory at a time.
    """

    def __init__(self, queue: int):
        self._queue = queue
        self._lanes = {most: anyio.CapacityLimiter(threads) for most, threads in _LANES.items()}

    def beside(self) -> "Workers":
        """Workers with a light lane of their own, which share the other lanes."""
        workers = Workers(self._queue)
        light = next(iter(_LANES))
        workers._lanes = {**self._lanes, light: workers._lanes[light]}
        return workers

    async def run(
        self, request: Request, weight: int, call: Callable[[*_Arguments], _Result], *arguments: *_Arguments
    ) -> _Result:
        """Calls in a thread for a request.

        A time limit does not interrupt a call that has begun: its thread is busy until the call ends.

        Raises:
          asyncio.QueueFull: too many calls wait.
          ClientDisconnect: the client left while the call waited.
        """
        lane = next(lane for most, lane in self._lanes.items() if weight <= most)
        if lane.statistics().tasks_waiting >= self._queue:
            raise asyncio.QueueFull
        async with lane:
            if await request.is_disconnected():
                raise ClientDisconnect
            return await anyio.to_thread.run_sync(call, *arguments)
