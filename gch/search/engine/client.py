"""Talking to ClickHouse, whose faults become lines that say where and what."""

import contextlib
import importlib
import logging
from collections.abc import Iterator, Mapping, Sequence

from gch.errors import RunError
from gch.search.engine.address import PASSWORD, Address, password

NEEDED = "{missing} is not installed; expected pip install -e '.[{extra}]'"
_WRITTEN_WHEN_ANSWERED = {"distributed_foreground_insert": 1}
_LONGEST = 300


class Client:
    """A connection to a server, or to chDB in this process; several threads may use it.

    Args:
      address: of which.

    Raises:
      RunError: it cannot be reached, or its client is not installed.
    """

    def __init__(self, address: Address):
        self._address = address
        with self._told("cannot be reached"):
            self._client = _connected(address)

    def command(self, statement: str) -> None:
        """Carries out a statement that answers nothing.

        Raises:
          RunError: the engine refuses it, or is gone.
        """
        with self._told("does not do as asked"):
            self._client.command(statement)

    def columns(self, query: str, parameters: Mapping[str, object] | None = None) -> Sequence[Sequence]:
        """The columns that a query finds; none where it finds no row.

        Args:
          query: with places such as {row:UInt64}.
          parameters: what to put there.

        Raises:
          RunError: the engine refuses it, or is gone.
        """
        with self._told("does not answer"):
            return self._client.query(query, parameters=dict(parameters or {})).result_columns

    def insert(self, database: str, table: str, columns: Mapping[str, Sequence]) -> None:
        """Appends rows to a table; they are there, on all machines, when this returns.

        Raises:
          RunError: the engine refuses it, or is gone; then some may be there.
        """
        with self._told("cannot be written"):
            self._client.insert(
                table,
                list(columns.values()),
                column_names=list(columns),
                database=database,
                column_oriented=True,
                settings=_WRITTEN_WHEN_ANSWERED,
            )

    def close(self) -> None:
        """Ends the connection; a process can have one folder of chDB open at a time."""
        self._client.close()

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            missing = (error.name or str(error)).partition(".")[0].replace("_", "-")
            extra = "embedded" if self._address.folder is not None else "engine"
            raise RunError(f"{self._address}: {NEEDED.format(missing=missing, extra=extra)}") from error
        except _faults() as error:
            raise RunError(f"{self._address}: {what}, {_line(error)}") from error


def _connected(address: Address):
    import clickhouse_connect

    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)  # it logs what it raises, too
    if address.folder is not None:
        importlib.import_module("chdb")
        return clickhouse_connect.get_client(interface="chdb", path=str(address.folder))
    return clickhouse_connect.get_client(
        host=address.host,
        port=address.port,
        username=address.user or None,
        password=password(),
        interface="https" if address.secure else "http",
        autogenerate_session_id=False,  # a session answers one query at a time
    )


def _faults() -> tuple[type[Exception], ...]:
    from clickhouse_connect.driver.exceptions import ClickHouseError

    return (ClickHouseError, OSError)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "AUTHENTICATION_FAILED" in text or "REQUIRED_PASSWORD" in text:
        return f"the password is wrong; expected that of the user in the variable {PASSWORD}"
    if "Error initializing EmbeddedServer" in text:
        return "another process has the folder open or it cannot be written; expected it free and writable"
    found = text.find("Failed to")  # what a chain of errors of HTTP ends with
    text = text if found < 0 else text[found:].partition('"))')[0]
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
