"""Transactions: what is kept, what is not, and what happens after a commit, on both databases."""

import asyncio
import logging

import pytest
from sqlalchemy.exc import IntegrityError

from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.errors import ServiceUnavailable
from tests.factories.rows import add_blob, add_image, new_blob


async def count_blobs(database: SqlDatabase) -> int:
    async with database.read() as view:
        return (await view.blobs.counts()).live


class TestCommit:
    async def test_a_block_that_ends_is_kept(self, databases):
        url = databases.new()
        async with databases.open(url) as database:
            async with database.begin() as work:
                await add_blob(work)
            assert await count_blobs(database) == 1
        async with databases.open(url) as again:
            assert await count_blobs(again) == 1

    async def test_a_block_that_raises_leaves_nothing(self, database):
        with pytest.raises(LookupError):  # noqa: PT012 - the block as a whole fails, at its end
            async with database.begin() as work:
                await add_blob(work)
                raise LookupError
        assert await count_blobs(database) == 0
        async with database.begin() as work:
            await add_blob(work)
        assert await count_blobs(database) == 1

    async def test_nobody_sees_it_before(self, database):
        async with database.begin() as work:
            await add_blob(work)
            assert (await work.blobs.counts()).live == 1
            assert await count_blobs(database) == 0

    async def test_our_own_mistakes_are_not_disguised(self, database):
        with pytest.raises(IntegrityError):
            async with database.begin() as work:
                await add_image(work, 1, blob_id=404)
        async with database.begin() as work:
            await add_blob(work)

    async def test_a_unit_of_work_is_of_no_use_afterwards(self, database):
        async with database.begin() as work:
            pass
        async with database.read() as view:
            pass
        for repositories in (work, view):
            with pytest.raises(RuntimeError, match="over"):
                await repositories.blobs.get(1)


class TestRead:
    async def test_a_view_is_of_one_moment(self, database):
        async with database.read() as view:
            assert (await view.blobs.counts()).live == 0
            async with database.begin() as work:
                await add_blob(work)
            assert (await view.blobs.counts()).live == 0
        assert await count_blobs(database) == 1

    async def test_nothing_can_be_written_through_it(self, database):
        with pytest.raises(ServiceUnavailable):
            async with database.read() as view:
                await view.blobs.add(new_blob(), pipeline_version=1)
        assert await count_blobs(database) == 0


class TestAfterCommit:
    async def test_effects_run_in_order_once_the_change_can_be_seen(self, database):
        seen = []

        async def effect(name: str) -> None:
            seen.append((name, await count_blobs(database)))

        async with database.begin() as work:
            await add_blob(work)
            work.after_commit(lambda: effect("first"))
            work.after_commit(lambda: effect("second"))
            assert seen == []
        assert seen == [("first", 1), ("second", 1)]

    async def test_effects_may_begin_transactions_of_their_own(self, database):
        async def effect() -> None:
            async with database.begin() as work:
                await add_blob(work, "other")

        async with database.begin() as work:
            work.after_commit(effect)
        assert await count_blobs(database) == 1

    async def test_effects_are_dropped_with_the_transaction(self, database):
        seen = []

        async def effect() -> None:
            seen.append("ran")

        with pytest.raises(LookupError):  # noqa: PT012 - the block as a whole fails, at its end
            async with database.begin() as work:
                work.after_commit(effect)
                raise LookupError
        async with database.begin():
            pass
        assert seen == []

    async def test_a_failing_or_hanging_effect_is_logged_and_counted_and_the_others_run(self, databases, caplog):
        failures: list[BaseException] = []
        seen = []

        async def fail() -> None:
            raise LookupError

        async def hang() -> None:
            await asyncio.Event().wait()

        async def effect() -> None:
            seen.append("ran")

        async with databases.open(effect_timeout=0.05, on_effect_failure=failures.append) as database:
            with caplog.at_level(logging.ERROR):
                async with database.begin() as work:
                    await add_blob(work)
                    for each in (fail, hang, effect):
                        work.after_commit(each)
            assert await count_blobs(database) == 1
        assert [type(failure) for failure in failures] == [LookupError, TimeoutError]
        assert len(caplog.records) == 2
        assert seen == ["ran"]

    async def test_nobody_need_listen_for_failures(self, database):
        async def fail() -> None:
            raise LookupError

        async with database.begin() as work:
            work.after_commit(fail)


class TestContention:
    async def test_writers_take_turns(self, databases):
        async with databases.open(patient=True) as database:
            await self.write_at_once(database)

    async def write_at_once(self, database: SqlDatabase) -> None:
        async def write(number: int) -> None:
            async with database.begin() as work:
                await add_blob(work, number)

        await asyncio.gather(*(write(number) for number in range(8)))
        assert await count_blobs(database) == 8


class TestCheck:
    async def test_a_database_that_answers(self, database):
        await database.check()

    async def test_a_closed_database(self, databases):
        async with databases.open() as database:
            pass
        for attempt in (database.begin, database.read):
            with pytest.raises(ServiceUnavailable):
                async with attempt():
                    raise AssertionError
        with pytest.raises(ServiceUnavailable):
            await database.check()

    async def test_its_name_is_its_own_and_stays(self, databases):
        url = databases.new()
        async with databases.open(url) as one, databases.open(url) as two:
            assert await one.identity() == await two.identity() != ""
