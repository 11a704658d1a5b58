"""Transactions: what is kept, what is not, and what happens when the database cannot."""

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.errors import ServiceUnavailable
from tests.factories.databases import copy_migrated, database_url, open_migrated
from tests.factories.rows import add_blob, add_image, new_blob


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chitram.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqlDatabase]:
    async with open_migrated(path, connection_wait=0.3, busy_timeout=0.1) as opened:
        yield opened


async def count_blobs(database: SqlDatabase) -> int:
    async with database.read() as view:
        return (await view.blobs.counts()).live


@contextlib.contextmanager
def other_writer(path: Path):
    """Another process's transaction, as far as SQLite can tell."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.rollback()


class TestCommit:
    async def test_a_block_that_ends_is_kept(self, database, path):
        async with database.begin() as work:
            await add_blob(work)
        assert await count_blobs(database) == 1
        await database.aclose()
        again = await SqlDatabase.open(url=database_url(path))
        assert await count_blobs(again) == 1
        await again.aclose()

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

    async def test_readers_beyond_the_pool_wait_and_are_turned_away(self, database):
        async with database.read(), database.read():
            with pytest.raises(ServiceUnavailable) as caught:
                async with database.read():
                    raise AssertionError
            assert caught.value.retry_after == 1
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

    async def test_a_failing_or_hanging_effect_is_logged_and_counted_and_the_others_run(self, path, caplog):
        failures: list[BaseException] = []
        seen = []

        async def fail() -> None:
            raise LookupError

        async def hang() -> None:
            await asyncio.Event().wait()

        async def effect() -> None:
            seen.append("ran")

        async with open_migrated(path, effect_timeout=0.05, on_effect_failure=failures.append) as database:
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
    async def test_writers_take_turns(self, path):
        async with open_migrated(path, connection_wait=30) as database:
            await self.write_at_once(database)

    async def write_at_once(self, database: SqlDatabase) -> None:
        async def write(number: int) -> None:
            async with database.begin() as work:
                await add_blob(work, number)

        await asyncio.gather(*(write(number) for number in range(8)))
        assert await count_blobs(database) == 8

    async def test_whoever_waits_too_long_for_the_writer_is_turned_away(self, database):
        async with database.begin() as work:
            with pytest.raises(ServiceUnavailable) as caught:
                async with database.begin():
                    raise AssertionError
            await add_blob(work)
        assert caught.value.retry_after == 1
        assert await count_blobs(database) == 1

    async def test_another_process_that_writes_is_waited_for_a_little(self, database, path):
        with other_writer(path):
            with pytest.raises(ServiceUnavailable) as caught:
                async with database.begin():
                    raise AssertionError
            assert caught.value.retry_after == 1
            assert "locked" not in caught.value.message
            assert await count_blobs(database) == 0
        async with database.begin() as work:
            await add_blob(work)

    async def test_the_waits_together_are_below_a_second(self):
        options = SqlDatabase.open.__func__.__kwdefaults__
        assert options["connection_wait"] + options["busy_timeout"] < 1


class TestCheck:
    async def test_a_database_that_answers(self, database):
        await database.check()

    async def test_a_file_that_is_gone(self, database, path):
        path.unlink()
        with pytest.raises(ServiceUnavailable):
            await database.check()

    async def test_another_file_in_its_place(self, database, path):
        path.rename(path.with_name("moved.db"))
        copy_migrated(path)
        with pytest.raises(ServiceUnavailable):
            await database.check()

    async def test_no_file_at_the_start(self, path):
        with pytest.raises(ServiceUnavailable):
            await SqlDatabase.open(url=database_url(path))

    async def test_a_file_that_is_not_migrated(self, path):
        path.touch()
        with pytest.raises(OperationalError, match="no such table"):
            await SqlDatabase.open(url=database_url(path))

    async def test_a_closed_database(self, path):
        async with open_migrated(path) as database:
            pass
        for attempt in (database.begin, database.read):
            with pytest.raises(ServiceUnavailable):
                async with attempt():
                    raise AssertionError
        with pytest.raises(ServiceUnavailable):
            await database.check()

    async def test_closing_leaves_one_file_and_no_thread(self, path):
        async with open_migrated(path) as database, database.begin() as work:
            await add_blob(work)
        assert [file.name for file in path.parent.iterdir()] == [path.name]
        for thread in threading.enumerate():
            if thread.name.startswith("database-"):
                thread.join(5)
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("database-")]
