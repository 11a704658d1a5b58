"""Where the rows are: the database and the two look-ups beside it."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from chitram.adapters.db.credentials import SqliteCredentialLookup
from chitram.adapters.db.lookup import SqliteLookup
from chitram.adapters.db.neighbours import Neighbours
from chitram.adapters.db.unit_of_work import SqlDatabase
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


async def open_database(settings: Settings, stack: AsyncExitStack, *, metrics: Metrics) -> Database:
    """Open the database alone; `stack` closes it."""
    database = await SqlDatabase.open(url=settings.database_url, on_effect_failure=metrics.effect_failed)
    stack.push_async_callback(database.aclose)
    return database


async def open_with_lookups(settings: Settings, stack: AsyncExitStack, *, metrics: Metrics, serving: bool) -> Opened:
    """Open the database and its look-ups. `serving` says that this is a server, which others have to know of."""
    database = await open_database(settings, stack, metrics=metrics)
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


def _version(lookup: SqliteLookup, neighbours: Neighbours) -> Callable[[], object]:
    """The database's version while others may change it. Our own changes drop what they concern themselves."""
    return lambda: lookup.version() if neighbours.present() else None
