"""Sessions."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.sessions import MAX_USER_AGENT, SessionKind
from tests.factories.databases import Databases
from tests.factories.rows import NOW, add_session, add_user, later, new_session, user_id_of


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
        {"kind": SessionKind.BROWSER, "address": "", "user_agent": ""},
        {"address": "fe80::1%" + "z" * 200, "user_agent": "\té\N{GRINNING FACE}'" * (MAX_USER_AGENT // 4)},
    ],
    ids=["plain", "empty", "odd"],
)
async def test_a_session_comes_back_as_it_was(database, changes):
    session = new_session(**changes)
    async with database.begin() as work:
        await work.sessions.add(session)
    async with database.read() as view:
        assert await view.sessions.of_user(MINE, now=NOW) == [session]
        assert await view.sessions.of_user(THEIRS, now=NOW) == []


async def test_the_list_is_newest_first_without_expired_ones(database):
    async with database.begin() as work:
        first = await add_session(work, 3, created_at=later(1), expires_at=later(10))
        last = await add_session(work, 1, created_at=later(9))
        twins = [await add_session(work, number, created_at=later(5)) for number in (7, 8)]
        await add_session(work, 9, user=2)
        expected = [last, *twins[::-1], first]
        assert await work.sessions.of_user(MINE, now=later(9.999999)) == expected
        assert await work.sessions.of_user(MINE, now=later(10)) == expected[:-1]


async def test_one_of_nobody_is_refused(database):
    with pytest.raises(IntegrityError):
        async with database.begin() as work:
            await add_session(work, 1, user=3)


class TestEnding:
    async def test_ones_own(self, database):
        async with database.begin() as work:
            session = await add_session(work, 1)
            kept = await add_session(work, 2)
            assert await work.sessions.remove(session.id, user_id=MINE)
            assert not await work.sessions.remove(session.id, user_id=MINE)
            assert await work.sessions.of_user(MINE, now=NOW) == [kept]

    async def test_never_anothers(self, database):
        async with database.begin() as work:
            session = await add_session(work, 1, user=2)
            assert not await work.sessions.remove(session.id, user_id=MINE)
            assert await work.sessions.of_user(THEIRS, now=NOW) == [session]

    async def test_all_of_an_account_or_all_but_one(self, database):
        async with database.begin() as work:
            theirs = await add_session(work, 9, user=2)
            mine = [await add_session(work, number) for number in range(4)]
            assert await work.sessions.remove_of_user(MINE, but=mine[2].id) == 3
            assert await work.sessions.of_user(MINE, now=NOW) == [mine[2]]
            assert await work.sessions.remove_of_user(MINE, but=theirs.id) == 1
            await add_session(work, 5)
            assert await work.sessions.remove_of_user(MINE) == 1
            assert await work.sessions.remove_of_user(MINE) == 0
            assert await work.sessions.of_user(THEIRS, now=NOW) == [theirs]


class TestFamiliarAddresses:
    NAMES = ("192.0.2.1", "192.0.2.2", "2001:db8::/64", "", "no address")

    async def see(self, work, subject, *, at=NOW, user_id=MINE, keep=50):
        await work.sessions.remember_address(user_id, subject=subject, at=at, keep=keep)

    async def known(self, work, user_id=MINE):
        """Which of NAMES the account is known to be signed in from."""
        return [name for name in self.NAMES if await work.sessions.knows_address(user_id, subject=name)]

    async def test_are_known_by_account_without_a_session(self, database):
        async with database.begin() as work:
            await add_session(work, 1, address="192.0.2.9")
            for subject in self.NAMES[:3]:
                await self.see(work, subject)
            await self.see(work, self.NAMES[3], user_id=THEIRS)
        async with database.read() as view:
            assert await self.known(view) == list(self.NAMES[:3])
            assert await self.known(view, THEIRS) == [self.NAMES[3]]
            assert not await view.sessions.knows_address(MINE, subject="192.0.2.9")
            assert not await view.sessions.knows_address("", subject=self.NAMES[0])

    async def test_of_nobody_are_refused(self, database):
        with pytest.raises(IntegrityError):
            async with database.begin() as work:
                await self.see(work, "192.0.2.1", user_id=user_id_of(3))

    async def test_go_with_their_account_and_not_with_its_sessions(self, database):
        async with database.begin() as work:
            await add_session(work, 1)
            await self.see(work, self.NAMES[0])
            await self.see(work, self.NAMES[0], user_id=THEIRS)
            await work.sessions.remove_of_user(MINE)
            assert await self.known(work) == [self.NAMES[0]]
            await work.users.remove(MINE)
            assert await self.known(work) == []
            assert await self.known(work, THEIRS) == [self.NAMES[0]]

    async def test_those_of_an_account_are_forgotten_but_one(self, database):
        async with database.begin() as work:
            for subject in self.NAMES[:3]:
                await self.see(work, subject)
                await self.see(work, subject, user_id=THEIRS)
            assert await work.sessions.forget_addresses_of(MINE, but=self.NAMES[1]) == 2
            assert await self.known(work) == [self.NAMES[1]]
            assert await work.sessions.forget_addresses_of(MINE) == 1
            assert await self.known(work) == []
            assert await self.known(work, THEIRS) == list(self.NAMES[:3])

    async def test_those_seen_last_are_kept(self, database):
        async with database.begin() as work:
            for moment, subject in enumerate(self.NAMES[:3]):
                await self.see(work, subject, at=later(moment), keep=3)
                await self.see(work, subject, at=later(moment), user_id=THEIRS, keep=3)
            await self.see(work, self.NAMES[0], at=later(5), keep=3)
            assert await self.known(work) == list(self.NAMES[:3])
            await self.see(work, self.NAMES[3], at=later(6), keep=3)
            assert await self.known(work) == [self.NAMES[0], *self.NAMES[2:4]]
            # The one that is seen now is kept, whatever another server's clock said of the others.
            await self.see(work, self.NAMES[4], at=NOW, keep=3)
            assert await self.known(work) == [self.NAMES[0], *self.NAMES[3:]]
            await self.see(work, self.NAMES[1], at=later(7), keep=1)
            assert await self.known(work) == [self.NAMES[1]]
            assert await self.known(work, THEIRS) == list(self.NAMES[:3])

    async def test_are_forgotten_a_few_at_a_time_by_when_they_were_seen_last(self, database):
        async with database.begin() as work:
            for moment, subject in enumerate(self.NAMES):
                await self.see(work, subject, at=later(moment))
                await self.see(work, subject, at=later(moment), user_id=THEIRS)
            await self.see(work, self.NAMES[1], at=later(10))
            await self.see(work, self.NAMES[1], at=later(-10))  # it has been seen later than that
            forget = work.sessions.forget_addresses
            assert [await forget(before=later(2), limit=3) for _ in range(3)] == [3, 2, 0]
            assert await self.known(work) == [self.NAMES[1], *self.NAMES[3:]]
            assert await self.known(work, THEIRS) == list(self.NAMES[3:])


async def test_uses_are_noted_and_never_go_back(database):
    async with database.begin() as work:
        sessions = [await add_session(work, number, created_at=later(-number)) for number in range(4)]
        await work.sessions.set_used({})
        await work.sessions.set_used(
            {sessions[0].id: later(5), sessions[1].id: later(6), sessions[2].id: later(-1), "gone": later(7)}
        )
        expected = [replace(sessions[0], last_used_at=later(5)), replace(sessions[1], last_used_at=later(6))]
        assert await work.sessions.of_user(MINE, now=NOW) == expected + sessions[2:]


async def test_expired_ones_are_forgotten_a_few_at_a_time(database):
    async with database.begin() as work:
        for number in range(5):
            await add_session(work, number, user=1 + number % 2, expires_at=later(number))
        assert await work.sessions.remove_expired(now=later(3), limit=3) == 3
        assert await work.sessions.remove_expired(now=later(3), limit=3) == 1
        assert await work.sessions.remove_expired(now=later(3), limit=3) == 0
        left = [*await work.sessions.of_user(MINE, now=NOW), *await work.sessions.of_user(THEIRS, now=NOW)]
    assert [session.expires_at for session in left] == [later(4)]


async def test_the_newest_stay(database):
    async with database.begin() as work:
        for number in range(5):
            await add_session(work, number, user=1, created_at=later(number))
        await add_session(work, 9, user=2, created_at=NOW)
        assert await work.sessions.remove_oldest(MINE, keep=2) == 3
        left = await work.sessions.of_user(MINE, now=NOW)
        assert [session.created_at for session in left] == [later(4), later(3)]
        assert len(await work.sessions.of_user(THEIRS, now=NOW)) == 1
        assert await work.sessions.remove_oldest(MINE, keep=2) == 0


async def test_what_cannot_be_its_id_removes_nothing(database):
    async with database.begin() as work:
        for name in ("", "\0", "x\0", "x" * 1000):
            assert not await work.sessions.remove(name, user_id=user_id_of(1))
