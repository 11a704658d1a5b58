"""API tokens."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.api_tokens import ALL_SCOPES, MAX_TOKEN_NAME, Scope
from tests.factories.databases import Databases
from tests.factories.rows import NOW, add_api_token, add_user, later, new_api_token, user_id_of


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[SqlDatabase]:
    async with databases.open() as opened:
        async with opened.begin() as work:
            await add_user(work, 1)
            await add_user(work, 2)
        yield opened


MINE, THEIRS = user_id_of(1), user_id_of(2)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scopes": ALL_SCOPES, "expires_at": None, "last_used_at": None, "name": "\N{GRINNING FACE}" * MAX_TOKEN_NAME},
        {"scopes": frozenset(), "name": ""},
        *({"scopes": frozenset({scope})} for scope in Scope),
    ],
)
async def test_a_token_comes_back_as_it_was(database, changes):
    token = new_api_token(**changes)
    async with database.begin() as work:
        await work.api_tokens.add(token)
    async with database.read() as view:
        assert await view.api_tokens.of_user(MINE) == [token]
        assert await view.api_tokens.of_user(THEIRS) == []


async def test_the_list_is_newest_first_with_expired_ones(database):
    async with database.begin() as work:
        first = await add_api_token(work, 3, created_at=later(1), expires_at=NOW)
        last = await add_api_token(work, 1, created_at=later(9))
        twins = [await add_api_token(work, number, created_at=later(5)) for number in (7, 8)]
        await add_api_token(work, 9, user=2)
        assert await work.api_tokens.of_user(MINE) == [last, *twins[::-1], first]


@pytest.mark.parametrize("changes", [{"user": 3}, {"token_hash": new_api_token(1).token_hash}])
async def test_one_of_nobody_or_a_second_one_with_the_same_secret_is_refused(database, changes):
    with pytest.raises(IntegrityError):  # noqa: PT012 - the second one is what is refused
        async with database.begin() as work:
            await add_api_token(work, 1)
            await add_api_token(work, 2, **changes)


async def test_only_ones_own_are_revoked(database):
    async with database.begin() as work:
        mine = [await add_api_token(work, number) for number in range(3)]
        theirs = await add_api_token(work, 9, user=2)
        assert await work.api_tokens.remove(mine[1].id, user_id=MINE)
        assert not await work.api_tokens.remove(mine[1].id, user_id=MINE)
        assert not await work.api_tokens.remove(theirs.id, user_id=MINE)
        assert await work.api_tokens.of_user(MINE) == [mine[2], mine[0]]
        assert await work.api_tokens.remove_of_user(MINE) == 2
        assert await work.api_tokens.remove_of_user(MINE) == 0
        assert await work.api_tokens.of_user(THEIRS) == [theirs]


async def test_uses_are_noted_and_never_go_back(database):
    async with database.begin() as work:
        unused = await add_api_token(work, 1, last_used_at=None)
        used, later_used = [await add_api_token(work, n, created_at=later(-n), last_used_at=later(60)) for n in (2, 3)]
        await work.api_tokens.set_used({})
        await work.api_tokens.set_used(
            {unused.id: later(5), used.id: later(61), later_used.id: later(59), "gone": later(7)}
        )
        assert await work.api_tokens.of_user(MINE) == [
            replace(unused, last_used_at=later(5)),
            replace(used, last_used_at=later(61)),
            later_used,
        ]


async def test_what_cannot_be_its_id_removes_nothing(database):
    async with database.begin() as work:
        for name in ("", "\0", "x\0", "x" * 1000):
            assert not await work.api_tokens.remove(name, user_id=user_id_of(1))
