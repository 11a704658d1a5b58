import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from chitram.adapters.db.cancellation import uninterrupted
from chitram.adapters.db.connections import ConnectionThread
from chitram.adapters.db.engine import create_file, writer_engine


async def test_the_result_and_the_failure_come_through():
    async def give() -> int:
        return 7

    async def fail() -> None:
        raise LookupError

    assert await uninterrupted(give()) == 7
    with pytest.raises(LookupError):
        await uninterrupted(fail())


@pytest.mark.parametrize("failing", [False, True])
async def test_a_cancellation_waits_for_the_end_and_goes_before_a_failure(failing):
    done = []
    go_on = asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        done.append("whole")
        if failing:
            raise LookupError

    task = asyncio.create_task(uninterrupted(work()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["whole"]


async def test_work_that_is_cancelled_itself_is_cancelled():
    started: list[asyncio.Task[None]] = []

    async def work() -> None:
        current = asyncio.current_task()
        assert current is not None
        started.append(current)
        await asyncio.Event().wait()

    task = asyncio.create_task(uninterrupted(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    started[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture
async def thread(tmp_path: Path) -> AsyncIterator[ConnectionThread]:
    create_file(tmp_path / "a.db")
    engine = writer_engine(tmp_path / "a.db")
    opened = ConnectionThread(engine, name="test")
    yield opened
    await opened.aclose()
    engine.dispose()


async def answer(thread: ConnectionThread) -> int:
    return await thread.run(lambda connection: connection.execute(text("SELECT 7")).scalar_one())


async def test_there_is_nothing_to_interrupt_or_roll_back_before_the_first_use(thread):
    thread.interrupt()
    await thread.rollback()
    assert await answer(thread) == 7


async def test_interrupting_what_is_closed_does_no_harm(thread):
    await answer(thread)
    thread._driver_connection.close()
    thread.interrupt()


async def test_a_connection_that_cannot_roll_back_is_replaced(thread):
    await answer(thread)
    broken = thread._driver_connection
    broken.close()
    await thread.rollback()
    assert await answer(thread) == 7
    assert thread._driver_connection is not broken
