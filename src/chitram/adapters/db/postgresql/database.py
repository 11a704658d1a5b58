"""The database on a server: connections that write and connections that only read, for requests and for the rest."""

from collections.abc import Callable

from sqlalchemy import func, select

from chitram.adapters.db.cancellation import uninterrupted
from chitram.adapters.db.failures import unavailable
from chitram.adapters.db.patience import Patience, PoolSize
from chitram.adapters.db.postgresql.connecting import driver_address
from chitram.adapters.db.postgresql.pool import ConnectionPool
from chitram.adapters.db.postgresql.transactions import PostgresTransaction
from chitram.adapters.db.tables import leases
from chitram.adapters.db.unit_of_work import EFFECT_TIMEOUT, SqlDatabase
from chitram.ports.patience import in_background

ORDINARY, ORDINARY_SIZE = Patience(), PoolSize()
#: Connections for work that nobody waits for: few, so that it is never in the way of requests.
BACKGROUND_SIZE = PoolSize(kept=1, beyond=3)


class PostgresConnections:
    """statements.Connections. Sweeps, jobs and commands have their own, with more patience."""

    def __init__(self, address: str, *, patience: Patience, size: PoolSize) -> None:
        patient = patience.in_background()
        background = PoolSize(BACKGROUND_SIZE.kept, BACKGROUND_SIZE.beyond, recycle=size.recycle)
        self._writers = ConnectionPool(address, name="chitram", patience=patience, size=size, read_only=False)
        self._readers = ConnectionPool(address, name="chitram reads", patience=patience, size=size, read_only=True)
        self._patient_writers = ConnectionPool(
            address, name="chitram background", patience=patient, size=background, read_only=False
        )
        self._patient_readers = ConnectionPool(
            address, name="chitram background reads", patience=patient, size=background, read_only=True
        )

    async def begin(self) -> PostgresTransaction:
        return await _transaction(self._patient_writers if in_background() else self._writers)

    async def view(self) -> PostgresTransaction:
        return await _transaction(self._patient_readers if in_background() else self._readers)

    async def check(self) -> None:
        """Raise ServiceUnavailable unless the database answers on both kinds of connection, and takes changes."""
        await self.look()
        transaction = await _transaction(self._writers)
        try:
            row = await transaction.first(select(func.current_setting("transaction_read_only")))
        finally:
            await uninterrupted(transaction.rollback())
        if row is None or row[0] != "off":
            raise unavailable()

    async def look(self) -> None:
        """Raise ServiceUnavailable unless the database answers."""
        transaction = await self.view()
        try:
            await transaction.first(select(leases.c.name).limit(1))
        finally:
            await uninterrupted(transaction.rollback())

    async def aclose(self) -> None:
        for pool in (self._patient_readers, self._patient_writers, self._readers, self._writers):
            await pool.aclose()


async def open_postgresql(
    *,
    url: str,
    patience: Patience = ORDINARY,
    size: PoolSize = ORDINARY_SIZE,
    effect_timeout: float = EFFECT_TIMEOUT,
    on_effect_failure: Callable[[BaseException], None] | None = None,
) -> SqlDatabase:
    """Open the migrated database at `url`, `postgresql://user:password@host:port/name`.

    ValueError for a URL of another kind, ServiceUnavailable when it cannot be reached. `patience` is that of requests.
    `effect_timeout`: what an after-commit effect may take, in seconds. `on_effect_failure` hears of those that failed.
    """
    connections = PostgresConnections(driver_address(url), patience=patience, size=size)
    try:
        # Nothing is changed now: a server may start beside a database that takes no changes, and show what is there.
        await connections.look()
    except BaseException:
        await uninterrupted(connections.aclose())
        raise
    return SqlDatabase(connections, on_effect_failure=on_effect_failure, effect_timeout=effect_timeout)


async def _transaction(pool: ConnectionPool) -> PostgresTransaction:
    return PostgresTransaction(await pool.acquire(), pool=pool)
