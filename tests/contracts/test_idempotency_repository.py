"""Idempotency keys: of many uploads with the same one, one goes on."""

import asyncio

import pytest

from chitram.domain.idempotency import MAX_KEY, IdempotencyKey, IdempotencyRecord
from chitram.ports.unit_of_work import UnitOfWork
from tests.factories.databases import open_twice
from tests.factories.rows import later

KEY = IdempotencyKey("user:00000000001", "k" * 16)
DAY = 24 * 3600


async def hold(work: UnitOfWork, holder: str, *, at: float = 0, key: IdempotencyKey = KEY) -> IdempotencyRecord:
    """Hold for a minute, keep for a day."""
    return await work.idempotency.hold(
        key, holder=holder, now=later(at), until=later(at + 60), expires_at=later(at + DAY)
    )


def held(holder: str, *, at: float = 0, key: IdempotencyKey = KEY) -> IdempotencyRecord:
    """What `hold` gives who gets it."""
    return IdempotencyRecord(key.scope, key.key_hash, holder, later(at + 60), later(at + DAY))


async def finish(work: UnitOfWork, holder: str, *, fingerprint: str = "f" * 64, key: IdempotencyKey = KEY) -> bool:
    return await work.idempotency.finish(key, holder=holder, fingerprint=fingerprint, image_id="image000001")


class TestHolding:
    async def test_the_first_one_gets_it(self, database):
        async with database.begin() as work:
            assert await hold(work, "a") == held("a")
            assert await hold(work, "b", at=59) == held("a")

    async def test_the_holder_may_prolong_it(self, database):
        async with database.begin() as work:
            await hold(work, "a")
            assert await hold(work, "a", at=30) == held("a", at=30)
            assert await hold(work, "b", at=60) == held("a", at=30)

    async def test_a_hold_that_ran_out_stands_in_nobodys_way(self, database):
        async with database.begin() as work:
            await hold(work, "a")
            assert await hold(work, "b", at=60) == held("b", at=60)
            assert await hold(work, "a", at=61) == held("b", at=60)

    @pytest.mark.parametrize(
        "other", [IdempotencyKey("address:192.0.2.1", KEY.key), IdempotencyKey(KEY.scope, KEY.key.upper())]
    )
    async def test_keys_of_others_and_other_keys_are_apart(self, database, other):
        async with database.begin() as work:
            await hold(work, "a")
            assert await hold(work, "b", key=other) == held("b", key=other)

    @pytest.mark.parametrize("text", ["\x00" * MAX_KEY, "\ud800" * MAX_KEY, "'; DROP TABLE users; --"])
    async def test_any_key_will_do(self, database, text):
        key = IdempotencyKey("address:" + "long" * 100, text)
        async with database.begin() as work:
            assert await hold(work, "a", key=key) == held("a", key=key)

    async def test_of_many_that_come_together_one_gets_it(self, databases):
        async with open_twice(databases) as databases:

            async def begin(number: int) -> tuple[str, str]:
                async with databases[number % 2].begin() as work:
                    return str(number), (await hold(work, str(number), at=number / 1000)).holder

            results = await asyncio.gather(*(begin(number) for number in range(20)))
        assert len({holder for _, holder in results}) == 1
        assert [mine for mine, holder in results if mine == holder] == [results[0][1]]


class TestFinishing:
    async def test_everybody_is_told_what_became_of_it(self, database):
        async with database.begin() as work:
            await hold(work, "a")
            assert await finish(work, "a")
            for holder in "ab":
                record = await hold(work, holder, at=3600)
                assert (record.holder, record.fingerprint, record.image_id) == ("a", "f" * 64, "image000001")
                assert record.expires_at == later(DAY)

    async def test_only_by_the_holder_and_once(self, database):
        async with database.begin() as work:
            assert not await finish(work, "a")
            await hold(work, "a")
            assert not await finish(work, "b")
            assert await finish(work, "a")
            assert not await finish(work, "a", fingerprint="g")
            assert (await hold(work, "a")).fingerprint == "f" * 64

    async def test_late_but_undisturbed(self, database):
        async with database.begin() as work:
            await hold(work, "a")
            assert await finish(work, "a")
            assert (await hold(work, "b", at=61)).image_id == "image000001"

    async def test_not_when_another_one_took_over(self, database):
        async with database.begin() as work:
            await hold(work, "a")
            await hold(work, "b", at=60)
            assert not await finish(work, "a")
            assert await finish(work, "b")

    async def test_the_other_keys_are_left_alone(self, database):
        other = IdempotencyKey(KEY.scope, "another key of theirs")
        async with database.begin() as work:
            await hold(work, "a")
            await hold(work, "a", key=other)
            assert await finish(work, "a")
            assert await hold(work, "b", key=other) == held("a", key=other)


class TestGivingUp:
    async def test_the_next_one_gets_it_at_once(self, database):
        async with database.begin() as work:
            await hold(work, "a")
            await work.idempotency.release(KEY, holder="b")
            assert (await hold(work, "b")).holder == "a"
            await work.idempotency.release(KEY, holder="a")
            assert (await hold(work, "b")).holder == "b"

    async def test_what_is_finished_stays(self, database):
        async with database.begin() as work:
            await hold(work, "a")
            await finish(work, "a")
            await work.idempotency.release(KEY, holder="a")
            assert (await hold(work, "b")).image_id == "image000001"


class TestExpiry:
    @pytest.mark.parametrize("finished", [False, True])
    async def test_an_expired_one_is_as_none(self, database, finished):
        async with database.begin() as work:
            await hold(work, "a")
            if finished:
                await finish(work, "a")
            assert await hold(work, "b", at=DAY) == held("b", at=DAY)

    async def test_expired_ones_are_forgotten_a_few_at_a_time(self, database):
        keys = [IdempotencyKey(f"user:{number % 2}", f"key number {number}") for number in range(6)]
        async with database.begin() as work:
            for number, key in enumerate(keys):
                await hold(work, "a", at=number, key=key)
                await finish(work, "a", key=key)
            assert await work.idempotency.remove_expired(now=later(DAY + 3), limit=3) == 3
            assert await work.idempotency.remove_expired(now=later(DAY + 3), limit=3) == 1
            assert await work.idempotency.remove_expired(now=later(DAY + 3), limit=3) == 0
            left = [key for key in keys if (await hold(work, "b", at=10, key=key)).image_id is not None]
        assert left == keys[4:]
