"""Invitations: each serves once."""

import asyncio

import pytest
from sqlalchemy.exc import IntegrityError

from tests.factories.databases import open_twice
from tests.factories.rows import NOW, later, new_invite


@pytest.mark.parametrize("created_by", [None, "user0000404"])
async def test_it_serves_once(database, created_by):
    invite = new_invite(created_by=created_by)
    async with database.begin() as work:
        await work.invites.add(invite)
        await work.invites.add(new_invite(2))
        assert not await work.invites.redeem("0" * 64, now=NOW)
        assert await work.invites.redeem(invite.code_hash, now=NOW)
        assert not await work.invites.redeem(invite.code_hash, now=NOW)
        assert await work.invites.redeem(new_invite(2).code_hash, now=NOW)


async def test_not_once_it_expired(database):
    async with database.begin() as work:
        await work.invites.add(new_invite(expires_at=later(10)))
        assert not await work.invites.redeem(new_invite().code_hash, now=later(10))
        assert await work.invites.redeem(new_invite().code_hash, now=later(9.999999))


async def test_the_same_code_twice_is_a_mistake_of_ours(database):
    with pytest.raises(IntegrityError):  # noqa: PT012 - the second one is what is refused
        async with database.begin() as work:
            await work.invites.add(new_invite())
            await work.invites.add(new_invite())


async def test_what_is_rolled_back_was_not_used_up(database):
    async with database.begin() as work:
        await work.invites.add(new_invite())
    with pytest.raises(LookupError):  # noqa: PT012 - the block as a whole fails, at its end
        async with database.begin() as work:
            assert await work.invites.redeem(new_invite().code_hash, now=NOW)
            raise LookupError
    async with database.begin() as work:
        assert await work.invites.redeem(new_invite().code_hash, now=NOW)


async def test_of_many_that_try_together_one_succeeds(databases):
    async with open_twice(databases) as databases:
        async with databases[0].begin() as work:
            await work.invites.add(new_invite())

        async def redeem(number: int) -> bool:
            async with databases[number % 2].begin() as work:
                return await work.invites.redeem(new_invite().code_hash, now=NOW)

        results = await asyncio.gather(*(redeem(number) for number in range(20)))
    assert sorted(results) == [False] * 19 + [True]


async def test_expired_ones_are_forgotten(database):
    async with database.begin() as work:
        for number in range(4):
            await work.invites.add(new_invite(number, expires_at=later(number)))
        assert await work.invites.remove_expired(now=later(2)) == 3
        assert await work.invites.remove_expired(now=later(2)) == 0
        assert await work.invites.redeem(new_invite(3).code_hash, now=later(2))
