"""The server's process: its address, its start and its end."""

import contextlib
import ipaddress
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from gch.errors import RunError
from gch.search.query import Searcher
from gch.serve.app import build_app
from gch.serve.connections import connection_protocol
from gch.serve.limits import Limits

_GRACE_SECONDS = 5
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address, on any free port if `port` is 0.

    Raises RunError if the port is in use, or the address does not belong to this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        dual = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        return socket.create_server(address, family=family, backlog=1024, dualstack_ipv6=dual)
    except (OSError, UnicodeError) as error:
        reason = str(getattr(error, "strerror", None) or error).partition(" (while attempting")[0]
        raise RunError(
            f"--host={host} --port={port}: {reason}; expected an address of this machine with a free port"
        ) from error


def is_local(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def serve(
    searcher: Searcher, limits: Limits, listener: socket.socket, host: str, hidden: Sequence[Path]
) -> None:
    """Serves until Ctrl-C, see `build_app`; then waiting queries are refused."""
    hosts = LOCAL_HOSTS | {host.lower()} if is_local(host) else None
    server = Server(build_app(searcher, limits, hosts, hidden), limits)
    shown = f"[{host}]" if ":" in host else host
    print(f"http://{shown}:{listener.getsockname()[1]} (Ctrl-C to stop)", flush=True)
    sys.setswitchinterval(0.001)  # The event loop does not wait long for a thread that runs Python.
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again at the end.
        server.run(sockets=[listener])


class Server(uvicorn.Server):
    """A server of `build_app`'s application, which refuses waiting queries when it stops."""

    def __init__(self, app: FastAPI, limits: Limits):
        config = uvicorn.Config(
            app,
            http=connection_protocol(limits),
            loop="asyncio",
            ws="none",
            log_config=None,  # its own closes the handlers of other loggers, and absl's the stream of its
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        super().__init__(config)
        self._batcher = app.state.batcher

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuses queries that wait: uvicorn would wait for their answers."""
        self._batcher.close()
        await super().shutdown(sockets)
