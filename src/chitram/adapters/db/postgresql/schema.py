"""Migrations of a database on a server: under a lock of the server's, in one transaction."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from chitram.adapters.db.patience import Patience
from chitram.adapters.db.postgresql.connecting import WatchedConnection, connect, driver_address
from chitram.adapters.db.postgresql.failures import Unreachable, domain_error, refused, without_values
from chitram.adapters.db.schemas import MigrationError

T = TypeVar("T")

#: The number of the lock that is held during a migration: any, but always the same.
LOCK = 0x6368_6974_7261_6D00
#: A migration may take as long as it takes. It does not stand in line for a table for long: everybody else would stand
#: behind it.
PATIENCE = Patience(wait=60, connect=10, statement=24 * 3600, lock=10, idle=3600)


class PostgresSchema:
    """schemas.Schema of the database that a URL names."""

    def __init__(self, url: str) -> None:
        self._address = driver_address(url)

    def exists(self) -> bool:
        return True

    def look(self, work: Callable[[Connection], T]) -> T:
        return _run(self._do(work, read_only=True))

    def change(self, work: Callable[[Connection], bool], *, create: bool = False) -> None:  # noqa: ARG002 - whoever runs the server makes the database
        _run(self._do(work, read_only=False))

    async def _do(self, work: Callable[[Connection], T], *, read_only: bool) -> T:
        async def creator() -> WatchedConnection:
            return await connect(self._address, patience=PATIENCE, name="chitram migrate", read_only=read_only)

        engine = create_async_engine(
            "postgresql+asyncpg://", async_creator=creator, poolclass=NullPool, hide_parameters=True
        )
        try:
            async with engine.connect() as connection, connection.begin():
                await _require_utf8(connection)
                if not read_only:
                    await _lock(connection)
                return await connection.run_sync(work)
        except Unreachable as error:
            # Before anything runs there is an operator, who wants to know more than clients may.
            raise MigrationError(f"PostgreSQL cannot be reached: {error.reason}") from error
        except DBAPIError as error:
            if (refusal := refused(error)) is not None:
                raise MigrationError(f"PostgreSQL refuses: {refusal}") from error
            raise domain_error(error) or without_values(error) from error
        finally:
            await engine.dispose()


async def _lock(connection: AsyncConnection) -> None:
    """Wait until no other process migrates; the lock is let go with the transaction."""
    await connection.execute(text("SET LOCAL lock_timeout = 0"))
    await connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
    await connection.execute(text(f"SET LOCAL lock_timeout = {round(PATIENCE.lock * 1000)}"))


async def _require_utf8(connection: AsyncConnection) -> None:
    encoding = (await connection.execute(text("SHOW server_encoding"))).scalar_one()
    if encoding != "UTF8":
        raise MigrationError(f"the database has the encoding {encoding}; make it with ENCODING 'UTF8'")


def _run(work: Coroutine[Any, Any, T]) -> T:
    # In a thread with a loop of its own, so that it makes no difference whether one is running here.
    with ThreadPoolExecutor(max_workers=1) as threads:
        return threads.submit(asyncio.run, work).result()
