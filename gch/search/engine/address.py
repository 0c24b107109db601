"""Where codes are in an engine, as a URI says it."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from gch.errors import SettingError

EXPECTED = (
    "expected clickhouse://[USER@]HOST[:PORT]/DATABASE[?cluster=NAME], the same with clickhouses:// for TLS, "
    "or chdb://FOLDER"
)
PASSWORD = "CLICKHOUSE_PASSWORD"  # the environment variable of the user's password
_SCHEMES = {"clickhouse": ("http", 8123), "clickhouses": ("https", 8443)}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class Address:
    """A database whose tables hold codes, on a server, a cluster, or in a folder of chDB."""

    uri: str
    database: str
    options: Mapping[str, Any]  # of clickhouse_connect.get_client, without the password
    cluster: str = ""  # as the server's configuration names it; '' for one machine

    def __str__(self) -> str:
        return self.uri

    def table(self, name: str) -> str:
        """A table with its database, as statements have it."""
        return f"`{self.database}`.`{name}`"


def is_engine(uri: object) -> bool:
    """Whether this names an engine, not a file or folder."""
    return "://" in str(uri)


def read_address(uri: str) -> Address:
    """Reads a URI.

    Raises:
      SettingError: it is none of `EXPECTED`, or has a password in it, which the list of processes would show.
    """
    scheme, _, rest = uri.partition("://")
    if scheme == "chdb" and rest:
        return Address(uri, "codes", {"interface": "chdb", "path": rest})
    try:
        parts = urlsplit(uri)
        port, options = parts.port, parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise SettingError(f"{uri}: {error}; {EXPECTED}") from error
    if parts.password is not None:
        shown = uri.replace(parts.netloc, parts.netloc.rpartition("@")[2])
        raise SettingError(f"{shown}: has a password in it; expected it in the variable {PASSWORD}")
    cluster, database = options.pop("cluster", [""])[0], parts.path.strip("/")
    named = _NAME.fullmatch(database) and (not cluster or _NAME.fullmatch(cluster))
    if scheme not in _SCHEMES or not parts.hostname or options or not named:
        raise SettingError(f"{uri}: not the address of an engine; {EXPECTED}")
    interface, usual = _SCHEMES[scheme]
    server = {"interface": interface, "host": parts.hostname, "port": port or usual}
    return Address(uri, database, server | {"username": unquote(parts.username or "") or None}, cluster)
