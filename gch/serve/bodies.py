"""Bodies of requests: read whole before anything is done, and bounded in size, time and number."""

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import Response

from gch.serve.guard import Application, Message, Receive, Send, refusal
from gch.serve.limits import Limits

_FAREWELL_SECONDS = 2.0


class _Refused(Exception):
    def __init__(self, response: Response):
        self.response = response


class Bodies:
    """Reads the body of a request, then calls the application with all of it.

    Answers 413 to a body that is too large, as soon as that is seen, 408 to one that does not come in time,
    and 503 while the bodies of other requests take all memory that they may.

    Args:
      app: what is called.
      limits: `body_bytes`, `held_bytes` and `seconds`.
    """

    def __init__(self, app: Application, limits: Limits):
        self._app, self._limits = app, limits
        self._held = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            if self._held + size > self._limits.held_bytes:
                raise _Refused(busy())
            held += size
            self._held += size

        try:
            body = await self._read(Headers(scope=scope), receive, hold)
            if body is not None:
                await self._app(scope, _replayed(body, receive), send)
        except _Refused as refused:
            await refused.response(scope, receive, _lingering(send, receive))
        finally:
            self._held -= held

    async def _read(self, headers: Headers, receive: Receive, hold: Callable[[int], None]) -> bytes | None:
        """The body, or None where the client has gone."""
        told = headers.get("content-length", "")
        if told.isdecimal() and int(told) > self._limits.body_bytes:
            raise _Refused(self._too_large())
        pieces, size = [], 0
        try:
            async with asyncio.timeout(self._limits.seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    piece, more = message.get("body", b""), message.get("more_body", False)
                    size += len(piece)
                    if size > self._limits.body_bytes:
                        raise _Refused(self._too_large())
                    hold(len(piece))
                    pieces.append(piece)
        except TimeoutError as error:
            reason = f"the body did not come within {self._limits.seconds:g} s"
            raise _Refused(refusal(408, reason, connection="close")) from error
        return b"".join(pieces)

    def _too_large(self) -> Response:
        limit = self._limits.body_bytes / 2**20
        return refusal(413, f"the body is too large; expected {limit:g} MiB at most", connection="close")


def busy() -> Response:
    """503, for the one who asked to come again."""
    return refusal(503, "too many requests wait; try again", retry_after="1")


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _lingering(send: Send, receive: Receive) -> Send:
    """Ends an answer only when the client has sent all it wants to, or some time has passed.

    A connection that is closed on a client that still sends is reset, and the answer lost.
    """

    async def linger(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        await send({**message, "more_body": True})
        try:
            async with asyncio.timeout(_FAREWELL_SECONDS):
                while (await receive()).get("more_body", False):
                    pass
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return linger
