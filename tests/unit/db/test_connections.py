import asyncio

import pytest

from chitram.adapters.db.connections import uninterrupted


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
