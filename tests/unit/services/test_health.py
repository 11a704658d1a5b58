"""Health: what a report says, how long it takes at most, and that probes are no load."""

import asyncio
from datetime import timedelta

import pytest

from chitram.adapters.memory.cache import DisabledRecordCache, MemoryRecordCache
from chitram.adapters.memory.clock import ManualClock
from chitram.domain.errors import ServiceUnavailable, StorageFull, StorageUnavailable
from chitram.services import health
from chitram.services.health import Health, Report, Status


class Part:
    """A database or a store that answers as it is told."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.hanging: asyncio.Event | None = None

    async def check(self) -> None:
        self.asked += 1
        if self.hanging is not None:
            await self.hanging.wait()
        if self.error is not None:
            raise self.error


class Setting:
    def __init__(self, *, cache=True, jobs=True) -> None:
        self.clock, self.database, self.store, self.room = ManualClock(), Part(), Part(), Part()
        memory = MemoryRecordCache(max_entries=10, ttl=60, clock=self.clock)
        self.health = Health(
            database=self.database,
            blobs=self.store,
            cache=memory if cache else DisabledRecordCache(),
            require_room=self.room.check,
            jobs_alive=lambda: jobs,
            clock=self.clock,
        )


@pytest.mark.parametrize(
    ("report", "status"),
    [
        (Report(database=True, storage=True, room=True, cache=True, jobs=True), Status.HEALTHY),
        (Report(database=True, storage=True, room=True, cache=None, jobs=True), Status.HEALTHY),
        (Report(database=True, storage=True, room=True, cache=False, jobs=True), Status.DEGRADED),
        (Report(database=True, storage=True, room=True, cache=True, jobs=False), Status.DEGRADED),
        (Report(database=True, storage=True, room=False, cache=True, jobs=True), Status.DEGRADED),
        (Report(database=False, storage=True, room=True, cache=True, jobs=True), Status.UNHEALTHY),
        (Report(database=True, storage=False, room=True, cache=False, jobs=False), Status.UNHEALTHY),
    ],
)
def test_what_can_be_missed_degrades_and_what_cannot_is_unhealthy(report, status):
    assert report.status is status


async def test_a_report_asks_every_part():
    there = Setting()
    assert await there.health.report() == Report(database=True, storage=True, room=True, cache=True, jobs=True)
    without = Setting(cache=False, jobs=False)
    assert await without.health.report() == Report(database=True, storage=True, room=True, cache=None, jobs=False)


async def test_parts_that_fail():
    there = Setting()
    there.database.error, there.store.error = ServiceUnavailable(), StorageUnavailable()
    report = await there.health.report()
    assert (report.database, report.storage, report.status) == (False, False, Status.UNHEALTHY)


@pytest.mark.parametrize("part", ["database", "store", "room"])
async def test_a_full_disk_is_no_outage(part):
    there = Setting()
    getattr(there, part).error = StorageFull()
    report = await there.health.report()
    assert (report.database, report.storage, report.room, report.status) == (True, True, False, Status.DEGRADED)


async def test_a_part_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(health, "CHECK_TIMEOUT", 0.01)
    there = Setting()
    there.database.hanging = asyncio.Event()
    report = await there.health.report()
    assert (report.database, report.storage) == (False, True)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("database", Report(database=False, storage=True, room=True, cache=True, jobs=True)),
        ("store", Report(database=True, storage=False, room=True, cache=True, jobs=True)),
        ("room", Report(database=True, storage=True, room=False, cache=True, jobs=True)),
    ],
)
async def test_a_defect_of_ours_is_no_health_and_no_reason_not_to_answer(part, expected, caplog):
    there = Setting()
    getattr(there, part).error = RuntimeError("a bug")
    assert await there.health.report() == expected
    assert "RuntimeError: a bug" in caplog.text


async def test_nor_is_one_of_the_cache(caplog, monkeypatch):
    async def defective(_cache: MemoryRecordCache) -> bool:
        raise RuntimeError("a bug")

    monkeypatch.setattr(MemoryRecordCache, "check", defective)
    report = await Setting().health.report()
    assert (report.cache, report.status) == (False, Status.DEGRADED)
    assert "RuntimeError: a bug" in caplog.text


async def test_what_is_foreseen_is_not_logged_at_each_probe(caplog):
    there = Setting()
    there.database.error = ServiceUnavailable()
    await there.health.report()
    assert caplog.text == ""


async def test_a_result_stands_for_a_second():
    there = Setting()
    for _ in range(50):
        await there.health.report()
    assert there.database.asked == 1
    there.clock.advance(timedelta(seconds=health.FRESH))
    await there.health.report()
    assert there.database.asked == 1
    there.clock.advance(timedelta(seconds=0.1))
    there.database.error = ServiceUnavailable()
    assert (await there.health.report()).database is False
    assert there.database.asked == 2


async def test_many_probes_at_a_time_share_one_check():
    there = Setting()
    there.database.hanging = asyncio.Event()
    probes = [asyncio.create_task(there.health.report()) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    there.clock.advance(timedelta(seconds=10))
    probes.append(asyncio.create_task(there.health.report()))
    await asyncio.sleep(0)
    probes[0].cancel()
    there.database.hanging.set()
    with pytest.raises(asyncio.CancelledError):
        await probes[0]
    assert {await probe for probe in probes[1:]} == {
        Report(database=True, storage=True, room=True, cache=True, jobs=True)
    }
    assert there.database.asked == 1


async def test_a_failure_that_comes_after_the_check_was_given_up_is_looked_at(monkeypatch):
    monkeypatch.setattr(health, "CHECK_TIMEOUT", 0.01)
    there = Setting()
    unwilling = asyncio.Event()

    async def late_failure() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            unwilling.set()
            raise ServiceUnavailable

    there.database.check = late_failure
    assert (await there.health.report()).database is False
    await unwilling.wait()
    await asyncio.sleep(0)
