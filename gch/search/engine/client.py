"""The client of ClickHouse; its errors become one line that says where and what."""

import contextlib
import dataclasses
import importlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from gch.errors import RunError, SettingError

EXPECTED = (
    "expected clickhouse://[USER@]HOST[:PORT]/DATABASE[?cluster=NAME], the same with clickhouses:// for TLS, "
    "or chdb://FOLDER"
)
PASSWORD = "CLICKHOUSE_PASSWORD"  # the environment variable of the user's password
_SCHEMES = {"clickhouse": ("http", 8123), "clickhouses": ("https", 8443)}
_LONGEST = 300
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class Address:
    """A database whose tables hold codes: on a server, on a cluster, or in a folder of chDB."""

    uri: str
    database: str
    options: Mapping[str, Any]  # of clickhouse_connect.get_client, without the password
    cluster: str = ""  # its name in the server's configuration; '' for one machine

    def __str__(self) -> str:
        return self.uri

    def table(self, name: str) -> str:
        """A table with its database, as statements have it."""
        return f"`{self.database}`.`{name}`"


def is_engine(uri: object) -> bool:
    """Whether this names an engine, not a file or folder, or would with another slash."""
    return "://" in str(uri) or str(uri).startswith(("chdb:", *(f"{scheme}:" for scheme in _SCHEMES)))


def read_address(uri: str) -> Address:
    """Reads a URI.

    Raises:
      SettingError: it is not one of `EXPECTED`, or holds a password, which the list of processes would show.
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
        raise SettingError(f"{shown}: holds a password; expected it in the environment variable {PASSWORD}")
    cluster, database = options.pop("cluster", [""])[0], parts.path.strip("/")
    named = _NAME.fullmatch(database) and (not cluster or _NAME.fullmatch(cluster))
    if scheme not in _SCHEMES or not parts.hostname or options or not named:
        raise SettingError(f"{uri}: not the address of an engine; {EXPECTED}")
    interface, usual = _SCHEMES[scheme]
    server = {"interface": interface, "host": parts.hostname, "port": port or usual}
    return Address(uri, database, server | {"username": unquote(parts.username or "") or None}, cluster)


class Client:
    """A connection to a server, or to chDB in this process; several threads may use it.

    All methods raise RunError where the engine refuses a statement or cannot be reached, or its client is not
    installed.
    """

    def __init__(self, address: Address):
        self._address = address
        with self._named("cannot be reached"):
            import clickhouse_connect

            logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)  # it logs what it raises, too
            options = dict(address.options)
            if options["interface"] == "chdb":
                importlib.import_module("chdb")
            else:
                options["password"] = os.environ.get(PASSWORD, "")
                options["autogenerate_session_id"] = False  # a session answers one query at a time
            self._client = clickhouse_connect.get_client(**options)
            self.close = self._client.close  # a process can have one folder of chDB open at a time

    def command(self, statement: str) -> None:
        """Runs a statement without a result."""
        with self._named("refuses a statement"):
            self._client.command(statement)

    def columns(self, query: str, **parameters: object) -> Sequence[Sequence[Any]]:
        """The columns that a query finds, none where it finds no row; `parameters` fill its places."""
        with self._named("refuses a query"):
            return self._client.query(query, parameters=parameters).result_columns

    def insert(self, database: str, table: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Appends rows, which are on all machines when this returns; where it raises, some may be."""
        with self._named("cannot be written"):
            self._client.insert(
                table,
                list(columns.values()),
                column_names=list(columns),
                database=database,
                column_oriented=True,
                settings={"distributed_foreground_insert": 1},
            )

    @contextlib.contextmanager
    def _named(self, what: str) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            missing = (error.name or str(error)).partition(".")[0].replace("_", "-")
            extra = "embedded" if self._address.options["interface"] == "chdb" else "engine"
            raise RunError(
                f'{self._address}: {missing} is not installed; expected pip install "gch[{extra}]"'
            ) from error
        except Exception as error:
            from clickhouse_connect.driver.exceptions import ClickHouseError

            if not isinstance(error, (ClickHouseError, OSError)):
                raise
            raise RunError(f"{self._address}: {what}, {_line(error)}") from error


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "AUTHENTICATION_FAILED" in text or "REQUIRED_PASSWORD" in text:
        return f"the password is wrong; expected that of the user in the variable {PASSWORD}"
    if "Error initializing EmbeddedServer" in text:
        return "another process has the folder open or it cannot be written; expected it free and writable"
    if "Failed to" in text:  # what a chain of errors of HTTP ends with
        text = text[text.find("Failed to") :].partition('"))')[0]
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
