"""Connections for one purpose, lent to one transaction at a time, none of which comes back in a doubtful state."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from chitram.adapters.db.failures import unavailable
from chitram.adapters.db.patience import Patience, PoolSize
from chitram.adapters.db.postgresql.connecting import WatchedConnection, connect
from chitram.adapters.db.postgresql.failures import domain_error

T = TypeVar("T")

#: How long the server may take to give up a statement that nobody waits for any more, in seconds.
CANCEL_PATIENCE = 0.5
#: Lent connections get this long to come back when the pool closes, in seconds.
CLOSE_PATIENCE = 5.0


class ConnectionPool:
    """Opens connections when they are wanted. `read_only` ones see one moment in each transaction and cannot write."""

    def __init__(self, address: str, *, name: str, patience: Patience, size: PoolSize, read_only: bool) -> None:
        self.patience = patience
        self._closed = False
        self._doubtful = False
        self._lent: set[AsyncConnection] = set()
        self._all_back = asyncio.Event()
        self._all_back.set()
        self._background: set[asyncio.Task[None]] = set()

        async def creator() -> WatchedConnection:
            return await connect(address, patience=patience, name=name, read_only=read_only)

        self._engine = _engine(creator, patience=patience, size=size, read_only=read_only)
        event.listen(self._engine.sync_engine.pool, "checkout", self._look_at)

    async def acquire(self) -> AsyncConnection:
        """A connection that nobody else uses; ServiceUnavailable when there is none in time."""
        if self._closed:
            raise unavailable()
        # Never cancelled half way: what is opened when nobody waits any more goes to the next one.
        opening = asyncio.ensure_future(self._open())
        try:
            async with asyncio.timeout(self.patience.wait):
                return await asyncio.shield(opening)
        except BaseException as error:
            if not opening.done():
                self._in_background(self._take_back(opening))
            elif not opening.cancelled() and opening.exception() is None:
                self._in_background(self.release(opening.result()))
            # Also when all that were to be had broke under the pool's hands.
            failure = domain_error(error) or (unavailable() if isinstance(error, SQLAlchemyError) else None)
            if failure is None:
                raise
            raise failure from error

    async def release(self, connection: AsyncConnection) -> None:
        """Roll back and take the connection back, or throw it away when that fails; never fails."""
        closing = asyncio.ensure_future(connection.close())
        await asyncio.wait([closing], timeout=self.patience.answer)
        if closing.done() and not closing.cancelled() and closing.exception() is None:
            self._back(connection)
        else:
            self.discard(connection, doing=closing, silent=True)

    def discard(self, connection: AsyncConnection, *, doing: "asyncio.Future[Any]", silent: bool) -> None:
        """Throw the connection away, and what it is `doing`, without waiting for it.

        `silent`: it did not answer in time, so that others which were opened before may be as dead as this one.
        """
        self._doubtful = self._doubtful or silent
        self._in_background(self._end(connection, doing))

    async def aclose(self) -> None:
        """Lend no more, wait a little for what is lent, then close everything. Closing again does nothing."""
        if self._closed:
            return
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_PATIENCE):
                await self._all_back.wait()
        for connection in list(self._lent):
            await self._end(connection, None)
        if self._background:
            await asyncio.wait(self._background)
        with suppress(SQLAlchemyError, OSError, TimeoutError):
            # A server that hangs must not keep this one from ending.
            async with asyncio.timeout(CLOSE_PATIENCE):
                await self._engine.dispose()

    async def _open(self) -> AsyncConnection:
        connection = await self._engine.connect()
        self._lent.add(connection)
        self._all_back.clear()
        return connection

    async def _take_back(self, opening: "asyncio.Future[AsyncConnection]") -> None:
        await asyncio.wait([opening])
        if not opening.cancelled() and opening.exception() is None:
            await self.release(opening.result())

    async def _end(self, connection: AsyncConnection, doing: "asyncio.Future[Any] | None") -> None:
        driver = _driver_connection(connection)
        if doing is not None:
            # The driver asks the server to stop as well, so that no lock outlives the caller.
            doing.cancel()
            await asyncio.wait([doing], timeout=CANCEL_PATIENCE)
        if driver is not None:
            driver.terminate()
        if doing is not None:
            await asyncio.wait([doing])
            if not doing.cancelled():
                doing.exception()  # looked at, so that it is not reported as forgotten
        for ending in (connection.invalidate, connection.close):
            with suppress(Exception):  # whatever it says, the connection is gone
                await ending()
        self._back(connection)

    def _back(self, connection: AsyncConnection) -> None:
        self._lent.discard(connection)
        if not self._lent:
            self._all_back.set()

    def _in_background(self, work: Any) -> None:  # noqa: ANN401 - any coroutine
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _look_at(self, connection: DBAPIConnection, _record: object, _proxy: object) -> None:
        """Called before a connection is lent. One that is known to be dead, or in doubt, has the pool opened anew."""
        if self._doubtful or connection.driver_connection.is_closed():
            self._doubtful = False
            raise InvalidatePoolError


def _engine(
    creator: Callable[[], Awaitable[WatchedConnection]], *, patience: Patience, size: PoolSize, read_only: bool
) -> AsyncEngine:
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=creator,
        pool_size=size.kept,
        max_overflow=size.beyond,
        pool_timeout=patience.wait,
        pool_recycle=size.recycle,
        # The ones that were used last have the warmest caches, and the others may grow old.
        pool_use_lifo=True,
        # A view is of one moment, as SQLite's is; whoever writes takes locks and then wants to see what is true now.
        isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
        execution_options={"postgresql_readonly": read_only},
        # What was bound to a statement, e-mails and hashes among it, must not stand in the errors that are logged.
        hide_parameters=True,
    )


def _driver_connection(connection: AsyncConnection) -> WatchedConnection | None:
    inner = connection.sync_connection
    if inner is None or inner.closed or inner.invalidated:
        return None
    found: WatchedConnection | None = inner.connection.driver_connection
    return found
