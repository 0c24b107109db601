"""What a client may cost, and what enforces it: the one place for memory, time, threads and connections."""

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

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Attributes:
    body_bytes: largest body of a request.
    total_body_bytes: largest size of the bodies of all requests in progress, together.
    seconds: for a body to arrive, for an answer to begin, and for a client to read each piece of it.
    head_seconds: interval in which a connection must bring a request.
    queue: requests that may wait for the model; pictures that may wait to be decoded or scaled.
    batch: most requests in a batch.
    count: most results of a request.
    text_characters: longest text, or tags together.
    tags: most tags.
    """

    body_bytes: int = 16 * 2**20
    total_body_bytes: int = 256 * 2**20
    seconds: float = 30.0
    head_seconds: float = 10.0
    queue: int = 256
    batch: int = 32
    count: int = 1000
    text_characters: int = 2000
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

        Raises:
          HTTPException: 413, the body is too large; 408, it is too slow.
          asyncio.QueueFull: the bodies of all requests take too much memory.
          ClientDisconnect: the client has gone.
        """
        body, size = bytearray(), 0
        try:
            seconds = self._limits.seconds
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
        """Calls in a thread. A time limit waits for a call that has begun: its thread is not free before.

        Raises:
          asyncio.QueueFull: too many calls wait.
        """
        if self._limiter.statistics().tasks_waiting >= self._queue:
            raise asyncio.QueueFull
        return await anyio.to_thread.run_sync(call, *arguments, limiter=self._limiter)


def connection_protocol(limits: Limits) -> type[H11Protocol]:
    """Uvicorn's protocol, which closes a connection that brings no request or does not read its answer.

    By itself it waits for ever for the head of a request, and for a client to read.
    """

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
