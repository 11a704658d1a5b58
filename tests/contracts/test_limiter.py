"""What every limiter promises."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chitram.adapters.memory.clock import ManualClock
from chitram.adapters.memory.limiter import DisabledLimiter, MemoryLimiter
from chitram.adapters.redis.limiter import RedisLimiter
from chitram.ports.limiter import Limiter, Rate
from tests.factories.redis_clients import redis_client
from tests.services.valkey import Valkey

RATE = Rate("upload", 3, 60)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.slow)])
async def limiter(request: pytest.FixtureRequest, clock: ManualClock, valkey: Valkey) -> AsyncIterator[Limiter]:
    if request.param == "memory":
        yield MemoryLimiter(clock=clock)
        return
    valkey.ask("FLUSHALL")
    async with redis_client(valkey.url) as client:
        yield RedisLimiter(client, prefix="test", now=clock.monotonic)


def after(clock: ManualClock, seconds: float) -> None:
    clock.advance(timedelta(seconds=seconds))


async def test_as_many_as_the_limit_pass_and_no_more(limiter: Limiter):
    verdicts = [await limiter.hit(RATE, subject="a") for _ in range(5)]
    assert [v.allowed for v in verdicts] == [True, True, True, False, False]
    assert [v.remaining for v in verdicts] == [2, 1, 0, 0, 0]
    assert [v.retry_after > 0 for v in verdicts] == [False, False, False, True, True]
    assert all(v.rate == RATE and 0 < v.reset <= RATE.window for v in verdicts)


async def test_the_window_slides(limiter: Limiter, clock: ManualClock):
    for _ in range(3):
        assert (await limiter.hit(RATE, subject="a")).allowed
        after(clock, 10)
    refused = await limiter.hit(RATE, subject="a")
    assert (refused.allowed, refused.retry_after) == (False, 30.0)
    after(clock, 29)
    assert not (await limiter.hit(RATE, subject="a")).allowed
    after(clock, 1)
    assert (await limiter.hit(RATE, subject="a")).allowed
    assert not (await limiter.hit(RATE, subject="a")).allowed


async def test_refused_requests_do_not_count(limiter: Limiter, clock: ManualClock):
    for _ in range(100):
        await limiter.hit(RATE, subject="a")
        after(clock, 0.5)
    after(clock, 10)
    assert (await limiter.hit(RATE, subject="a")).allowed


async def test_who_waits_as_told_gets_through(limiter: Limiter, clock: ManualClock):
    for gap in (0.1, 7.3, 20.7):
        await limiter.hit(RATE, subject="a")
        after(clock, gap)
    refused = await limiter.hit(RATE, subject="a")
    after(clock, refused.retry_after + 0.001)
    assert (await limiter.hit(RATE, subject="a")).allowed


async def test_subjects_and_budgets_are_apart(limiter: Limiter):
    other = Rate("login", 3, 60)
    for _ in range(3):
        await limiter.hit(RATE, subject="a")
    assert not (await limiter.hit(RATE, subject="a")).allowed
    assert (await limiter.hit(RATE, subject="b")).allowed
    assert (await limiter.hit(other, subject="a")).allowed


async def test_a_limit_of_nothing_lets_nothing_through(limiter: Limiter):
    verdict = await limiter.hit(Rate("upload", 0, 60), subject="a")
    assert (verdict.allowed, verdict.remaining, verdict.retry_after) == (False, 0, 60.0)


async def test_concurrent_requests_share_the_budget(limiter: Limiter):
    verdicts = await asyncio.gather(*(limiter.hit(RATE, subject="a") for _ in range(50)))
    assert sum(v.allowed for v in verdicts) == 3


@pytest.mark.parametrize("hours", [-1, 1, -8760])
async def test_setting_the_clock_neither_locks_out_nor_lets_in(limiter: Limiter, clock: ManualClock, hours: int):
    for _ in range(3):
        await limiter.hit(RATE, subject="a")
    clock.jump(timedelta(hours=hours))
    refused = await limiter.hit(RATE, subject="a")
    assert (refused.allowed, refused.retry_after) == (False, 60.0)
    after(clock, 60)
    assert (await limiter.hit(RATE, subject="a")).allowed


@settings(max_examples=60, deadline=None)
@given(gaps=st.lists(st.floats(0, 50, allow_nan=False), max_size=60), limit=st.integers(1, 5))
async def test_no_window_ever_holds_more_than_the_limit(gaps: list[float], limit: int):
    clock = ManualClock()
    limiter = MemoryLimiter(clock=clock)
    rate = Rate("r", limit, 60)
    passed: list[float] = []
    for gap in gaps:
        after(clock, gap)
        now = clock.monotonic()
        inside = [t for t in passed if t > now - 60]
        verdict = await limiter.hit(rate, subject="a")
        assert verdict.allowed == (len(inside) < limit)
        if verdict.allowed:
            passed.append(now)


async def test_subjects_that_are_quiet_are_forgotten(clock: ManualClock):
    limiter = MemoryLimiter(clock=clock)
    for n in range(1000):
        await limiter.hit(RATE, subject=f"{n}")
    assert limiter.subjects == 1000
    after(clock, 61)
    for n in range(1001):
        await limiter.hit(RATE, subject=f"again {n % 2}")
    assert limiter.subjects == 2


async def test_the_table_is_bounded_and_who_was_counted_longest_ago_goes(clock: ManualClock):
    limiter = MemoryLimiter(clock=clock, max_subjects=10)
    for n in range(100):
        await limiter.hit(RATE, subject=f"{n}")
        await limiter.hit(RATE, subject="busy")
    assert limiter.subjects == 10
    assert not (await limiter.hit(RATE, subject="busy")).allowed


async def test_a_limiter_that_is_off_lets_everything_through():
    limiter = DisabledLimiter()
    verdicts = [await limiter.hit(RATE, subject="a") for _ in range(10)]
    assert all(v.allowed and v.remaining == 3 and v.retry_after == 0 for v in verdicts)
    assert limiter.backend == "disabled"


async def test_a_limiter_has_a_name(limiter: Limiter):
    assert limiter.backend in ("memory", "redis")


async def test_a_look_counts_nothing(limiter: Limiter):
    for _ in range(10):
        verdict = await limiter.peek(RATE, subject="a")
        assert (verdict.allowed, verdict.remaining, verdict.retry_after) == (True, 3, 0.0)
    assert [(await limiter.hit(RATE, subject="a")).allowed for _ in range(4)] == [True, True, True, False]


async def test_a_look_says_what_a_request_would_be_told(limiter: Limiter, clock: ManualClock):
    for number in range(3):
        assert (await limiter.peek(RATE, subject="a")).remaining == 3 - number
        await limiter.hit(RATE, subject="a")
        after(clock, 10)
    looked = await limiter.peek(RATE, subject="a")
    assert (looked.allowed, looked.remaining, looked.retry_after, looked.rate) == (False, 0, 30.0, RATE)
    assert looked == await limiter.hit(RATE, subject="a")
    after(clock, 29)
    assert not (await limiter.peek(RATE, subject="a")).allowed
    after(clock, 1)
    assert (await limiter.peek(RATE, subject="a")).allowed
    assert (await limiter.peek(RATE, subject="b")).remaining == 3


async def test_a_look_at_a_limit_of_nothing(limiter: Limiter):
    verdict = await limiter.peek(Rate("upload", 0, 60), subject="a")
    assert (verdict.allowed, verdict.remaining, verdict.retry_after) == (False, 0, 60.0)


async def test_a_look_leaves_no_trace(clock: ManualClock):
    limiter = MemoryLimiter(clock=clock, max_subjects=2)
    for n in range(100):
        await limiter.peek(RATE, subject=f"{n}")
    assert limiter.subjects == 0


async def test_a_limiter_that_is_off_has_nothing_to_look_at():
    verdict = await DisabledLimiter().peek(Rate("upload", 0, 60), subject="a")
    assert (verdict.allowed, verdict.retry_after) == (True, 0.0)
