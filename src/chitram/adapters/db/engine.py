"""Which database, and how its connections are set up. The only place that knows the pragmas of SQLite."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

#: For the owner alone: a proxy in front may belong to the group, to read the store.
FILE_MODE = 0o600

#: How long SQLite itself waits for another process's lock, in seconds.
BUSY_TIMEOUT = 0.4

# No mmap_size: an I/O error in a mapped page is a SIGBUS that kills the server, a read error is a 503.
_EVERY_CONNECTION = ("PRAGMA temp_store = MEMORY", "PRAGMA trusted_schema = OFF", "PRAGMA foreign_keys = ON")
_WRITER = (
    # journal_mode comes first: it is a property of the file, the others are the connection's.
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA cache_size = -16384",
    "PRAGMA wal_autocheckpoint = 1000",
    "PRAGMA journal_size_limit = 16777216",
)
_READER = ("PRAGMA query_only = ON", "PRAGMA cache_size = -8192")


def database_path(url: str) -> Path:
    """The file that `url` names: `sqlite:///relative.db`, `sqlite:////absolute.db`, also with `sqlite+aiosqlite`.

    ValueError, which never shows the URL (it may carry a password), for anything else.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("DATABASE_URL is not a URL") from None
    if parsed.get_backend_name() != "sqlite":
        raise ValueError(f"DATABASE_URL: {parsed.get_backend_name()} is not supported, only sqlite")
    if parsed.host or parsed.query:
        raise ValueError("DATABASE_URL: expected sqlite:/// and a path, without host or parameters")
    if not parsed.database or parsed.database.startswith((":memory:", "file:")):
        raise ValueError("DATABASE_URL: a database in memory is not supported, name a file")
    return Path(parsed.database)


def create_file(path: Path) -> None:
    """Make an empty database file that others on the machine cannot read; one that exists is left as it is."""
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)
        try:
            os.fchmod(descriptor, FILE_MODE)
        finally:
            os.close(descriptor)


def connect(path: Path, *, read_only: bool = False, busy_timeout: float = BUSY_TIMEOUT) -> sqlite3.Connection:
    """A bare connection to an existing file; the driver never begins a transaction by itself."""
    address = f"file:{quote(str(path.absolute()))}?mode=rw"
    connection = sqlite3.connect(
        address,
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
        cached_statements=256,
        # Each connection is used by one thread at a time; closing may happen in another.
        check_same_thread=False,
    )
    try:
        for pragma in _EVERY_CONNECTION + (_READER if read_only else _WRITER):
            connection.execute(pragma).close()
    except BaseException:
        connection.close()
        raise
    # SQLite has no popcount of its own. int.bit_count is called without a Python frame around it.
    connection.create_function("bit_count", 1, int.bit_count, deterministic=True)
    return connection


def writer_engine(path: Path, *, busy_timeout: float = BUSY_TIMEOUT) -> Engine:
    """An engine whose transactions hold SQLite's one write lock from their first moment."""
    # A deferred transaction that turns into a writer fails at once when another one wrote meanwhile: hence IMMEDIATE.
    return _engine(lambda: connect(path, busy_timeout=busy_timeout), begin="BEGIN IMMEDIATE")


def reader_engine(path: Path, *, busy_timeout: float = BUSY_TIMEOUT) -> Engine:
    """An engine whose transactions see one moment of the database and cannot write."""
    return _engine(lambda: connect(path, read_only=True, busy_timeout=busy_timeout), begin="BEGIN")


def _engine(creator: Callable[[], sqlite3.Connection], *, begin: str) -> Engine:
    # What was bound to a statement, e-mails and hashes among it, must not stand in the errors that are logged.
    engine = create_engine("sqlite+pysqlite://", creator=creator, poolclass=NullPool, hide_parameters=True)

    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "begin", begin_transaction)
    return engine
