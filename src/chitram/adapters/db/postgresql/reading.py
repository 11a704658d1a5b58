"""Connections that read single rows, for the look-ups that nearly every request makes: no transaction around them."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import asyncpg
from sqlalchemy import Column, Enum, Select
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from chitram.adapters.db.column_types import ScopeSet, Unsigned64, is_storable, parse_scopes, unsigned64
from chitram.adapters.db.failures import unavailable
from chitram.adapters.db.patience import Patience, PoolSize
from chitram.adapters.db.postgresql.connecting import WatchedConnection, connect, driver_address
from chitram.adapters.db.postgresql.failures import domain_error

_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # SQLAlchemy's own


def compiled(statement: Select[*tuple[Any, ...]]) -> str:
    """The text of a SELECT as the driver takes it, with `$1` and so on for the bound values."""
    return str(statement.compile(dialect=_DIALECT))


def converters(columns: Sequence[Column[Any]]) -> tuple[Callable[[Any], Any] | None, ...]:
    """What makes the domain's value out of the driver's, a column; None where they are the same."""
    return tuple(_converter(column) for column in columns)


class DirectReader:
    """Used by one event loop. Connections are opened when they are wanted, and kept."""

    def __init__(self, *, url: str, patience: Patience, size: PoolSize) -> None:
        """`url` as for open_postgresql; ValueError for another kind."""
        self._address = driver_address(url)
        self._patience = patience
        self._kept = size.kept
        self._room = asyncio.Semaphore(size.kept + size.beyond)
        self._idle: list[WatchedConnection] = []
        self._lent: set[WatchedConnection] = set()
        self._closed = False

    async def row(self, sql: str, text: str) -> Sequence[Any] | None:
        """The first row for one bound text, None without one; ServiceUnavailable when there is no answer in time."""
        if not is_storable(text):
            return None
        try:
            async with asyncio.timeout(self._patience.wait):
                await self._room.acquire()
        except TimeoutError:
            raise unavailable() from None
        try:
            return await self._read(sql, text)
        except Exception as error:
            failure = domain_error(error)
            if failure is None:
                raise
            raise failure from error
        finally:
            self._room.release()

    async def aclose(self) -> None:
        """Close every connection. Reading raises ServiceUnavailable from now on."""
        self._closed = True
        for connection in (*self._lent, *self._idle):
            connection.terminate()
        self._idle.clear()

    async def _read(self, sql: str, text: str) -> Sequence[Any] | None:
        connection = await self._connection()
        self._lent.add(connection)
        whole = False
        try:
            row: Sequence[Any] | None = await connection.fetchrow(sql, text, timeout=self._patience.answer)
            whole = True
        except TimeoutError:
            # What keeps one from answering keeps the others as well, or they have gone with it.
            self._forget_idle()
            raise
        finally:
            self._lent.discard(connection)
            if whole and not self._closed and len(self._idle) < self._kept:
                self._idle.append(connection)
            else:
                # Cancelled or failed: an answer may still be on its way, which must not be somebody else's.
                connection.terminate()
        return row

    async def _connection(self) -> WatchedConnection:
        if self._closed:
            raise unavailable()
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await connect(self._address, patience=self._patience, name="chitram look-ups", read_only=True)

    def _forget_idle(self) -> None:
        while self._idle:
            with suppress(asyncpg.InterfaceError):
                self._idle.pop().terminate()


def _converter(column: Column[Any]) -> Callable[[Any], Any] | None:
    if isinstance(column.type, Unsigned64):
        return unsigned64
    if isinstance(column.type, ScopeSet):
        return parse_scopes
    if isinstance(column.type, Enum) and column.type.enum_class is not None:
        return {member.value: member for member in column.type.enum_class}.__getitem__
    return None
