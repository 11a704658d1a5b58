"""The hot look-up of credentials, on both databases."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.api_tokens import ALL_SCOPES
from chitram.domain.errors import ServiceUnavailable
from chitram.domain.sessions import SessionKind
from chitram.domain.users import Role
from chitram.ports.credentials import CredentialLookup
from tests.factories.databases import Databases, Lookups
from tests.factories.rows import add_api_token, add_session, add_user, later


@pytest.fixture
def url(databases: Databases) -> str:
    return databases.new()


@pytest.fixture
async def database(databases: Databases, url: str) -> AsyncIterator[SqlDatabase]:
    async with databases.open(url) as opened:
        yield opened


@pytest.fixture
async def lookups(databases: Databases, url: str) -> AsyncIterator[Lookups]:
    async with databases.lookups(url) as opened:
        yield opened


@pytest.fixture
def lookup(lookups: Lookups) -> CredentialLookup:
    return lookups.credentials


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


@pytest.mark.parametrize("name", ["session", "api_token"])
async def test_closed_is_closed(lookup, lookups, name):
    await getattr(lookup, name)("x")
    await lookups.close()
    await lookups.close()
    with pytest.raises(ServiceUnavailable):
        await getattr(lookup, name)("x")
