"""Connections take turns, so that none keeps the others waiting, and are bounded in number and time."""

import asyncio
import collections
import itertools
import time
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from gch.serve.limits import Limits
from gch.serve.refusals import refusal

_EVENTS = 32  # of HTTP that a connection may bring in a turn: heads, chunks; about a millisecond
# A loop that is never idle lets go of the interpreter too briefly for a thread to take it.
_YIELD_SECONDS = 1e-4
_NOT_HTTP = "not a valid request; expected HTTP/1.1 with one Host, and characters beyond ASCII as %XX"


class _Events(h11.Connection):
    """Parses at most `left` events of what arrived."""

    left = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        if self.left == 0:
            return h11.NEED_DATA
        self.left -= 1
        return super().next_event()


class _Flow(FlowControl):
    """Does not read while a connection waits for its turn either: what it sent would pile up."""

    held = False

    def resume_reading(self) -> None:
        self.read_paused = False
        self.hold(self.held)

    def hold(self, held: bool) -> None:
        self.held = held
        if self.held or self.read_paused:
            self._transport.pause_reading()
        elif not self._transport.is_closing():
            self._transport.resume_reading()


class _Turns:
    """Connections take turns, one in each round of the event loop.

    Between two turns, all requests that can go on do so: none waits for more than one turn of another.
    """

    def __init__(self) -> None:
        self._waiting: collections.deque[Callable[[], None]] = collections.deque()

    def wait(self, turn: Callable[[], None]) -> None:
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        try:
            self._waiting[0]()
        finally:
            self._waiting.popleft()
            if self._waiting:
                time.sleep(_YIELD_SECONDS)
                asyncio.get_running_loop().call_soon(self._next)


def connection_protocol(limits: Limits) -> type[H11Protocol]:
    """Uvicorn's protocol with bounds.

    By itself it waits forever for a request or a reader, handles all that arrived in one go, even 40,000
    chunks of a byte, and accepts any number of connections. Of too many, one that waits for its client is
    closed: the oldest without an answer so far, else the one whose last answer is the oldest.
    """
    turns = _Turns()

    class Connection(H11Protocol):
        conn: _Events
        flow: _Flow

        def __init__(self, *arguments: Any, **options: Any):
            super().__init__(*arguments, **options)
            self.conn = _Events(h11.SERVER)

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)  # type: ignore[arg-type]  # which TCP always gives
            self.flow = _Flow(self.transport)
            self.loop.call_later(limits.head_seconds, self._close_unless_used, None)
            if len(self.connections) > limits.connections:
                others = itertools.chain(unanswered, answered)
                next((one for one in others if one.idle), self).transport.abort()
            unanswered[self] = None

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._forget()

        def _forget(self) -> None:
            unanswered.pop(self, None)
            answered.pop(self, None)

        @property
        def idle(self) -> bool:
            """Whether the server waits for the client, not the client for the server."""
            cycle = self.cycle
            if self.transport.is_closing():
                return False
            return cycle is None or cycle.response_complete or cycle.more_body or self.flow.write_paused

        def handle_events(self) -> None:
            if not self.flow.held:
                self.flow.hold(True)
                turns.wait(self._turn)

        def _turn(self) -> None:
            self.conn.left = _EVENTS
            if not self.transport.is_closing():
                super().handle_events()
            if self.conn.left == 0 and not self.transport.is_closing():
                turns.wait(self._turn)
            else:
                self.flow.hold(False)

        def send_400_response(self, msg: str) -> None:
            answer = refusal(400, _NOT_HTTP, {"connection": "close"})
            head = h11.Response(status_code=400, headers=answer.raw_headers, reason="Bad Request")
            for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event))
            self.transport.close()

        def on_response_complete(self) -> None:
            self._forget()
            answered[self] = None
            super().on_response_complete()

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

    unanswered: dict[Connection, None] = {}  # open connections, the oldest first
    answered: dict[Connection, None] = {}  # those that got an answer, the idlest first
    return Connection
