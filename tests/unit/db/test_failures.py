import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from chitram.adapters.db.failures import breaks_connection, domain_error
from chitram.domain.errors import ServiceUnavailable, StorageFull


def failure(code: int, *, wrapped: bool) -> Exception:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    return OperationalError("SELECT 1", {}, error) if wrapped else error


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("code", "kind", "broken"),
    [
        (sqlite3.SQLITE_FULL, StorageFull, False),
        (sqlite3.SQLITE_BUSY, ServiceUnavailable, False),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, ServiceUnavailable, False),
        (sqlite3.SQLITE_LOCKED, ServiceUnavailable, False),
        (sqlite3.SQLITE_INTERRUPT, ServiceUnavailable, False),
        (sqlite3.SQLITE_IOERR_FSYNC, ServiceUnavailable, True),
        (sqlite3.SQLITE_CANTOPEN, ServiceUnavailable, True),
        (sqlite3.SQLITE_CORRUPT, ServiceUnavailable, True),
        (sqlite3.SQLITE_READONLY_DBMOVED, ServiceUnavailable, True),
    ],
)
def test_failures_of_the_database_have_a_domain_error(code, kind, broken, wrapped):
    error = failure(code, wrapped=wrapped)
    found = domain_error(error)
    assert type(found) is kind
    assert "SQLite" not in found.message
    assert breaks_connection(error) is broken


def test_being_unavailable_says_when_to_come_back():
    assert domain_error(failure(sqlite3.SQLITE_BUSY, wrapped=True)).retry_after == 1


@pytest.mark.parametrize("code", [sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY])
def test_our_own_mistakes_stay_what_they_are(code):
    assert domain_error(failure(code, wrapped=True)) is None
    assert not breaks_connection(failure(code, wrapped=False))


def test_other_exceptions_are_none_of_the_database():
    assert domain_error(ValueError("x")) is None


def test_a_connection_that_the_pool_gave_up_is_unavailable():
    error = OperationalError("SELECT 1", {}, Exception("closed"), connection_invalidated=True)
    assert isinstance(domain_error(error), ServiceUnavailable)
    assert breaks_connection(error)
