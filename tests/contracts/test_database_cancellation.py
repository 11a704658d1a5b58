"""Callers that go away in the middle of a transaction, on both databases."""

import asyncio
import contextlib

import pytest
from sqlalchemy import text

from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.errors import ServiceUnavailable
from tests.factories.rows import add_blob, add_image

#: Far longer than anybody waits here, on either of them.
ENDLESS = text(
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x % 1000 + 1 FROM n) SELECT count(*) FROM n WHERE x < 0"
)


async def count_blobs(database: SqlDatabase) -> int:
    async with database.read() as view:
        return (await view.blobs.counts()).live


class TestCancellation:
    """A coroutine that is cancelled at any await leaves neither an open transaction nor a connection of no use."""

    @pytest.mark.parametrize("awaits", range(14))
    async def test_at_every_await_of_a_transaction(self, database, awaits):
        effects = []

        async def effect() -> None:
            effects.append("ran")

        async def write() -> None:
            async with database.begin() as work:
                work.after_commit(effect)
                blob = await add_blob(work)
                await add_image(work, 1, blob_id=blob.id)

        task = asyncio.create_task(write())
        for _ in range(awaits):
            await _next_step(task)
        task.cancel()
        await asyncio.wait([task])
        kept = await count_blobs(database)
        # Either all of it or nothing, and the effects go with it.
        assert len(effects) == kept
        async with database.read() as view:
            assert await view.images.count() == kept
        async with database.begin() as work:
            await add_blob(work, "the writer is free")
        assert await count_blobs(database) == kept + 1

    async def test_while_a_statement_runs_stops_it(self, database):

        async def run() -> None:
            async with database.begin() as work:
                await add_blob(work)
                await work.blobs._statements.rows(ENDLESS)

        task = asyncio.create_task(run())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await count_blobs(database) == 0
        async with database.begin() as work:
            await add_blob(work)

    async def test_swallowing_it_does_not_keep_half_a_transaction(self, database):
        with pytest.raises(ServiceUnavailable):  # noqa: PT012 - the block as a whole fails, at its end
            async with database.begin() as work:
                await add_blob(work)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await work.blobs._statements.rows(ENDLESS)
        assert await count_blobs(database) == 0

    async def test_while_reading(self, database):
        async def read() -> None:
            async with database.read() as view:
                await view.blobs.counts()

        for awaits in range(6):
            task = asyncio.create_task(read())
            for _ in range(awaits):
                await _next_step(task)
            task.cancel()
            await asyncio.wait([task])
        async with database.read(), database.read():
            pass

    async def test_more_than_once(self, database):
        async def write() -> None:
            async with database.begin() as work:
                await add_blob(work)
                await asyncio.Event().wait()

        task = asyncio.create_task(write())
        await asyncio.sleep(0.05)
        task.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with database.begin() as work:
            await add_blob(work)
        assert await count_blobs(database) == 1


async def _next_step(task: asyncio.Task[None]) -> None:
    """Let the loop go round until a thread has answered once, or the task has ended."""
    await asyncio.wait([task], timeout=0.002)
