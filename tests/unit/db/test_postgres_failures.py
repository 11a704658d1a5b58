import asyncio
import socket
import ssl

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from chitram.adapters.db.postgresql.failures import connection_failure, domain_error, without_values
from chitram.domain.errors import InvalidRequest, ServiceUnavailable, StorageFull


def wrapped(driver: Exception) -> DBAPIError:
    """As SQLAlchemy hands it on."""
    adapted = Exception(str(driver))
    adapted.__cause__ = driver
    return DBAPIError("SELECT 1", {}, adapted)


@pytest.mark.parametrize("wrap", [wrapped, lambda error: error], ids=["wrapped", "bare"])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncpg.DiskFullError("x"), StorageFull),
        (asyncpg.TooManyConnectionsError("x"), ServiceUnavailable),
        (asyncpg.AdminShutdownError("x"), ServiceUnavailable),
        (asyncpg.CrashShutdownError("x"), ServiceUnavailable),
        (asyncpg.CannotConnectNowError("x"), ServiceUnavailable),
        (asyncpg.QueryCanceledError("x"), ServiceUnavailable),
        (asyncpg.LockNotAvailableError("x"), ServiceUnavailable),
        (asyncpg.DeadlockDetectedError("x"), ServiceUnavailable),
        (asyncpg.SerializationError("x"), ServiceUnavailable),
        (asyncpg.ReadOnlySQLTransactionError("x"), ServiceUnavailable),
        (asyncpg.IdleInTransactionSessionTimeoutError("x"), ServiceUnavailable),
        (asyncpg.ConnectionDoesNotExistError("x"), ServiceUnavailable),
        (asyncpg.InvalidPasswordError("x"), ServiceUnavailable),
        (asyncpg.InvalidCatalogNameError("x"), ServiceUnavailable),
        (asyncpg.PostgresIOError("x"), ServiceUnavailable),
        (asyncpg.DataCorruptedError("x"), ServiceUnavailable),
        (asyncpg.InvalidCachedStatementError("x"), ServiceUnavailable),
        (asyncpg.InterfaceError("connection is closed"), ServiceUnavailable),
        (asyncpg.CharacterNotInRepertoireError("x"), InvalidRequest),
        (asyncpg.UniqueViolationError("x"), type(None)),
        (asyncpg.UndefinedTableError("x"), type(None)),
        (asyncpg.PostgresSyntaxError("x"), type(None)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_each_failure_has_its_domain_error(error, kind, wrap):
    found = domain_error(wrap(error))
    assert type(found) is kind
    if kind is ServiceUnavailable:
        assert found.retry_after == 1


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(), TimeoutError(), PoolTimeout(), socket.gaierror(-2, "Name or service not known")]
)
def test_so_have_those_of_the_network(error):
    assert type(domain_error(error)) is ServiceUnavailable


@pytest.mark.parametrize("error", [asyncio.CancelledError(), LookupError(), KeyboardInterrupt()])
def test_others_are_none_of_the_database(error):
    assert domain_error(error) is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"), "SSLError"),
        (TimeoutError(), "it does not answer in time"),
        (asyncpg.InvalidPasswordError("password authentication failed"), "password authentication failed"),
    ],
)
def test_what_kept_a_connection_from_being_made_is_for_operators_alone(error, reason):
    failure = connection_failure(error)
    assert failure.reason == reason
    assert failure.retry_after == 1
    assert reason not in failure.message


def test_values_are_left_out():
    driver = asyncpg.UniqueViolationError("duplicate key")
    driver.message, driver.detail = "duplicate key", "Key (email_key)=(somebody@example.org) already exists."
    adapted = Exception(f"duplicate key DETAIL: {driver.detail}")
    adapted.__cause__ = driver
    told = without_values(IntegrityError("INSERT INTO users", {"email": "somebody@example.org"}, adapted))
    assert isinstance(told, IntegrityError)
    assert "INSERT INTO users" in str(told)
    assert "duplicate key" in str(told)
    assert "somebody" not in str(told)
