"""The server's process: its address, its start and its end."""

import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from gch.errors import RunError
from gch.serve.app import build_app
from gch.serve.limits import Limits
from gch.serve.patience import patient_protocol
from gch.serve.queries import Queries

if TYPE_CHECKING:  # What is served need not be of FAISS: anything of this interface will do.
    from gch.search.query import Searcher

_GRACE_SECONDS = 5
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address.

    Args:
      host: a name or an address, IPv4 or IPv6.
      port: 0 for any that is free.

    Raises:
      RunError: the address is taken or not of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        taken = socket.socket(family, kind, protocol)
        try:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(address)
            taken.listen(1024)
        except OSError:
            taken.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(
            f"--host={host} --port={port}: {reason}; expected an address of this machine with a free port"
        ) from error
    return taken


def is_local(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def serve(
    searcher: "Searcher", limits: Limits, taken: socket.socket, host: str, hidden: Sequence[Path]
) -> None:
    """Serves until it is interrupted; what waits then is refused, what is being answered is answered.

    Args:
      searcher: over the collection.
      limits: what a request may cost.
      taken: socket that listens.
      host: what it was asked to listen at.
      hidden: folders whose paths no answer may tell.
    """
    hosts = _LOCAL | {host.lower()} if is_local(host) else None
    app = build_app(searcher, limits, hosts, hidden)
    config = uvicorn.Config(
        app,
        http=patient_protocol(limits.head_seconds),
        loop="asyncio",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    shown = f"[{host}]" if ":" in host else host
    print(f"http://{shown}:{taken.getsockname()[1]} (Ctrl-C ends it)", flush=True)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again when all is done.
        _Server(config, app.state.queries).run(sockets=[taken])


class _Server(uvicorn.Server):
    """Refuses queries that wait when it is told to stop; uvicorn by itself would wait for them."""

    def __init__(self, config: uvicorn.Config, queries: Queries):
        super().__init__(config)
        self._queries = queries

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._queries.close()
        await super().shutdown(sockets)
