"""What is SQLite's own: one writer, a file that may be gone, another process that writes."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from chitram.adapters.db.sqlite import open_sqlite
from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.errors import ServiceUnavailable
from tests.factories.databases import copy_migrated, database_url, open_migrated
from tests.factories.rows import add_blob


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


class TestReaders:
    async def test_readers_beyond_the_pool_wait_and_are_turned_away(self, database):
        async with database.read(), database.read():
            with pytest.raises(ServiceUnavailable) as caught:
                async with database.read():
                    raise AssertionError
            assert caught.value.retry_after == 1
        assert await count_blobs(database) == 0


class TestContention:
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
        options = open_sqlite.__kwdefaults__
        assert options["connection_wait"] + options["busy_timeout"] < 1


class TestCheck:
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
            await open_sqlite(url=database_url(path))

    async def test_a_file_that_is_not_migrated(self, path):
        path.touch()
        with pytest.raises(OperationalError, match="no such table"):
            await open_sqlite(url=database_url(path))

    async def test_closing_leaves_one_file_and_no_thread(self, path):
        async with open_migrated(path) as database, database.begin() as work:
            await add_blob(work)
        assert [file.name for file in path.parent.iterdir()] == [path.name]
        for thread in threading.enumerate():
            if thread.name.startswith("database-"):
                thread.join(5)
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("database-")]


class TestCancellation:
    async def test_while_waiting_for_the_writer(self, database):
        async def write() -> None:
            async with database.begin() as work:
                await add_blob(work)

        async with database.begin():
            task = asyncio.create_task(write())
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await write()
        assert await count_blobs(database) == 1
