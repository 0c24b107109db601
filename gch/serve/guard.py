"""What every answer tells a browser, and whom the server talks to."""

from collections.abc import Awaitable, Callable, MutableMapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

HEADERS = {
    # The page has files of its own and pictures that it was given, and asks nobody else.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def refusal(status: int, reason: str, **headers: str) -> JSONResponse:
    """An answer that says why there is none: {"error": reason}.

    Args:
      status: 4xx or 5xx.
      reason: a line for the one who asked.
      **headers: names with _ for -.
    """
    return JSONResponse(
        {"error": reason}, status, {name.replace("_", "-"): value for name, value in headers.items()}
    )


class Guard:
    """Puts `HEADERS` on every answer, and refuses other names of this server.

    Args:
      app: what is guarded.
      hosts: names that the server may be called by, or None for any. A page of another site can give its own
        name this server's address (DNS rebinding), and would then read answers as its own.
    """

    def __init__(self, app: Application, hosts: frozenset[str] | None):
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        host = _name(Headers(scope=scope).get("host", ""))
        if self._hosts is not None and host not in self._hosts:
            told = f"host {host[:100]!r}: expected {' or '.join(sorted(self._hosts))}"
            await refusal(400, told)(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


def _name(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
