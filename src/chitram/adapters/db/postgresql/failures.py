"""What PostgreSQL, its driver and the network say, in the domain's terms. Codes are SQLSTATEs."""

import os
import socket
import ssl

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from chitram.adapters.db.failures import unavailable
from chitram.domain.errors import ChitramError, InvalidRequest, ServiceUnavailable, StorageFull

#: The database cannot do its work now, for reasons outside of this program: by class, and by single codes.
_UNAVAILABLE_CLASSES = frozenset({"08", "28", "53", "57", "58", "XX"})
_UNAVAILABLE = frozenset(
    {
        "25006",  # it takes no changes at present
        "25P03",  # a transaction was idle for too long
        "25P04",
        "3D000",  # the database itself is not there
        "40001",  # another transaction was faster
        "40P01",  # a deadlock
        "55006",
        "55P03",  # a lock that was not to be had
    }
)
_DISK_FULL = "53100"
_NOT_ALLOWED = "42501"
#: NUL, and half of a surrogate pair: no text that PostgreSQL takes.
_NOT_TEXT = frozenset({"22021", "22P05"})
_LOST = (asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.InvalidCachedStatementError)


class Unreachable(ServiceUnavailable):
    """No connection. `reason` is for operators; it names no password."""

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(retry_after=retry_after)
        self.reason = reason


def connection_failure(error: BaseException) -> Unreachable:
    """What kept a connection from being made."""
    if isinstance(error, TimeoutError):
        reason = "it does not answer in time"
    elif isinstance(error, ssl.SSLError):  # an error of the system by its class, with numbers of its own
        reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or type(error).__name__
    elif isinstance(error, OSError):
        # The loop has words of its own for errors of the system; those of name look-ups have numbers of their own.
        number = None if isinstance(error, socket.gaierror) else error.errno
        reason = (os.strerror(number) if number else error.strerror) or type(error).__name__
    else:
        reason = str(error)
    return Unreachable(reason, retry_after=unavailable().retry_after)


def refused(error: BaseException) -> str | None:
    """What the account may not do, in PostgreSQL's words; None when it is something else."""
    driver = _driver_error(error)
    return str(getattr(driver, "message", "")) if getattr(driver, "sqlstate", None) == _NOT_ALLOWED else None


def domain_error(error: BaseException) -> ChitramError | None:
    """ServiceUnavailable, StorageFull or InvalidRequest; None for a mistake of ours."""
    if isinstance(error, ChitramError):
        return error
    if isinstance(error, PoolTimeout | OSError | TimeoutError):
        return unavailable()
    code = getattr(_driver_error(error), "sqlstate", None) or ""
    if code == _DISK_FULL:
        return StorageFull()
    if code in _NOT_TEXT:
        return InvalidRequest("The request contains text that cannot be stored.")
    if code in _UNAVAILABLE or code[:2] in _UNAVAILABLE_CLASSES or _is_lost(error):
        return unavailable()
    return None


def _is_lost(error: BaseException) -> bool:
    """Whether the connection, or what it had prepared, is of no use any more."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    driver = _driver_error(error)
    # What the driver cannot send because it is of the wrong kind is both, and our own mistake.
    return isinstance(driver, _LOST) and not isinstance(driver, ValueError)


def _driver_error(error: BaseException) -> BaseException:
    """The driver's own exception, which SQLAlchemy wraps twice."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def without_values(error: DBAPIError) -> DBAPIError:
    """The same error without the values that PostgreSQL and its driver tell, which may be anybody's e-mail."""
    driver = _driver_error(error)
    text = getattr(driver, "message", None) or type(driver).__name__
    return type(error)(error.statement, None, Exception(text), hide_parameters=True)
