"""Limits on what a client may cost in memory, time, threads and connections, and their enforcement."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar, TypeVarTuple

import anyio
import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from gch.search.query import MAX_COUNT

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


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
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body of a request. Its memory counts until the context ends.

        Raises HTTPException: 413, the body is too large; 408, it is too slow; and asyncio.QueueFull where the
        bodies of all requests take too much memory.
        """
        body, size, seconds = bytearray(), 0, self._limits.seconds
        try:
            with _time_limit(seconds, 408, f"the body did not come within {seconds:g} s"):
                self._require_size(int(request.headers.get("content-length", 0)))
                async for piece in request.stream():
                    body += piece
                    size += len(piece)
                    self._total += len(piece)
                    self._require_size(size)
                    if self._total > self._limits.total_body_bytes:
                        raise asyncio.QueueFull
            content = bytes(body)
            body.clear()
            yield content
        finally:
            self._total -= size

    def _require_size(self, size: int) -> None:
        if size > self._limits.body_bytes:
            limit = self._limits.body_bytes / 2**20
            raise HTTPException(413, f"the body is too large; expected at most {limit:g} MiB")


class Workers:
    """Some threads for work that would block the event loop, and a bound on the calls that wait for them."""

    def __init__(self, threads: int, queue: int):
        self._limiter, self._queue = anyio.CapacityLimiter(threads), queue

    async def run(self, call: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> _Result:
        """Calls in a thread, or raises asyncio.QueueFull where too many calls wait.

        A time limit waits for a call that has begun: its thread is not free before.
        """
        if self._limiter.statistics().tasks_waiting >= self._queue:
            raise asyncio.QueueFull
        return await anyio.to_thread.run_sync(call, *arguments, limiter=self._limiter)


def connection_protocol(limits: Limits) -> type[H11Protocol]:
    """Uvicorn's protocol with time limits; by itself it waits forever for a request or a reader."""

    class Connection(H11Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)  # type: ignore[arg-type]  # which TCP always gives
            self.loop.call_later(limits.head_seconds, self._close_unless_used, None)

        def _close_unless_used(self, last: RequestResponseCycle | None) -> None:
            if self.cycle is last and (last is None or last.response_complete):
                self.transport.close()
            elif not self.transport.is_closing():
                self.loop.call_later(limits.head_seconds, self._close_unless_used, self.cycle)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._reading_timer = self.loop.call_later(limits.seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._reading_timer.cancel()

    return Connection
