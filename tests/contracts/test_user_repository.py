"""Accounts, and what they may keep."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from chitram.domain.users import MAX_EMAIL, Quota, Role
from tests.factories.databases import open_twice
from tests.factories.rows import add_api_token, add_blob, add_image, add_session, add_user, new_user

NO_LIMIT = Quota(0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"role": Role.ADMIN, "is_active": False, "quota_bytes": 0, "quota_files": 7, "used_bytes": 5, "used_files": 1},
        {"quota_bytes": 2**62, "quota_files": 2**62, "used_bytes": 2**62, "used_files": 2**62},
        {"email": "é" * MAX_EMAIL},
        {"email": "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 64 + "@example.org"},
    ],
    ids=["plain", "all", "big", "long", "long once compared"],
)
async def test_an_account_comes_back_as_it_was(database, changes):
    user = new_user(**changes)
    async with database.begin() as work:
        assert await work.users.add(user)
        assert await work.users.lock(user.id) == user
    async with database.read() as view:
        assert await view.users.get(user.id) == user
        assert await view.users.find(user.email_key) == user
        assert await view.users.count() == 1


async def test_what_is_not_there(database):
    async with database.begin() as work:
        assert await work.users.get("x" * 11) is None
        assert await work.users.lock("x" * 11) is None
        assert await work.users.find("nobody@example.org") is None
        assert await work.users.page(after_email_key="", limit=5) == []
        assert await work.users.count() == 0
        assert not await work.users.charge("x" * 11, size=1, default=NO_LIMIT)
        await work.users.release("x" * 11, size=1)
        await work.users.set_password("x" * 11, password_hash="h")
        await work.users.remove("x" * 11)


async def test_what_is_set_is_set_for_that_account_alone(database):
    async with database.begin() as work:
        user, other = await add_user(work, 1), await add_user(work, 2)
        await work.users.set_password(user.id, password_hash="new")
        await work.users.set_role(user.id, role=Role.ADMIN)
        await work.users.set_active(user.id, active=False)
        await work.users.set_quota(user.id, quota_bytes=0, quota_files=3)
        expected = replace(user, password_hash="new", role=Role.ADMIN, is_active=False, quota_bytes=0, quota_files=3)
        assert await work.users.get(user.id) == expected
        assert await work.users.get(other.id) == other
        await work.users.set_quota(user.id, quota_bytes=None, quota_files=None)
        assert await work.users.get(user.id) == replace(expected, quota_bytes=None, quota_files=None)


class TestEmails:
    async def test_one_that_is_taken_spoils_nothing(self, database):
        async with database.begin() as work:
            user = await add_user(work, 1, email="padma@example.org")
            assert not await work.users.add(new_user(2, email="PADMA@EXAMPLE.ORG"))
            await add_user(work, 3)
        async with database.read() as view:
            assert await view.users.find("padma@example.org") == user
            assert await view.users.count() == 2

    async def test_an_id_that_is_taken_is_a_mistake_of_ours(self, database):
        with pytest.raises(IntegrityError):  # noqa: PT012 - the second one is what is refused
            async with database.begin() as work:
                await add_user(work, 1)
                await work.users.add(new_user(1, email="other@example.org"))

    async def test_of_many_that_register_one_together_one_gets_it(self, databases):
        async with open_twice(databases) as databases:

            async def register(number: int) -> bool:
                async with databases[number % 2].begin() as work:
                    return await work.users.add(new_user(number, email="padma@example.org"))

            results = await asyncio.gather(*(register(number) for number in range(20)))
            assert sorted(results) == [False] * 19 + [True]
            async with databases[0].read() as view:
                found = await view.users.find("padma@example.org")
                assert await view.users.count() == 1
        assert found is not None
        assert found.id == new_user(results.index(True)).id

    @pytest.mark.parametrize("limit", [1, 3, 100])
    async def test_pages_are_in_their_order(self, database, limit):
        emails = ["zoe@x.org", "anna@x.org", "émile@x.org", "bob@x.org", "Carl@x.org"]
        async with database.begin() as work:
            for number, email in enumerate(emails):
                await add_user(work, number, email=email)
            listed: list[str] = []
            while page := await work.users.page(after_email_key=listed[-1] if listed else "", limit=limit):
                assert len(page) <= limit
                listed += [user.email_key for user in page]
        assert listed == ["anna@x.org", "bob@x.org", "carl@x.org", "zoe@x.org", "émile@x.org"]


class TestCharging:
    @pytest.mark.parametrize(
        ("own", "default", "size", "fits"),
        [
            ((None, None), (100, 10), 60, True),
            ((None, None), (100, 10), 61, False),
            ((None, None), (100, 1), 1, False),
            ((None, None), (100, 2), 1, True),
            ((None, None), (0, 0), 2**40, True),
            ((None, None), (0, 1), 1, False),
            ((100, 2), (1, 1), 60, True),
            ((99, None), (0, 0), 60, False),
            ((None, 1), (0, 0), 0, False),
            ((0, 0), (1, 1), 2**40, True),
            ((1, 1), (0, 0), 1, False),
        ],
    )
    async def test_the_own_quota_goes_before_the_default_and_0_is_none(self, database, own, default, size, fits):
        async with database.begin() as work:
            user = await add_user(work, quota_bytes=own[0], quota_files=own[1], used_bytes=40, used_files=1)
            assert await work.users.charge(user.id, size=size, default=Quota(*default)) is fits
            found = await work.users.get(user.id)
        assert (found.used_bytes, found.used_files) == ((40 + size, 2) if fits else (40, 1))

    async def test_others_are_not_charged(self, database):
        async with database.begin() as work:
            user, other = await add_user(work, 1), await add_user(work, 2)
            assert await work.users.charge(user.id, size=5, default=NO_LIMIT)
            assert await work.users.get(other.id) == other

    async def test_who_may_not_come_in_may_not_keep(self, database):
        async with database.begin() as work:
            user = await add_user(work, is_active=False)
            assert not await work.users.charge(user.id, size=1, default=NO_LIMIT)
            assert await work.users.get(user.id) == user

    async def test_what_is_released_can_be_used_again(self, database):
        async with database.begin() as work:
            user = await add_user(work)
            for size in (30, 70):
                assert await work.users.charge(user.id, size=size, default=Quota(100, 2))
            assert not await work.users.charge(user.id, size=0, default=Quota(100, 2))
            await work.users.release(user.id, size=30)
            assert await work.users.charge(user.id, size=30, default=Quota(100, 2))
            await work.users.release(user.id, size=100, files=2)
            assert await work.users.get(user.id) == user

    async def test_a_count_that_went_wrong_stops_at_nothing(self, database):
        async with database.begin() as work:
            user = await add_user(work, used_bytes=10, used_files=2)
            await work.users.release(user.id, size=11, files=3)
            found = await work.users.get(user.id)
        assert (found.used_bytes, found.used_files) == (0, 0)

    async def test_what_is_rolled_back_was_not_charged(self, database):
        async with database.begin() as work:
            user = await add_user(work)
        with pytest.raises(LookupError):  # noqa: PT012 - the block as a whole fails, at its end
            async with database.begin() as work:
                assert await work.users.charge(user.id, size=5, default=NO_LIMIT)
                raise LookupError
        async with database.read() as view:
            assert await view.users.get(user.id) == user

    async def test_many_at_once_never_go_over_it(self, databases):
        async with open_twice(databases) as databases:
            async with databases[0].begin() as work:
                user = await add_user(work, quota_bytes=100, quota_files=7)

            async def upload(number: int) -> bool:
                async with databases[number % 2].begin() as work:
                    return await work.users.charge(user.id, size=10, default=NO_LIMIT)

            results = await asyncio.gather(*(upload(number) for number in range(30)))
            async with databases[1].read() as view:
                found = await view.users.get(user.id)
        assert results.count(True) == 7
        assert (found.used_bytes, found.used_files) == (70, 7)

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        own=st.tuples(st.none() | st.integers(0, 50), st.none() | st.integers(0, 5)),
        default=st.builds(Quota, st.integers(0, 50), st.integers(0, 5)),
        steps=st.lists(st.integers(-30, 30), max_size=12),
    )
    async def test_it_counts_as_a_person_would(self, database, own, default, steps):
        """Steps: sizes that are charged; a negative one releases the oldest file that is still there."""
        with pytest.raises(LookupError):  # noqa: PT012 - the block as a whole fails, at its end
            async with database.begin() as work:
                user = await add_user(work, quota_bytes=own[0], quota_files=own[1])
                quota, kept = user.quota(default), []
                for step in steps:
                    if step >= 0:
                        bytes_fit = not quota.bytes or sum(kept) + step <= quota.bytes
                        fits = bytes_fit and (not quota.files or len(kept) < quota.files)
                        assert await work.users.charge(user.id, size=step, default=default) is fits
                        kept += [step] if fits else []
                    elif kept:
                        await work.users.release(user.id, size=kept.pop(0))
                    found = await work.users.get(user.id)
                    assert (found.used_bytes, found.used_files) == (sum(kept), len(kept))
                raise LookupError  # Each example begins with an empty database again.


class TestRemoving:
    async def test_sessions_and_api_tokens_go_with_it(self, database):
        async with database.begin() as work:
            user, other = await add_user(work, 1), await add_user(work, 2)
            await add_session(work, 1, user=1)
            await add_api_token(work, 1, user=1)
            session, token = await add_session(work, 2, user=2), await add_api_token(work, 2, user=2)
            await work.users.remove(user.id)
            assert await work.users.get(user.id) is None
            assert not await work.sessions.remove("session" + "1".zfill(17), user_id=user.id)
            assert await work.api_tokens.of_user(user.id) == []
            assert await work.users.get(other.id) == other
            assert await work.sessions.of_user(other.id, now=other.created_at) == [session]
            assert await work.api_tokens.of_user(other.id) == [token]

    async def test_its_e_mail_is_free_again(self, database):
        async with database.begin() as work:
            user = await add_user(work, 1, email="padma@example.org")
            await work.users.remove(user.id)
            await add_user(work, 2, email="padma@example.org")

    async def test_not_while_it_owns_an_image(self, database):
        async with database.begin() as work:
            user = await add_user(work)
            blob = await add_blob(work)
            await add_image(work, 1, blob_id=blob.id, owner_id=user.id, delete_token_hash=None)
        with pytest.raises(IntegrityError):
            async with database.begin() as work:
                await work.users.remove(user.id)
        async with database.begin() as work:
            assert await work.images.disown(user.id) == ["image000001"]
            await work.users.remove(user.id)
            assert await work.images.count() == 1
