"""The hot look-up of credentials, on a real database."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from chitram.adapters.db.credentials import SqliteCredentialLookup
from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.api_tokens import ALL_SCOPES
from chitram.domain.errors import ServiceUnavailable
from chitram.domain.sessions import SessionKind
from chitram.domain.users import Role
from tests.factories.databases import copy_migrated, database_url
from tests.factories.rows import NOW, add_api_token, add_session, add_user, later


@pytest.fixture
def path(tmp_path: Path) -> Path:
    copy_migrated(tmp_path / "chitram.db")
    return tmp_path / "chitram.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqlDatabase]:
    opened = await SqlDatabase.open(url=database_url(path))
    yield opened
    await opened.aclose()


@pytest.fixture
def lookup(path: Path) -> Iterator[SqliteCredentialLookup]:
    with closing(SqliteCredentialLookup(url=database_url(path))) as opened:
        yield opened


FULL = {"role": Role.ADMIN, "is_active": False, "quota_bytes": 0, "quota_files": 7, "used_bytes": 5, "used_files": 1}


@pytest.mark.parametrize("account", [{}, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("changes", [{}, {"kind": SessionKind.BROWSER, "expires_at": later(-9), "address": ""}])
async def test_sessions_come_as_they_were_recorded_expired_and_inactive_ones_too(database, lookup, account, changes):
    async with database.begin() as work:
        await add_user(work, 1)
        user = await add_user(work, 2, **account)
        await add_session(work, 1, user=1)
        session = await add_session(work, 2, user=2, **changes)
        expected = (await work.sessions.of_user(user.id, now=later(-10)), await work.users.get(user.id))
    assert await lookup.session(session.id) == (session, user)
    assert expected == ([session], user)


@pytest.mark.parametrize("account", [{}, FULL], ids=["plain", "full"])
@pytest.mark.parametrize(
    "changes", [{}, {"expires_at": None, "last_used_at": None, "scopes": frozenset()}, {"scopes": ALL_SCOPES}]
)
async def test_so_do_api_tokens(database, lookup, account, changes):
    async with database.begin() as work:
        await add_user(work, 1)
        user = await add_user(work, 2, **account)
        await add_api_token(work, 1, user=1)
        token = await add_api_token(work, 2, user=2, **changes)
        expected = (await work.api_tokens.of_user(user.id), await work.users.get(user.id))
    assert await lookup.api_token(token.token_hash) == (token, user)
    assert expected == ([token], user)


@pytest.mark.parametrize("text", ["", "x" * 24, "x" * 1000, "' OR 1=1 --", "\x00", "SESSION00000000000000001"])
async def test_what_is_not_there(database, lookup, text):
    async with database.begin() as work:
        await add_user(work, 1)
        await add_session(work, 1)
        token = await add_api_token(work, 1)
    assert await lookup.session(text) is None
    assert await lookup.api_token(text) is None
    assert await lookup.api_token(token.token_hash.upper()) is None
    assert await lookup.api_token(token.id) is None


async def test_what_was_ended_is_gone_with_the_commit_and_not_before(database, lookup):
    async with database.begin() as work:
        user = await add_user(work, 1)
        session, token = await add_session(work, 1), await add_api_token(work, 1)
        assert await lookup.session(session.id) is None
    assert await lookup.session(session.id) == (session, user)
    async with database.begin() as work:
        await work.users.set_active(user.id, active=False)
        await work.sessions.set_used({session.id: later(9)})
    closed = replace(user, is_active=False)
    assert await lookup.session(session.id) == (replace(session, last_used_at=later(9)), closed)
    assert await lookup.api_token(token.token_hash) == (token, closed)
    async with database.begin() as work:
        await work.users.remove(user.id)
        assert await lookup.session(session.id) is not None
    assert await lookup.session(session.id) is None
    assert await lookup.api_token(token.token_hash) is None


async def test_it_holds_no_snapshot_that_would_keep_the_log_from_being_emptied(database, lookup, path):
    async with database.begin() as work:
        await add_user(work, 1)
        session = await add_session(work, 1, created_at=NOW)
    await lookup.session(session.id)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


@pytest.mark.parametrize("name", ["session", "api_token"])
class TestFailures:
    async def test_no_file(self, tmp_path, name):
        with closing(SqliteCredentialLookup(url=database_url(tmp_path / "none.db"))) as lookup:  # noqa: SIM117 - the second one is what is tested
            with pytest.raises(ServiceUnavailable) as caught:
                await getattr(lookup, name)("x")
        assert caught.value.retry_after == 1

    async def test_it_comes_back_by_itself(self, path, lookup, name):
        content = path.read_bytes()
        path.write_bytes(b"no database" * 1000)
        with pytest.raises(ServiceUnavailable):
            await getattr(lookup, name)("x")
        path.write_bytes(content)
        assert await getattr(lookup, name)("x") is None

    async def test_closed_is_closed(self, lookup, name):
        await getattr(lookup, name)("x")
        lookup.close()
        lookup.close()
        with pytest.raises(ServiceUnavailable):
            await getattr(lookup, name)("x")

    async def test_other_databases_are_refused(self, name):
        with pytest.raises(ValueError, match="DATABASE_URL"):
            SqliteCredentialLookup(url=f"postgresql://db/{name}")
