"""Bringing the schema up to date, and back. One process at a time, all or nothing."""

import fcntl
import importlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from chitram.adapters.db.engine import FILE_MODE, connect, create_file, database_path
from chitram.adapters.db.failures import domain_error
from chitram.adapters.db.tables import metadata

#: How long a migration waits for a program that writes at this moment, in seconds.
_BUSY_TIMEOUT = 5.0
_VERSIONS = Path(__file__).parent / "migrations" / "versions"


class MigrationError(RuntimeError):
    """The schema cannot be brought to where it should be; it is as it was."""


class SchemaNewerError(MigrationError):
    """The database was made by a newer version of the program, which this one must not touch."""

    def __init__(self, revision: str) -> None:
        super().__init__(f"the database is at revision {revision}, which is newer than this version of the program")
        self.revision = revision


class ForeignKeyError(MigrationError):
    """A migration would leave rows that name rows that do not exist; it was taken back."""


def upgrade(url: str, *, revision: str = "head") -> None:
    """Bring the database at `url` up to `revision`, making the file if need be.

    Safe to call from several processes at once. SchemaNewerError when the database is ahead of this program,
    ServiceUnavailable or StorageFull when the database cannot answer.
    A migration that fails leaves everything as it was.
    """
    path = database_path(url)
    with _locked(path):
        create_file(path)
        with _transaction(path) as connection:
            if not _up_to_date(connection):
                _scripts().upgrade(connection, revision)
                _check_foreign_keys(connection)


def downgrade(url: str, revision: str) -> None:
    """Take the database at `url` back to `revision`; `base` removes every table. Errors as for `upgrade`."""
    path = database_path(url)
    with _locked(path), _transaction(path) as connection:
        _up_to_date(connection)
        scripts = _scripts()
        try:
            scripts.downgrade(connection, revision)
        except scripts.UnknownRevision as error:
            raise MigrationError(str(error)) from error
        _check_foreign_keys(connection)


def current(url: str) -> str | None:
    """The revision of the database at `url`; None when it is empty or not there."""
    path = database_path(url)
    if not path.exists():
        return None
    with _transaction(path, read_only=True) as connection:
        return _revision(connection)


def pending(url: str) -> bool:
    """Whether the database at `url` needs `upgrade`. SchemaNewerError when it is ahead of this program."""
    path = database_path(url)
    if not path.exists():
        return True
    with _transaction(path, read_only=True) as connection:
        return not _up_to_date(connection)


def check(url: str) -> Sequence[object]:
    """How the migrated database at `url` differs from the tables that the program expects; empty when it does not."""
    with _transaction(database_path(url), read_only=True) as connection:
        found: Sequence[object] = _scripts().differences(connection, metadata=metadata)
    return found


def configure(connection: Connection, *, configure_with: Callable[..., None]) -> None:
    """Tell Alembic's environment how migrations run: all of them in the transaction that is open on `connection`."""
    configure_with(
        connection=connection,
        target_metadata=metadata,
        # SQLite has it, but not by its driver's old habit of committing before DDL, which engine.connect turns off.
        transactional_ddl=True,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )


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


def _scripts() -> ModuleType:
    """The module that can run migrations, which a server whose schema is current does not load."""
    return importlib.import_module("chitram.adapters.db.scripts")


def _revision(connection: Connection) -> str | None:
    """What Alembic has noted down; its own way to read it is dear to import."""
    found = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").first()
    if found is None:
        return None
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
    return revision


def _up_to_date(connection: Connection) -> bool:
    revision = _revision(connection)
    # Each script's revision is the name of its file, and they are numbered.
    known = sorted(path.stem for path in _VERSIONS.glob("[0-9]*.py"))
    if revision is not None and revision not in known:
        raise SchemaNewerError(revision)
    return revision == known[-1]


def _check_foreign_keys(connection: Connection) -> None:
    with closing(connection.exec_driver_sql("PRAGMA foreign_key_check")) as result:
        broken = sorted({str(row[0]) for row in result})
    if broken:
        raise ForeignKeyError(f"rows of {', '.join(broken)} name rows that do not exist")
