"""The client of Redis: short waits, no answer that is another's, and Redis may be away at any moment."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import pytest
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import ResponseError

from chitram.adapters.breaker import BreakerState
from chitram.adapters.memory.clock import ManualClock
from chitram.adapters.redis.client import CONNECTIONS, FAILURES, RedisClient, RedisUnavailableError
from chitram.adapters.redis.links import Link, LinkPool, Script
from tests.counts import count
from tests.factories.redis_clients import RedisNotes, redis_client
from tests.services.chaos import ChaosProxy, chaos
from tests.services.processes import free_port, running
from tests.services.valkey import Valkey

pytestmark = pytest.mark.slow

#: A server's own limit, in seconds.
SHORT = 0.05


@pytest.fixture
def notes() -> RedisNotes:
    return RedisNotes()


@pytest.fixture
def proxy(valkey: Valkey) -> Iterator[ChaosProxy]:
    valkey.ask("FLUSHALL")
    with chaos(valkey.port) as between:
        yield between


@pytest.fixture
async def client(valkey: Valkey, proxy: ChaosProxy, notes: RedisNotes) -> AsyncIterator[RedisClient]:
    async with redis_client(valkey.url_through(proxy.port), notes=notes) as opened:
        yield opened


async def test_it_says_nothing_before_it_is_asked(client: RedisClient, proxy: ChaosProxy):
    await asyncio.sleep(0.05)
    assert proxy.connections == 0
    assert await client.call("PING") == b"PONG"
    assert proxy.connections == 1


async def test_connections_are_used_again_and_bounded(client: RedisClient, proxy: ChaosProxy):
    for _ in range(20):
        await client.call("PING")
    assert proxy.connections == 1
    assert await asyncio.gather(*(client.call("ECHO", n) for n in range(500))) == [b"%d" % n for n in range(500)]
    assert 1 < proxy.connections <= CONNECTIONS


async def test_a_password_and_a_database_are_those_of_the_address(tmp_path: Path):
    with running(Valkey(tmp_path, password="p:@/ss word")) as service:
        assert isinstance(service, Valkey)
        address = f"redis://:p%3A%40%2Fss%20word@127.0.0.1:{service.port}/3"
        async with redis_client(address) as client:
            await client.call("SET", "where", "three")
        service.ask("SELECT", 0)
        assert service.ask("GET", "where") == "$-1"
        async with redis_client(f"redis://:wrong@127.0.0.1:{service.port}/3") as client:
            with pytest.raises(RedisUnavailableError):
                await client.call("GET", "where")


@pytest.mark.parametrize("address", ["gopher://127.0.0.1", "redis://:pass/word@127.0.0.1:6379/0"])
def test_an_address_that_is_none_is_refused_without_telling_its_password(notes: RedisNotes, address: str):
    with pytest.raises(ValueError, match=r"^is not the address of a Redis$") as refused:
        RedisClient(address, timeout=1, clock=ManualClock(), observer=notes)
    assert refused.value.__suppress_context__


async def test_a_script_is_sent_once_and_again_when_it_was_forgotten(client: RedisClient, valkey: Valkey):
    script = Script.of("return {ARGV[1], ARGV[2], KEYS[1]}")
    first = await client.evaluate(script, keys=["key"], arguments=["a\r\nb:చి"])
    assert first[1:] == ["a\r\nb:చి".encode(), b"key"]
    valkey.ask("SCRIPT", "FLUSH")
    assert await client.evaluate(script, keys=["key"], arguments=["a\r\nb:చి"]) == first
    assert first[0].decode().isalnum()


async def test_an_incarnation_is_that_of_a_start(tmp_path: Path):
    script, seen = Script.of("return ARGV[1]"), []
    with running(Valkey(tmp_path)) as service:
        assert isinstance(service, Valkey)
        async with redis_client(service.url) as client:
            for _ in range(3):
                seen.append(await client.evaluate(script, keys=[]))
                seen.append(await client.evaluate(script, keys=[]))
                service.kill()
                service.start()
    assert seen[::2] == seen[1::2]
    assert len(set(seen)) == 3


async def test_a_refusal_is_a_failure_and_the_connection_stays(
    client: RedisClient, proxy: ChaosProxy, notes: RedisNotes
):
    await client.call("SET", "text", "a")
    for _ in range(3 * FAILURES):
        with pytest.raises(RedisUnavailableError, match="integer"):
            await client.call("INCR", "text")
    assert await client.call("GET", "text") == b"a"
    assert proxy.connections == 1
    assert client.state is BreakerState.CLOSED
    assert set(notes.failures) == {"refused"}


async def test_a_former_master_is_looked_up_again(client: RedisClient, proxy: ChaosProxy, valkey: Valkey):
    valkey.ask("REPLICAOF", "127.0.0.1", free_port())
    try:
        with pytest.raises(RedisUnavailableError):
            await client.call("SET", "a", "b")
    finally:
        valkey.ask("REPLICAOF", "NO", "ONE")
    await client.call("SET", "a", "b")
    assert proxy.connections == 2


async def test_a_server_that_was_started_anew_is_found_at_once(
    client: RedisClient, proxy: ChaosProxy, notes: RedisNotes
):
    await asyncio.gather(*(client.call("PING") for _ in range(20)))
    proxy.drop()
    await asyncio.sleep(0.05)
    assert await client.call("PING") == b"PONG"
    assert (notes.failures, client.state) == ([], BreakerState.CLOSED)


@pytest.mark.parametrize("fault", ["black_hole", "refuse", "cut", "swallow_answers"])
@pytest.mark.parametrize("connected", [False, True])
async def test_every_way_of_being_away_is_one_failure(
    valkey: Valkey, proxy: ChaosProxy, notes: RedisNotes, fault: str, connected: bool
):
    async with redis_client(valkey.url_through(proxy.port), timeout=0.3, notes=notes) as client:
        if connected:
            await client.call("PING")
        proxy.reset(**({"cut_after": 2} if fault == "cut" else {fault: True}))
        if fault == "refuse":
            proxy.drop()
            await asyncio.sleep(0.05)
        with pytest.raises(RedisUnavailableError):
            await client.call("PING")
        assert len(notes.failures) == 1
        proxy.reset()
        assert await client.call("PING") == b"PONG"


async def test_nobody_waits_long_and_after_some_failures_nobody_waits_at_all(
    valkey: Valkey, proxy: ChaosProxy, notes: RedisNotes
):
    clock = ManualClock()
    async with redis_client(valkey.url_through(proxy.port), timeout=SHORT, clock=clock, notes=notes) as client:
        proxy.reset(black_hole=True)
        begun = time.monotonic()
        waiting = (client.call("PING") for _ in range(3 * CONNECTIONS))
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {RedisUnavailableError}
        # One time limit for all of them, waiting for a connection included; generous, for the machine's sake.
        assert time.monotonic() - begun < 20 * SHORT
        assert client.state is BreakerState.OPEN
        reached = proxy.connections
        for _ in range(100):
            with pytest.raises(RedisUnavailableError, match="left alone"):
                await client.call("PING")
        assert proxy.connections == reached
        assert notes.states == ["open"]


async def test_it_comes_back_by_itself(valkey: Valkey, proxy: ChaosProxy, notes: RedisNotes):
    async with redis_client(valkey.url_through(proxy.port), timeout=0.5, notes=notes) as client:
        proxy.reset(refuse=True)
        for _ in range(FAILURES):
            with pytest.raises(RedisUnavailableError):
                await client.call("PING")
        assert client.state is BreakerState.OPEN
        proxy.reset()
        deadline = time.monotonic() + 20
        while client.state is not BreakerState.CLOSED:
            assert time.monotonic() < deadline
            await asyncio.gather(*(client.call("PING") for _ in range(5)), return_exceptions=True)
            await asyncio.sleep(0.02)
        assert await client.call("PING") == b"PONG"


async def test_one_that_is_always_slow_is_left_alone(valkey: Valkey, proxy: ChaosProxy, notes: RedisNotes):
    async with redis_client(valkey.url_through(proxy.port), timeout=0.6, notes=notes) as client:
        await client.call("PING")
        # Each way, so more than half of the limit.
        proxy.reset(delay=0.16)
        answers = [await client.call("PING") for _ in range(FAILURES)]
        assert answers == [b"PONG"] * FAILURES
        assert (client.state, notes.failures) == (BreakerState.OPEN, [])


async def test_who_is_cancelled_leaves_no_answer_behind(client: RedisClient, valkey: Valkey, proxy: ChaosProxy, proof):
    """Everybody asks for a value of their own, and many are cancelled at all moments: no one gets another's."""
    names, rounds = 64, count(600, 40_000)
    for n in range(names):
        valkey.ask("SET", f"canary:{n}", f"song of {n}")
    dice, wrong, cancelled, answered = random.Random(7), [], 0, 0

    async def listen(n: int) -> None:
        nonlocal answered
        heard = await client.call("GET", f"canary:{n}")
        answered += 1
        if heard != f"song of {n}".encode():
            wrong.append((n, heard))

    proxy.reset(delay=0.001)
    for _ in range(rounds // 20):
        tasks = [asyncio.create_task(listen(dice.randrange(names))) for _ in range(20)]
        for task in dice.sample(tasks, 10):
            asyncio.get_running_loop().call_later(dice.uniform(0, 0.02), task.cancel)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        cancelled += sum(isinstance(result, asyncio.CancelledError) for result in results)
        assert not [result for result in results if isinstance(result, Exception)]
    assert wrong == []
    assert cancelled > rounds // 20
    assert answered > rounds // 4
    proof.record(
        "A cancelled call of Redis leaves no answer to the next one",
        "calls, those cancelled at a random moment; answers that were another's",
        f"{rounds}, {cancelled}; 0",
    )


async def test_a_cancelled_trial_is_no_verdict(valkey: Valkey, proxy: ChaosProxy, notes: RedisNotes):
    async with redis_client(valkey.url_through(proxy.port), timeout=0.3, notes=notes) as client:
        proxy.reset(refuse=True)
        for _ in range(FAILURES):
            with pytest.raises(RedisUnavailableError):
                await client.call("PING")
        proxy.reset(black_hole=True)
        deadline = time.monotonic() + 20
        while client.state is not BreakerState.HALF_OPEN:
            assert time.monotonic() < deadline
            trial = asyncio.create_task(client.call("PING"))
            await asyncio.sleep(0.02)
            trial.cancel()
            await asyncio.gather(trial, return_exceptions=True)
            if "half_open" in notes.states:
                break
        assert notes.states[-1] == "open"
        proxy.reset()
        assert await client.call("PING") == b"PONG"
        assert notes.states[-1] == "closed"


async def test_what_is_under_way_when_everything_is_closed_is_closed_when_it_ends(valkey: Valkey):
    pool = LinkPool(valkey.url, size=3)
    async with pool.link() as idle:
        await idle.call("PING")
    async with pool.link() as busy, pool.link() as other:
        assert busy is idle
        await pool.aclose()
        assert await busy.call("PING") == b"PONG"
        with pytest.raises(ResponseError):
            async with pool.link() as late:
                await late.call("NO-SUCH-COMMAND")
        assert await other.call("PING") == b"PONG"
    for link in (busy, other, late):
        with pytest.raises(LostError):
            await link.call("PING")


async def test_what_is_idle_is_closed_at_once(valkey: Valkey):
    pool = LinkPool(valkey.url, size=2)
    async with pool.link() as one, pool.link() as two:
        pass
    await pool.aclose()
    for link in (one, two):
        with pytest.raises(LostError):
            await link.call("PING")


async def test_closing_does_not_wait_for_the_other_end():
    """A server that hangs does not take part in ending TLS, and each connection would wait for it."""

    class Deaf:
        async def disconnect(self, nowait: bool = False) -> None:
            if not nowait:
                await asyncio.Event().wait()

    async with asyncio.timeout(5):
        await Link(cast("AbstractConnection", Deaf())).close()
