"""Transactions: the only place that commits, and what happens after a commit."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import literal, select

from chitram.adapters.db.api_tokens import SqlApiTokenRepository
from chitram.adapters.db.blobs import SqlBlobRepository
from chitram.adapters.db.connections import ConnectionPool, ConnectionThread, Statements, Transaction, uninterrupted
from chitram.adapters.db.engine import BUSY_TIMEOUT, database_path, reader_engine, writer_engine
from chitram.adapters.db.failures import unavailable
from chitram.adapters.db.idempotency import SqlIdempotencyRepository
from chitram.adapters.db.images import SqlImageRepository
from chitram.adapters.db.invites import SqlInviteRepository
from chitram.adapters.db.jobs import SqlJobRepository
from chitram.adapters.db.leases import SqlLeaseRepository
from chitram.adapters.db.sessions import SqlSessionRepository
from chitram.adapters.db.tables import identity, leases
from chitram.adapters.db.users import SqlUserRepository
from chitram.ports.unit_of_work import Effect, Repositories, UnitOfWork

log = logging.getLogger(__name__)

#: How long to wait for a free connection, in seconds; with SQLite's own wait for a lock it stays below a second.
CONNECTION_WAIT = 0.5
#: How long one after-commit effect may take, in seconds.
EFFECT_TIMEOUT = 5.0


class SqlRepositories:
    """ports.unit_of_work.Repositories on one transaction."""

    def __init__(self, statements: Statements) -> None:
        self.blobs = SqlBlobRepository(statements)
        self.images = SqlImageRepository(statements)
        self.jobs = SqlJobRepository(statements)
        self.leases = SqlLeaseRepository(statements)
        self.users = SqlUserRepository(statements)
        self.sessions = SqlSessionRepository(statements)
        self.api_tokens = SqlApiTokenRepository(statements)
        self.invites = SqlInviteRepository(statements)
        self.idempotency = SqlIdempotencyRepository(statements)


class SqlUnitOfWork(SqlRepositories):
    """ports.unit_of_work.UnitOfWork. `effects`: where after-commit effects are collected."""

    def __init__(self, statements: Statements, *, effects: list[Effect]) -> None:
        super().__init__(statements)
        self._effects = effects

    def after_commit(self, effect: Effect) -> None:
        self._effects.append(effect)


class SqlDatabase:
    """ports.unit_of_work.Database: one writing connection and a few that only read. Made by `open`."""

    def __init__(
        self,
        path: Path,
        *,
        writer: ConnectionPool,
        readers: ConnectionPool,
        on_effect_failure: Callable[[BaseException], None] | None,
        effect_timeout: float,
    ) -> None:
        self._path = path
        self._writer = writer
        self._readers = readers
        self._on_effect_failure = on_effect_failure
        self._effect_timeout = effect_timeout
        self._inode = 0

    @classmethod
    async def open(
        cls,
        *,
        url: str,
        readers: int = 2,
        connection_wait: float = CONNECTION_WAIT,
        busy_timeout: float = BUSY_TIMEOUT,
        effect_timeout: float = EFFECT_TIMEOUT,
        on_effect_failure: Callable[[BaseException], None] | None = None,
    ) -> "SqlDatabase":
        """Open the migrated database at `url`.

        ValueError for a URL of another kind, ServiceUnavailable when it is not there.

        `readers`: connections that read. Waits in seconds: for a free connection, for another process's lock, for one
        after-commit effect. `on_effect_failure` hears of each effect that failed.
        """
        path = database_path(url)
        writer = writer_engine(path, busy_timeout=busy_timeout)
        reader = reader_engine(path, busy_timeout=busy_timeout)
        database = cls(
            path,
            writer=ConnectionPool(writer, size=1, wait=connection_wait, name="database-writer"),
            readers=ConnectionPool(reader, size=readers, wait=connection_wait, name="database-reader"),
            on_effect_failure=on_effect_failure,
            effect_timeout=effect_timeout,
        )
        try:
            # The writer goes first: it sets the journal mode, which readers need and cannot set.
            async with database.begin():
                database._inode = path.stat().st_ino
            await database.check()
        except BaseException:
            await uninterrupted(database._close())
            raise
        return database

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[UnitOfWork]:
        """A transaction: commits when the block ends normally, rolls back when it raises."""
        self._require_file()
        thread = await self._writer.acquire()
        transaction = Transaction(thread)
        effects: list[Effect] = []
        try:
            await transaction.begin()
            yield SqlUnitOfWork(transaction, effects=effects)
        except BaseException:
            await uninterrupted(_abandon(transaction, pool=self._writer, thread=thread))
            raise
        await uninterrupted(self._complete(transaction, thread=thread, effects=effects))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Repositories]:
        """A read-only view of one moment; nothing can be written through it."""
        thread = await self._readers.acquire()
        transaction = Transaction(thread)
        try:
            yield SqlRepositories(transaction)
        finally:
            await uninterrupted(_abandon(transaction, pool=self._readers, thread=thread))

    async def check(self) -> None:
        """Raise ServiceUnavailable unless the database answers and its file is still the one that was opened."""
        self._require_file()
        thread = await self._readers.acquire()
        transaction = Transaction(thread)
        try:
            await transaction.first(select(literal(1)).select_from(leases).limit(1))
        finally:
            await uninterrupted(_abandon(transaction, pool=self._readers, thread=thread))

    async def identity(self) -> str:
        """The random name that this database got when it was made."""
        thread = await self._readers.acquire()
        transaction = Transaction(thread)
        try:
            row = await transaction.first(select(identity.c.id))
        finally:
            await uninterrupted(_abandon(transaction, pool=self._readers, thread=thread))
        if row is None:
            raise unavailable()
        return str(row[0])

    async def aclose(self) -> None:
        """Wait for what is running, then close every connection."""
        await uninterrupted(self._close())

    def _require_file(self) -> None:
        # SQLite goes on happily with a file that somebody has removed, and all that is written there is lost.
        try:
            found = self._path.stat().st_ino
        except OSError as error:
            raise unavailable() from error
        if self._inode not in (0, found):
            raise unavailable()

    async def _close(self) -> None:
        await self._readers.aclose()
        # The last connection moves the log into the database file, and only the writer may.
        await self._writer.aclose()

    async def _complete(self, transaction: Transaction, *, thread: ConnectionThread, effects: list[Effect]) -> None:
        try:
            await transaction.commit()
        finally:
            self._writer.release(thread)
        for effect in effects:
            await self._run_effect(effect)

    async def _run_effect(self, effect: Effect) -> None:
        try:
            async with asyncio.timeout(self._effect_timeout):
                await effect()
        except Exception as error:
            # The change is committed: nothing that fails now may look like its failure.
            log.exception("An after-commit effect failed; a sweeper will make up for it.")
            if self._on_effect_failure is not None:
                self._on_effect_failure(error)


async def _abandon(transaction: Transaction, *, pool: ConnectionPool, thread: ConnectionThread) -> None:
    try:
        await transaction.rollback()
    finally:
        pool.release(thread)
