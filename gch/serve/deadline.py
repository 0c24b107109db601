"""No answer takes for ever."""

import asyncio

from gch.serve.guard import Application, Message, Receive, Send, refusal


class Deadline:
    """Answers 504 to a request that takes too long, and hangs up on a client that does not take its answer.

    Args:
      app: what is timed.
      seconds: until the answer begins, and for each piece of it.
    """

    def __init__(self, app: Application, seconds: float):
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loop, began = asyncio.get_running_loop(), False

        async def timed_send(message: Message) -> None:
            nonlocal began
            began = True
            timer.reschedule(loop.time() + self._seconds)
            await send(message)

        try:
            async with asyncio.timeout(self._seconds) as timer:
                await self._app(scope, receive, timed_send)
        except TimeoutError:
            if not timer.expired():
                raise
            if not began:
                await refusal(504, f"no answer within {self._seconds:g} s")(scope, receive, send)
