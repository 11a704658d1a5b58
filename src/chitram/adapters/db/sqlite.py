"""The database in a file: one connection that writes and a few that only read."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import literal, select

from chitram.adapters.db.cancellation import uninterrupted
from chitram.adapters.db.connections import ConnectionPool, ThreadTransaction
from chitram.adapters.db.engine import BUSY_TIMEOUT, database_path, reader_engine, writer_engine
from chitram.adapters.db.failures import unavailable
from chitram.adapters.db.tables import leases
from chitram.adapters.db.unit_of_work import EFFECT_TIMEOUT, SqlDatabase

#: How long to wait for a free connection, in seconds; with SQLite's own wait for a lock it stays below a second.
CONNECTION_WAIT = 0.5


class SqliteConnections:
    """statements.Connections to a file."""

    def __init__(self, path: Path, *, writer: ConnectionPool, readers: ConnectionPool) -> None:
        self._path = path
        self._writer = writer
        self._readers = readers
        self._inode = 0

    async def open(self) -> None:
        """Make sure that the file is there and migrated; ServiceUnavailable when it is not there."""
        # The writer goes first: it sets the journal mode, which readers need and cannot set.
        transaction = await self.begin()
        try:
            self._inode = self._path.stat().st_ino
        finally:
            await uninterrupted(transaction.rollback())
        await self.check()

    async def begin(self) -> ThreadTransaction:
        self._require_file()
        transaction = ThreadTransaction(await self._writer.acquire(), pool=self._writer)
        try:
            await transaction.begin()
        except BaseException:
            await uninterrupted(transaction.rollback())
            raise
        return transaction

    async def view(self) -> ThreadTransaction:
        return ThreadTransaction(await self._readers.acquire(), pool=self._readers)

    async def check(self) -> None:
        """Raise ServiceUnavailable unless the database answers and its file is still the one that was opened."""
        self._require_file()
        transaction = await self.view()
        try:
            await transaction.first(select(literal(1)).select_from(leases).limit(1))
        finally:
            await uninterrupted(transaction.rollback())

    async def aclose(self) -> None:
        await self._readers.aclose()
        # The last connection moves the log into the database file, and only the writer may.
        await self._writer.aclose()

    def _require_file(self) -> None:
        # SQLite goes on happily with a file that somebody has removed, and all that is written there is lost.
        try:
            found = self._path.stat().st_ino
        except OSError as error:
            raise unavailable() from error
        if self._inode not in (0, found):
            raise unavailable()


async def open_sqlite(
    *,
    url: str,
    readers: int = 2,
    connection_wait: float = CONNECTION_WAIT,
    busy_timeout: float = BUSY_TIMEOUT,
    effect_timeout: float = EFFECT_TIMEOUT,
    on_effect_failure: Callable[[BaseException], None] | None = None,
) -> SqlDatabase:
    """Open the migrated database at `url`.

    ValueError for a URL of another kind, ServiceUnavailable when it is not there.

    `readers`: connections that read. Waits in seconds: for a free connection, for another process's lock, for one
    after-commit effect. `on_effect_failure` hears of each effect that failed.
    """
    path = database_path(url)
    writer = writer_engine(path, busy_timeout=busy_timeout)
    reader = reader_engine(path, busy_timeout=busy_timeout)
    connections = SqliteConnections(
        path,
        writer=ConnectionPool(writer, size=1, wait=connection_wait, name="database-writer"),
        readers=ConnectionPool(reader, size=readers, wait=connection_wait, name="database-reader"),
    )
    try:
        await connections.open()
    except BaseException:
        await uninterrupted(connections.aclose())
        raise
    return SqlDatabase(connections, on_effect_failure=on_effect_failure, effect_timeout=effect_timeout)
