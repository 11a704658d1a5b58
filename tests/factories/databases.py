"""Real databases for tests: migrated once a session, copied for each test."""

import atexit
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from chitram.adapters.db import migrate
from chitram.adapters.db.credentials import SqliteCredentialLookup
from chitram.adapters.db.lookup import SqliteLookup
from chitram.adapters.db.patience import Patience, PoolSize
from chitram.adapters.db.postgresql.database import open_postgresql
from chitram.adapters.db.postgresql.lookups import PostgresCredentialLookup, PostgresLookup
from chitram.adapters.db.postgresql.reading import DirectReader
from chitram.adapters.db.sqlite import open_sqlite
from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.ports.credentials import CredentialLookup
from chitram.ports.lookup import Lookup
from tests.services.postgres import Shelf

#: On a machine that has much to do besides, no promise about time is meant.
UNHURRIED = Patience(wait=10, connect=10, statement=10, lock=5)


def copy_migrated(path: Path) -> str:
    """Put an empty migrated database at `path`, which must not exist, and return its URL."""
    if path.exists():
        raise FileExistsError(path)
    shutil.copyfile(_template(), path)
    return database_url(path)


@asynccontextmanager
async def open_migrated(path: Path, **options: Any) -> AsyncIterator[SqlDatabase]:
    """An empty migrated database at `path`, opened with `options`."""
    async with opened(open_sqlite(url=copy_migrated(path), **options)) as database:
        yield database


@asynccontextmanager
async def opened(opening: Awaitable[SqlDatabase]) -> AsyncIterator[SqlDatabase]:
    """A database that is closed when the context ends."""
    database = await opening
    try:
        yield database
    finally:
        await database.aclose()


@dataclass(frozen=True)
class Lookups:
    """Both of them. `close` is what ends them when their server ends."""

    records: Lookup
    credentials: CredentialLookup
    close: Callable[[], Awaitable[None]]


class Databases(Protocol):
    """New migrated databases of one kind, for tests that say nothing about which."""

    kind: str

    def new(self) -> str:
        """Make one and return its URL; it is gone when the test ends."""
        ...

    def open(
        self, url: str | None = None, *, patient: bool = False, **options: Any
    ) -> AbstractAsyncContextManager[SqlDatabase]:
        """Open a database, a new one without `url`. `patient`: others are waited for as long as it takes.

        `options`: of after-commit effects, which both databases have.
        """
        ...

    def lookups(self, url: str) -> AbstractAsyncContextManager[Lookups]:
        """The look-ups beside the database at `url`."""
        ...


class SqliteDatabases:
    """Files in a directory."""

    kind = "sqlite"

    def __init__(self, directory: Path) -> None:
        self._paths = (directory / f"chitram{number or ''}.db" for number in itertools.count())

    def new(self) -> str:
        return copy_migrated(next(self._paths))

    def open(
        self, url: str | None = None, *, patient: bool = False, **options: Any
    ) -> AbstractAsyncContextManager[SqlDatabase]:
        waits = {"connection_wait": 30.0, "busy_timeout": 30.0} if patient else {}
        return opened(open_sqlite(url=url or self.new(), **waits, **options))

    @asynccontextmanager
    async def lookups(self, url: str) -> AsyncIterator[Lookups]:
        records, credentials = SqliteLookup(url=url), SqliteCredentialLookup(url=url)

        async def close() -> None:
            records.close()
            credentials.close()

        yield Lookups(records, credentials, close)
        await close()


class PostgresDatabases:
    """Databases on a server, each a copy of a migrated one."""

    kind = "postgresql"

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._names: list[str] = []

    def new(self) -> str:
        self._names.append(self._shelf.take())
        return self._shelf.server.url(self._names[-1])

    def open(
        self, url: str | None = None, *, patient: bool = False, **options: Any
    ) -> AbstractAsyncContextManager[SqlDatabase]:
        patience = Patience(wait=60, connect=60, statement=60, lock=60) if patient else UNHURRIED
        return opened(open_postgresql(url=url or self.new(), patience=patience, **options))

    @asynccontextmanager
    async def lookups(self, url: str) -> AsyncIterator[Lookups]:
        reader = DirectReader(url=url, patience=UNHURRIED, size=PoolSize())
        yield Lookups(PostgresLookup(reader), PostgresCredentialLookup(reader), reader.aclose)
        await reader.aclose()

    def give_back(self) -> None:
        """When the test is over."""
        for name in self._names:
            self._shelf.give_back(name)


@asynccontextmanager
async def open_twice(databases: Databases) -> AsyncIterator[tuple[SqlDatabase, SqlDatabase]]:
    """An empty migrated database, opened by two who wait patiently for each other, as two servers would."""
    url = databases.new()
    async with databases.open(url, patient=True) as one, databases.open(url, patient=True) as two:
        yield one, two


def database_url(path: Path) -> str:
    """The URL of the SQLite file at `path`."""
    return f"sqlite:///{path}"


@cache
def _template() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="chitram-template-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = directory / "template.db"
    migrate.upgrade(database_url(path))
    if path.with_name(path.name + "-wal").exists():
        raise RuntimeError("the template is not in one file")
    return path
