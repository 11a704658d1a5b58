"""Connections to SQLite for coroutines: each has a thread of its own, and a transaction cannot outlive its block."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from chitram.adapters.db.failures import breaks_connection, domain_error, unavailable
from chitram.adapters.db.statements import AnyRow
from chitram.domain.errors import ChitramError, ServiceUnavailable

T = TypeVar("T")


class ConnectionThread:
    """One connection and the thread that works on it. A connection that failed is replaced at the next use."""

    def __init__(self, engine: Engine, *, name: str) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._driver_connection: sqlite3.Connection | None = None
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    @property
    def dialect(self) -> str:
        return self._engine.dialect.name

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in the thread, which ends it before it does the next, also when the caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, work)

    async def rollback(self) -> None:
        """End the transaction, if any, without keeping anything; never fails."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._rollback)

    def interrupt(self) -> None:
        """Stop the statement that is being executed, if any."""
        connection = self._driver_connection
        if connection is not None:
            with suppress(sqlite3.ProgrammingError):  # It may have been closed at this moment.
                connection.interrupt()

    async def aclose(self) -> None:
        """Close the connection and end the thread."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._discard)
        self._executor.shutdown(wait=False)

    def _run(self, work: Callable[[Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
                self._driver_connection = self._connection.connection.driver_connection
            return work(self._connection)
        except DBAPIError as error:
            if breaks_connection(error):
                self._discard()
            failure = domain_error(error)
            if failure is None:
                raise
            raise failure from error

    def _rollback(self) -> None:
        if self._connection is None or self._driver_connection is None:
            return
        try:
            self._connection.rollback()
            # After a failed COMMIT SQLAlchemy believes the transaction ended, while SQLite keeps it open.
            ended = not self._driver_connection.in_transaction
        except (SQLAlchemyError, sqlite3.Error):
            ended = False
        if not ended:
            self._discard()

    def _discard(self) -> None:
        connection, self._connection, self._driver_connection = self._connection, None, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.close()


class ConnectionPool:
    """A few connections, lent one at a time. `wait`: how long to wait for a free one, in seconds."""

    def __init__(self, engine: Engine, *, size: int, wait: float, name: str) -> None:
        self._engine = engine
        self._wait = wait
        self._closed = False
        self._threads = [ConnectionThread(engine, name=f"{name}-{number}") for number in range(size)]
        # The one used last has the warmest page cache.
        self._free: asyncio.LifoQueue[ConnectionThread] = asyncio.LifoQueue()
        for thread in self._threads:
            self._free.put_nowait(thread)

    async def acquire(self) -> ConnectionThread:
        """A connection that nobody else uses; ServiceUnavailable when none gets free in time."""
        if self._closed:
            raise unavailable()
        return await self._next()

    async def _next(self) -> ConnectionThread:
        try:
            async with asyncio.timeout(self._wait):
                return await self._free.get()
        except TimeoutError:
            raise unavailable() from None

    def release(self, thread: ConnectionThread) -> None:
        self._free.put_nowait(thread)

    async def aclose(self) -> None:
        """Lend no more, wait a little for what is lent, then close every connection. Closing again does nothing."""
        if self._closed:
            return
        self._closed = True
        with suppress(ServiceUnavailable):
            for _ in self._threads:
                await self._next()
        for thread in self._threads:
            await thread.aclose()
        self._engine.dispose()


class ThreadTransaction:
    """statements.Transaction on one thread. After a failure of the database it can only be rolled back."""

    def __init__(self, thread: ConnectionThread, *, pool: ConnectionPool) -> None:
        """`pool` gets the thread back at the end."""
        self._thread = thread
        self._pool = pool
        self._over = False
        self._failure: ChitramError | None = None

    @property
    def dialect(self) -> str:
        return self._thread.dialect

    async def begin(self) -> None:
        await self._run(lambda connection: connection.begin())

    async def rows(self, statement: Executable) -> Sequence[AnyRow]:
        return await self._run(lambda connection: connection.execute(statement).all())

    async def first(self, statement: Executable) -> AnyRow | None:
        return await self._run(lambda connection: connection.execute(statement).first())

    async def change(self, statement: Executable) -> int:
        return await self._run(lambda connection: connection.execute(statement).rowcount)

    async def change_each(self, statement: Executable, values: Sequence[Mapping[str, object]]) -> None:
        await self._run(lambda connection: connection.execute(statement, values).close())

    async def commit(self) -> None:
        """Commit, or roll back and raise."""
        if self._failure is not None:
            # Somebody swallowed it; what is left of the transaction must not be kept.
            await self.rollback()
            raise self._failure
        self._over = True
        try:
            await self._thread.run(lambda connection: connection.commit())
        except BaseException:
            await self.rollback()
            raise
        self._pool.release(self._thread)

    async def rollback(self) -> None:
        """Undo everything. A connection that cannot even do this is replaced, which undoes it as well."""
        self._over = True
        try:
            await self._thread.rollback()
        finally:
            self._pool.release(self._thread)

    async def _run(self, work: Callable[[Connection], T]) -> T:
        if self._over:
            raise RuntimeError("this transaction is over")
        if self._failure is not None:
            raise self._failure
        try:
            return await self._thread.run(work)
        except ChitramError as error:
            self._failure = error
            raise
        except asyncio.CancelledError:
            self._failure = unavailable()  # Interrupting a change undoes the whole transaction.
            self._thread.interrupt()
            raise
