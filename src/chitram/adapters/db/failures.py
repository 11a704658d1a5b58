"""What the driver raises, in the domain's terms."""

import sqlite3

from sqlalchemy.exc import DBAPIError

from chitram.domain.errors import ChitramError, ServiceUnavailable, StorageFull

RETRY_AFTER = 1.0

#: The connection is as good as before: somebody else was in the way, or the disk is full, or we stopped it ourselves.
_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_INTERRUPT})

#: The database cannot do its work now, for reasons outside of this program.
_UNAVAILABLE = _PASSING | {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}


def unavailable(message: str | None = None) -> ServiceUnavailable:
    """ServiceUnavailable that invites the client to come back in a second."""
    return ServiceUnavailable(message, retry_after=RETRY_AFTER)


def domain_error(error: BaseException) -> ChitramError | None:
    """StorageFull or ServiceUnavailable for a failure of the database itself; None for a mistake of ours."""
    code = _primary_code(error)
    if code == sqlite3.SQLITE_FULL:
        return StorageFull()
    if code in _UNAVAILABLE or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return unavailable()
    return None


def breaks_connection(error: BaseException) -> bool:
    """Whether the connection must not be used again after `error`."""
    return domain_error(error) is not None and _primary_code(error) not in _PASSING


def _primary_code(error: BaseException) -> int | None:
    driver_error = error.orig if isinstance(error, DBAPIError) else error
    extended = getattr(driver_error, "sqlite_errorcode", None)
    return None if extended is None else extended & 0xFF
