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
from chitram.adapters.db.failures import domain_error, unavailable
from chitram.adapters.db.schemas import MigrationError
from chitram.domain.errors import ChitramError, ServiceUnavailable

T = TypeVar("T")

#: How long a migration waits for a program that writes at this moment, in seconds.
_BUSY_TIMEOUT = 5.0
#: What an operator can do about what SQLite says, by the number of its first kind of code; else it is the disk.
_ADVICE = {
    sqlite3.SQLITE_NOTADB: "Name another file, or restore this one from a backup.",
    sqlite3.SQLITE_CORRUPT: "Restore it from a backup.",
    **dict.fromkeys((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED), "Stop the program that is writing to it."),
    **dict.fromkeys(
        (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY),
        "It, and the directory that it is in, must belong to the user that runs this.",
    ),
}


class ForeignKeyError(MigrationError):
    """A migration would leave rows that name rows that do not exist; it was taken back."""


class SqliteSchema:
    """schemas.Schema of the file that a URL names."""

    def __init__(self, url: str) -> None:
        self._path = database_path(url)

    def exists(self) -> bool:
        return self._path.exists()

    def look(self, work: Callable[[Connection], T]) -> T:
        _require_no_directory(self._path)
        with _transaction(self._path, read_only=True) as connection:
            return work(connection)

    def change(self, work: Callable[[Connection], bool], *, create: bool = False) -> None:
        """ForeignKeyError when rows would name rows that do not exist."""
        _require_no_directory(self._path)
        # Before the lock, which would leave its file beside nothing.
        if not create and not self._path.exists():
            raise MigrationError(f"there is no database at {self._path}")
        with _locked(self._path):
            if create:
                create_file(self._path)
            with _transaction(self._path) as connection:
                if work(connection):
                    _check_foreign_keys(connection)


def _require_no_directory(path: Path) -> None:
    if path.is_dir():
        raise MigrationError(f"{path} is a directory. Name the file in it that is, or is to be, the database.")


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
        failure = _failure(error, path)
        if failure is None:
            raise
        raise failure from error
    finally:
        engine.dispose()


def _failure(error: DBAPIError, path: Path) -> ChitramError | None:
    """As `domain_error`, but saying why: before anything runs there is an operator, who may know more than clients."""
    failure = domain_error(error)
    if not isinstance(failure, ServiceUnavailable):
        return failure
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    advice = _ADVICE.get(code, "See whether the disk that it is on is in order.")
    return unavailable(f"{path} cannot be used as the database: {error.orig}. {advice}")


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
