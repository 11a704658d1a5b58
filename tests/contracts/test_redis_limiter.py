"""Limits that are counted in Redis: exact for all processes together, and each for itself while it is away."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chitram.adapters.memory.clock import ManualClock, SystemClock
from chitram.adapters.memory.limiter import MemoryLimiter
from chitram.adapters.redis.client import RedisUnavailableError
from chitram.adapters.redis.limiter import FallbackLimiter, RedisLimiter
from chitram.ports.limiter import Rate
from tests.factories.redis_clients import redis_client
from tests.services.chaos import chaos
from tests.services.processes import free_port, running
from tests.services.valkey import Valkey

pytestmark = pytest.mark.slow

RATE = Rate("upload", 3, 60)
#: Subjects that would mean something to Redis, to a log or to a person.
STRANGE = ["a:b", "test:limit:upload:x", "{x}", "a\r\nFLUSHALL\r\n", "", "చి" * 1000, "padmaja@example.org", "192.0.2.7"]


@pytest.fixture
async def limiter(valkey: Valkey) -> AsyncIterator[RedisLimiter]:
    valkey.ask("FLUSHALL")
    async with redis_client(valkey.url) as client:
        yield RedisLimiter(client, prefix="test")


async def test_processes_share_the_budget(valkey: Valkey):
    valkey.ask("FLUSHALL")
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(redis_client(valkey.url)) for _ in range(3)]
        limiters = [RedisLimiter(client, prefix="test") for client in clients]
        verdicts = await asyncio.gather(*(limiters[n % 3].hit(RATE, subject="a") for n in range(60)))
        assert sum(verdict.allowed for verdict in verdicts) == RATE.limit
        looked = await limiters[2].peek(RATE, subject="a")
        assert (looked.allowed, looked.remaining) == (False, 0)


async def test_by_the_clock_of_redis_it_ends(limiter: RedisLimiter):
    rate = Rate("short", 1, 1)
    assert (await limiter.hit(rate, subject="a")).allowed
    refused = await limiter.hit(rate, subject="a")
    assert not refused.allowed
    assert 0 < refused.retry_after <= 1
    deadline = time.monotonic() + 20
    while not (await limiter.peek(rate, subject="a")).allowed:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert (await limiter.hit(rate, subject="a")).allowed


async def test_keys_go_by_themselves_and_tell_nothing(limiter: RedisLimiter, valkey: Valkey):
    for subject in STRANGE:
        await limiter.hit(RATE, subject=subject)
        await limiter.peek(Rate("other", 3, 60), subject=subject)
    keys = [line for line in keys_of(valkey) if line]
    assert len(keys) == len(STRANGE)
    for key in keys:
        prefix, _, name = key.rpartition(":")
        assert prefix == "test:limit:upload"
        assert len(name) == 32
        assert int(name, 16)
        assert 0 < int(valkey.ask("PTTL", key)[1:]) <= RATE.window * 1000


def keys_of(valkey: Valkey) -> list[str]:
    return valkey.ask("EVAL", "return table.concat(redis.call('KEYS', '*'), ' ')", 0).split(" ")


async def test_a_clock_of_redis_that_is_set_back_locks_nobody_out(valkey: Valkey):
    valkey.ask("FLUSHALL")
    now = [10_000_000.0]
    async with redis_client(valkey.url) as client:
        limiter = RedisLimiter(client, prefix="test", now=lambda: now[0])
        for _ in range(3):
            assert (await limiter.hit(RATE, subject="a")).allowed
            now[0] += 10
        now[0] -= 5_000_000
        refused = await limiter.hit(RATE, subject="a")
        assert (refused.allowed, refused.retry_after) == (False, 40.0)
        now[0] += 40
        assert (await limiter.hit(RATE, subject="a")).allowed
        assert not (await limiter.hit(RATE, subject="a")).allowed


async def test_no_window_ever_holds_more_than_the_limit(valkey: Valkey):
    async with redis_client(valkey.url) as client:
        loop = asyncio.get_running_loop()

        @settings(max_examples=20, deadline=None)
        @given(gaps=st.lists(st.integers(0, 50_000_000), max_size=30), limit=st.integers(1, 4))
        def check(gaps: list[int], limit: int) -> None:
            asyncio.run_coroutine_threadsafe(walk(gaps, limit), loop).result()

        async def walk(gaps: list[int], limit: int) -> None:
            await client.call("FLUSHALL")
            now, passed, rate = 1_000_000, [], Rate("r", limit, 60)
            limiter = RedisLimiter(client, prefix="test", now=lambda: now / 1_000_000)
            for gap in gaps:
                now += gap
                inside = [moment for moment in passed if moment > now - 60_000_000]
                verdict = await limiter.hit(rate, subject="a")
                assert verdict.allowed == (len(inside) < limit)
                if verdict.allowed:
                    passed.append(now)

        await asyncio.to_thread(check)


async def test_without_redis_there_is_no_verdict():
    async with redis_client(f"redis://127.0.0.1:{free_port()}") as client:
        limiter = RedisLimiter(client, prefix="test")
        with pytest.raises(RedisUnavailableError):
            await limiter.hit(RATE, subject="a")
        with pytest.raises(RedisUnavailableError):
            await limiter.peek(RATE, subject="a")


async def test_each_counts_for_itself_while_redis_is_away(valkey: Valkey):
    valkey.ask("FLUSHALL")
    changes: list[bool] = []
    with chaos(valkey.port) as proxy:
        async with redis_client(valkey.url_through(proxy.port)) as client:
            own = MemoryLimiter(clock=ManualClock())
            limiter = FallbackLimiter(RedisLimiter(client, prefix="test"), own, on_change=changes.append)
            for _ in range(2):
                assert (await limiter.hit(RATE, subject="a")).allowed
            assert (limiter.backend, changes) == ("redis", [])
            proxy.reset(refuse=True)
            proxy.drop()
            verdicts = [await limiter.hit(RATE, subject="a") for _ in range(4)]
            assert [verdict.allowed for verdict in verdicts] == [True, True, True, False]
            assert not (await limiter.peek(RATE, subject="a")).allowed
            assert (limiter.backend, changes) == ("memory", [True])
            proxy.reset()
            deadline = time.monotonic() + 20
            while limiter.backend != "redis":
                assert time.monotonic() < deadline
                await limiter.peek(RATE, subject="b")
                await asyncio.sleep(0.05)
            assert changes == [True, False]
            # What was counted there before counts on.
            assert (await limiter.peek(RATE, subject="a")).remaining == 1


async def test_without_room_each_counts_for_itself(tmp_path):
    with running(Valkey(tmp_path, maxmemory="1", maxmemory_policy="noeviction")) as service:
        assert isinstance(service, Valkey)
        async with redis_client(service.url) as client:
            own = MemoryLimiter(clock=SystemClock())
            limiter = FallbackLimiter(RedisLimiter(client, prefix="test"), own, on_change=lambda _: None)
            verdicts = [await limiter.hit(RATE, subject="a") for _ in range(4)]
            assert [verdict.allowed for verdict in verdicts] == [True, True, True, False]
            assert limiter.backend == "memory"
