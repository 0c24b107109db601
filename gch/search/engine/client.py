"""Talking to ClickHouse, whose faults become lines that say where and what."""

import contextlib
import importlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gch.errors import RunError
from gch.search.engine.address import PASSWORD, Address

_LONGEST = 300


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
        """Carries out a statement that has no result."""
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
                f"{self._address}: {missing} is not installed; expected pip install -e '.[{extra}]'"
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
