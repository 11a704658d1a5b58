"""A connection that reads single rows inline on the event loop's thread.

Handing a row to another thread and back costs several times what reading it does.
"""

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Select
from sqlalchemy.dialects import sqlite

from chitram.adapters.db.engine import connect, database_path
from chitram.adapters.db.failures import breaks_connection, domain_error, unavailable

#: How long the event loop may be held up by another process's lock, in seconds. Readers meet one only while the
#: database recovers from a crash.
_BUSY_TIMEOUT = 0.05


def compiled(statement: Select[*tuple[Any, ...]]) -> str:
    """The text of a SELECT as SQLite's driver takes it, with one `?` for each bound value."""
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="qmark")))


class InlineReader:
    """Used by one event loop. A connection that failed is replaced at the next use."""

    def __init__(self, *, url: str) -> None:
        """`url` as for open_sqlite; ValueError for another kind. The file is opened at the first use."""
        self._path: Path = database_path(url)
        self._connection: sqlite3.Connection | None = None
        self._connections = 0
        self._closed = False
        self._version: tuple[int, int] | None = None

    def row(self, sql: str, parameters: tuple[str, ...]) -> Any:  # noqa: ANN401 - whatever the columns are
        """The first row as a tuple, None without one; ServiceUnavailable when the database cannot answer."""
        try:
            return (self._connection or self._connect()).execute(sql, parameters).fetchone()
        except sqlite3.Error as error:
            failure = domain_error(error)
            if breaks_connection(error):
                self._disconnect()
            if failure is None:
                raise
            raise failure from error

    def version(self) -> tuple[int, int]:
        """Changes with every commit of anybody, other processes included; ServiceUnavailable as for `row`.

        Inside an event loop it is looked up once for everything that waits to be run at that moment: all of that was
        there before, so whoever asked cannot have heard of a commit that comes after.
        """
        if self._version is not None:
            return self._version
        (number,) = self.row("PRAGMA data_version", ())
        # SQLite's number means nothing on another connection.
        version = (self._connections, number)
        with suppress(RuntimeError):
            asyncio.get_running_loop().call_soon(self._forget_version)
            self._version = version
        return version

    def close(self) -> None:
        """Close the connection. Reading raises ServiceUnavailable from now on."""
        self._closed = True
        self._disconnect()

    def _forget_version(self) -> None:
        self._version = None

    def _connect(self) -> sqlite3.Connection:
        if self._closed:
            raise unavailable()
        self._connections += 1
        self._connection = connect(self._path, read_only=True, busy_timeout=_BUSY_TIMEOUT)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._version = None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
