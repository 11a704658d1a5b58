"""Where the rows are: the database and the two look-ups beside it."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from chitram.adapters.db.credentials import SqliteCredentialLookup
from chitram.adapters.db.lookup import SqliteLookup
from chitram.adapters.db.neighbours import Neighbours
from chitram.adapters.db.patience import Patience, PoolSize
from chitram.adapters.db.sqlite import open_sqlite
from chitram.bootstrap.preparation import StartupError
from chitram.observability import Metrics
from chitram.ports.credentials import CredentialLookup
from chitram.ports.lookup import Lookup
from chitram.ports.unit_of_work import Database
from chitram.settings import Settings


@dataclass(frozen=True, slots=True)
class Opened:
    """The opened database. `version` changes when others may have changed rows, for caches that hear of nobody else."""

    database: Database
    lookup: Lookup
    credentials: CredentialLookup
    version: Callable[[], object]


async def open_database(
    settings: Settings, stack: AsyncExitStack, *, metrics: Metrics, variable: str = "DATABASE_URL"
) -> Database:
    """Open the database alone; `stack` closes it. StartupError, which blames `variable`, when it cannot be reached."""
    if settings.on_postgresql:
        # A server on SQLite must not carry the driver of PostgreSQL.
        from chitram.adapters.db.postgresql.database import open_postgresql  # noqa: PLC0415
        from chitram.adapters.db.postgresql.failures import Unreachable  # noqa: PLC0415

        patience, size = _manners(settings)
        try:
            database = await open_postgresql(
                url=settings.database_url, patience=patience, size=size, on_effect_failure=metrics.effect_failed
            )
        except Unreachable as error:
            # Whoever starts something wants to know more than clients may.
            raise StartupError(f"{variable}: PostgreSQL cannot be reached: {error.reason}") from error
    else:
        database = await open_sqlite(url=settings.database_url, on_effect_failure=metrics.effect_failed)
    stack.push_async_callback(database.aclose)
    return database


async def open_with_lookups(settings: Settings, stack: AsyncExitStack, *, metrics: Metrics, serving: bool) -> Opened:
    """Open the database and its look-ups. `serving` says that this is a server, which others have to know of."""
    database = await open_database(settings, stack, metrics=metrics)
    if settings.on_postgresql:
        return _beside_postgresql(settings, stack, database)
    lookup = SqliteLookup(url=settings.database_url)
    stack.callback(lookup.close)
    credentials = SqliteCredentialLookup(url=settings.database_url)
    stack.callback(credentials.close)
    version: Callable[[], object] = lookup.version
    if serving:
        neighbours = Neighbours(url=settings.database_url)
        stack.callback(neighbours.close)
        version = _version(lookup, neighbours)
    return Opened(database, lookup, credentials, version)


def _beside_postgresql(settings: Settings, stack: AsyncExitStack, database: Database) -> Opened:
    # A server on SQLite must not carry the driver of PostgreSQL.
    from chitram.adapters.db.postgresql.lookups import PostgresCredentialLookup, PostgresLookup  # noqa: PLC0415
    from chitram.adapters.db.postgresql.reading import DirectReader  # noqa: PLC0415

    patience, size = _manners(settings)
    reader = DirectReader(url=settings.database_url, patience=patience, size=size)
    stack.push_async_callback(reader.aclose)
    # Nobody tells a process what others have changed: to a cache of its own each moment is another version.
    return Opened(database, PostgresLookup(reader), PostgresCredentialLookup(reader), version=object)


def _manners(settings: Settings) -> tuple[Patience, PoolSize]:
    """How long to wait for PostgreSQL, and how many connections to keep."""
    chosen = settings.database
    patience = Patience(
        wait=chosen.pool_timeout,
        connect=chosen.connect_timeout,
        statement=chosen.statement_timeout,
        lock=chosen.lock_timeout,
    )
    return patience, PoolSize(kept=chosen.pool_size, beyond=chosen.max_overflow, recycle=chosen.pool_recycle)


def _version(lookup: SqliteLookup, neighbours: Neighbours) -> Callable[[], object]:
    """The database's version while others may change it. Our own changes drop what they concern themselves."""
    return lambda: lookup.version() if neighbours.present() else None
