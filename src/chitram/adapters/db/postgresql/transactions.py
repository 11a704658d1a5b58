"""A transaction on PostgreSQL: nothing in it takes longer than it may, and after a failure it cannot be kept."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import CursorResult, Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from chitram.adapters.db.failures import unavailable
from chitram.adapters.db.postgresql.failures import domain_error, without_values
from chitram.adapters.db.postgresql.pool import ConnectionPool
from chitram.adapters.db.statements import AnyRow

T = TypeVar("T")


class PostgresTransaction:
    """statements.Transaction. BEGIN travels with the first statement."""

    dialect = "postgresql"

    def __init__(self, connection: AsyncConnection, *, pool: ConnectionPool) -> None:
        """`pool` gets the connection back at the end."""
        self._connection = connection
        self._pool = pool
        self._over = False
        self._failure: BaseException | None = None
        #: What was given up while the server was at it; the connection is of no use any more.
        self._given_up: asyncio.Future[Any] | None = None
        self._silent = False

    async def rows(self, statement: Executable) -> Sequence[AnyRow]:
        return (await self._execute(statement)).all()

    async def first(self, statement: Executable) -> AnyRow | None:
        return (await self._execute(statement)).first()

    async def change(self, statement: Executable) -> int:
        return (await self._execute(statement)).rowcount

    async def change_each(self, statement: Executable, values: Sequence[Mapping[str, object]]) -> None:
        await self._run(lambda: self._connection.execute(statement, values))

    async def commit(self) -> None:
        """Commit, or roll back and raise."""
        try:
            # PostgreSQL takes the COMMIT of a failed transaction for a ROLLBACK and says nothing: it is not asked.
            await self._run(self._connection.commit)
        finally:
            await self.rollback()

    async def rollback(self) -> None:
        """Undo everything. A connection that cannot even do this is thrown away, which undoes it as well."""
        self._over = True
        if self._given_up is None:
            await self._pool.release(self._connection)
        else:
            self._pool.discard(self._connection, doing=self._given_up, silent=self._silent)

    async def _execute(self, statement: Executable) -> CursorResult[*tuple[Any, ...]]:
        return await self._run(lambda: self._connection.execute(statement))

    async def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        if self._over:
            raise RuntimeError("this transaction is over")
        if self._failure is not None:
            raise self._failure
        # Work is not cancelled together with its caller, who would wait for a server that does not answer.
        doing = asyncio.ensure_future(work())
        try:
            async with asyncio.timeout(self._pool.patience.answer):
                return await asyncio.shield(doing)
        except BaseException as error:
            if not doing.done():
                self._given_up, self._silent = doing, isinstance(error, TimeoutError)
            failure = domain_error(error)
            if isinstance(error, asyncio.CancelledError):
                self._failure = unavailable()
                raise
            if failure is None:
                self._failure = without_values(error) if isinstance(error, DBAPIError) else error
                raise self._failure from None
            self._failure = failure
            raise failure from error
