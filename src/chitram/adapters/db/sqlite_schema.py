"""Migrations of a file: under a lock beside it, in one transaction, its foreign keys checked at the end."""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from chitram.adapters.db.engine import FILE_MODE, connect, create_file, database_path
from chitram.adapters.db.failures import domain_error
from chitram.adapters.db.schemas import MigrationError

T = TypeVar("T")

#: How long a migration waits for a program that writes at this moment, in seconds.
_BUSY_TIMEOUT = 5.0


class ForeignKeyError(MigrationError):
    """A migration would leave rows that name rows that do not exist; it was taken back."""


class SqliteSchema:
    """schemas.Schema of the file that a URL names."""

    def __init__(self, url: str) -> None:
        self._path = database_path(url)

    def exists(self) -> bool:
        return self._path.exists()

    def look(self, work: Callable[[Connection], T]) -> T:
        with _transaction(self._path, read_only=True) as connection:
            return work(connection)

    def change(self, work: Callable[[Connection], bool], *, create: bool = False) -> None:
        """ForeignKeyError when rows would name rows that do not exist."""
        with _locked(self._path):
            if create:
                create_file(self._path)
            with _transaction(self._path) as connection:
                if work(connection):
                    _check_foreign_keys(connection)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock beside the database file; it is let go when the process ends, however it ends."""
    descriptor = os.open(f"{path}.migrate.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _transaction(path: Path, *, read_only: bool = False) -> Iterator[Connection]:
    engine = _engine(path, read_only=read_only)
    try:
        with engine.connect() as connection, connection.begin():
            yield connection
    except DBAPIError as error:
        failure = domain_error(error)
        if failure is None:
            raise
        raise failure from error
    finally:
        engine.dispose()


def _engine(path: Path, *, read_only: bool) -> Engine:
    def creator() -> sqlite3.Connection:
        connection = connect(path, read_only=read_only, busy_timeout=_BUSY_TIMEOUT)
        # Rebuilding a table drops it, which must not touch the rows that name its rows; they are checked at the end.
        connection.execute("PRAGMA foreign_keys = OFF").close()
        return connection

    engine = create_engine("sqlite+pysqlite://", creator=creator, poolclass=NullPool, hide_parameters=True)
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _check_foreign_keys(connection: Connection) -> None:
    with closing(connection.exec_driver_sql("PRAGMA foreign_key_check")) as result:
        broken = sorted({str(row[0]) for row in result})
    if broken:
        raise ForeignKeyError(f"rows of {', '.join(broken)} name rows that do not exist")
