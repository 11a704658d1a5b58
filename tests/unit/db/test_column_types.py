from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from chitram.adapters.db.column_types import (
    ScopeSet,
    Unsigned64,
    UtcDateTime,
    parse_scopes,
    parse_utc,
    signed64,
    unsigned64,
)
from chitram.domain.api_tokens import ALL_SCOPES, Scope

SQLITE = sqlite.dialect()
POSTGRESQL = postgresql.dialect()
MOMENT = datetime(2026, 3, 1, 12, 30, 0, 5, tzinfo=timezone(timedelta(hours=5, minutes=30)))


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL], ids=["sqlite", "postgresql"])
def test_moments_come_back_aware_in_utc_with_their_microseconds(dialect):
    column = UtcDateTime()
    back = column.process_result_value(column.process_bind_param(MOMENT, dialect), dialect)
    assert back == MOMENT
    assert back.utcoffset() == timedelta(0)
    assert back.microsecond == 5


def test_sqlite_keeps_them_in_utc_without_a_zone():
    assert UtcDateTime().process_bind_param(MOMENT, SQLITE) == MOMENT.astimezone(UTC).replace(tzinfo=None)


def test_a_naive_moment_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        UtcDateTime().process_bind_param(MOMENT.replace(tzinfo=None), SQLITE)


@pytest.mark.parametrize("column", [UtcDateTime(), Unsigned64()], ids=["moment", "hash"])
def test_nothing_stays_nothing(column):
    assert column.process_bind_param(None, SQLITE) is None
    assert column.process_result_value(None, SQLITE) is None


@given(st.integers(0, 2**64 - 1))
def test_unsigned_numbers_fit_a_signed_column_and_come_back(value):
    column = Unsigned64()
    stored = column.process_bind_param(value, SQLITE)
    assert -(2**63) <= stored < 2**63
    assert column.process_result_value(stored, SQLITE) == value == unsigned64(signed64(value))


@pytest.mark.parametrize("value", [-1, 2**64])
def test_other_numbers_are_refused(value):
    with pytest.raises(ValueError, match="64-bit"):
        signed64(value)


@given(st.datetimes(timezones=st.just(UTC)))
def test_the_fast_parser_reads_what_the_column_writes(moment):
    column = UtcDateTime()
    text = column.dialect_impl(SQLITE).bind_processor(SQLITE)(moment)
    assert parse_utc(text) == moment


@given(st.none() | st.frozensets(st.sampled_from(Scope)))
def test_scopes_come_back_as_they_were(scopes):
    column = ScopeSet()
    assert column.process_result_value(column.process_bind_param(scopes, SQLITE), SQLITE) == scopes


def test_the_same_scopes_are_always_the_same_text():
    assert ScopeSet().process_bind_param(ALL_SCOPES, SQLITE) == "delete,read,upload"


def test_a_scope_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="admin"):
        parse_scopes("read,admin")
