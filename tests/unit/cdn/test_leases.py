import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chitram.adapters.cdn.leases import LeasePurge
from chitram.adapters.cdn.records import PurgingRecordCache
from chitram.adapters.memory.cache import MemoryRecordCache
from chitram.adapters.memory.clock import ManualClock, SystemClock
from chitram.domain.leases import CLOCK_TOLERANCE, MAX_LEASE_SECONDS, lease_until, leases_over
from tests.unit.support.records import IMAGE_ID, make_record

MOMENTS = st.floats(1.7e9, 1.9e9)
SECONDS = st.integers(1, MAX_LEASE_SECONDS)


@given(decided=MOMENTS, before=st.floats(0, 10), seconds=SECONDS)
def test_a_lease_is_over_when_the_change_is_answered(decided: float, before: float, seconds: int):
    """nginx uses an answer as long as its own second is not later than the lease's."""
    change = decided + before
    assert int(leases_over(change, seconds=seconds)) > lease_until(decided, seconds=seconds)
    late_clock = leases_over(change, seconds=seconds) - CLOCK_TOLERANCE
    assert int(late_clock) > lease_until(decided, seconds=seconds)


@given(moment=MOMENTS, seconds=SECONDS)
def test_waiting_is_bounded_and_leases_are_of_use(moment: float, seconds: int):
    assert 0 < leases_over(moment, seconds=seconds) - moment <= seconds + CLOCK_TOLERANCE + 1e-6
    assert lease_until(moment, seconds=seconds) >= int(moment)


async def test_a_purge_returns_when_no_lease_is_left():
    clock = SystemClock()
    purge = LeasePurge(seconds=1, clock=clock)
    lease = lease_until(clock.now().timestamp(), seconds=1)
    await purge.purge([IMAGE_ID])
    assert int(time.time()) > lease


async def test_nothing_is_waited_for_nothing():
    await asyncio.wait_for(LeasePurge(seconds=3, clock=SystemClock()).purge([]), 0.05)


class Recorder:
    """A purge that takes note of what was still cached when it was asked."""

    def __init__(self, cache):
        self.cache, self.seen = cache, []

    async def purge(self, image_ids):
        self.seen.append((tuple(image_ids), await self.cache.get(IMAGE_ID)))


async def filled():
    clock = ManualClock()
    cache = MemoryRecordCache(max_entries=4, ttl=60, clock=clock, version=lambda: None)
    miss = await cache.get(IMAGE_ID)
    record = make_record()
    await cache.fill(IMAGE_ID, record, ticket=miss.ticket)
    return cache, record


async def test_records_go_before_the_caches_in_front():
    cache, record = await filled()
    recorder = Recorder(cache)
    wrapped = PurgingRecordCache(cache, purge=recorder)
    assert (wrapped.enabled, wrapped.backend, await wrapped.check()) == (True, cache.backend, True)
    assert await wrapped.get(IMAGE_ID) == record
    await wrapped.invalidate(name for name in [IMAGE_ID])
    ((ids, found),) = recorder.seen
    assert ids == (IMAGE_ID,)
    assert found != record
    miss = await wrapped.get(IMAGE_ID)
    await wrapped.fill(IMAGE_ID, record, ticket=miss.ticket)
    assert await wrapped.get(IMAGE_ID) == record


async def test_a_job_that_drops_waits_for_nobody():
    cache, record = await filled()
    recorder = Recorder(cache)
    wrapped = PurgingRecordCache(cache, purge=recorder)
    await wrapped.drop([IMAGE_ID])
    assert await wrapped.get(IMAGE_ID) != record
    await wrapped.clear()
    assert recorder.seen == []


class Failing:
    async def invalidate(self, image_ids):
        raise ConnectionError

    async def get(self, image_id):
        return None


async def test_caches_in_front_forget_even_when_the_record_cache_fails():
    recorder = Recorder(Failing())
    with pytest.raises(ConnectionError):
        await PurgingRecordCache(Failing(), purge=recorder).invalidate([IMAGE_ID])
    assert recorder.seen == [((IMAGE_ID,), None)]
