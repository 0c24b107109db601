"""Where codes are in an engine, as a URI says it."""

import dataclasses
import os
import re
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from gch.errors import SettingError

EXPECTED = (
    "expected clickhouse://[USER@]HOST[:PORT]/DATABASE[?cluster=NAME], the same with clickhouses:// for TLS, "
    "or chdb://FOLDER"
)
PASSWORD = "CLICKHOUSE_PASSWORD"
_PORTS = {"clickhouse": 8123, "clickhouses": 8443}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EMBEDDED_DATABASE = "codes"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Address:
    """Attributes:
    uri: what this was read from.
    database: whose tables hold the codes.
    folder: of chDB, or None where it is a server.
    host: of the server.
    port: of its HTTP interface.
    user: '' is the server's default.
    secure: whether TLS is spoken.
    cluster: machines that the codes are spread over, as the server's configuration names them; '' for one.
    """

    uri: str
    database: str
    folder: Path | None = None
    host: str = ""
    port: int = 0
    user: str = ""
    secure: bool = False
    cluster: str = ""

    def __str__(self) -> str:
        return self.uri


def is_engine(uri: object) -> bool:
    """Whether this names an engine, not a file or folder."""
    return "://" in str(uri)


def read_address(uri: str) -> Address:
    """Reads a URI.

    Raises:
      SettingError: it is none of those of `EXPECTED`, or tells a password, which every user of the machine
        could read in the list of processes.
    """
    scheme, _, rest = uri.partition("://")
    if scheme == "chdb" and rest:
        return Address(uri=uri, database=_EMBEDDED_DATABASE, folder=Path(rest))
    try:
        parts = urlsplit(uri)
        port, options = parts.port, parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise SettingError(f"{uri}: {error}; {EXPECTED}") from error
    if parts.password is not None:
        shown = uri.replace(parts.netloc, parts.netloc.rpartition("@")[2])
        raise SettingError(f"{shown}: has a password in it; expected it in the variable {PASSWORD}")
    cluster = options.pop("cluster", [""])[0]
    database = parts.path.strip("/")
    named = _NAME.fullmatch(database) and (not cluster or _NAME.fullmatch(cluster))
    if scheme not in _PORTS or not parts.hostname or options or not named:
        raise SettingError(f"{uri}: not the address of an engine; {EXPECTED}")
    return Address(
        uri=uri,
        database=database,
        host=parts.hostname,
        port=port or _PORTS[scheme],
        user=unquote(parts.username or ""),
        secure=scheme == "clickhouses",
        cluster=cluster,
    )


def password() -> str:
    """The password of the user, of the environment."""
    return os.environ.get(PASSWORD, "")
