"""Two server processes on one database and one Redis: after an answered change nobody sees what was before.

Redis is taken away from both, or from one of them alone, and comes back empty, or with what it had long ago.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.counts import count
from tests.factories.servers import UNLIMITED, Server
from tests.faults.exposure import Change
from tests.faults.people import register, upload_as
from tests.faults.test_visibility_flip import WAYS, History, flip, onlooking, shows_image
from tests.faults.traffic import Work, pictures_of, traffic
from tests.properties.linearizability import Operation
from tests.properties.test_history import Recorder, meddle
from tests.services.chaos import ChaosProxy, chaos
from tests.services.processes import free_port, running
from tests.services.valkey import Valkey

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

CLIENTS = 6
SETTINGS = {
    **UNLIMITED,
    "BCRYPT_ROUNDS": "4",
    "LOG_LEVEL": "warning",
    "COLLECT_GRACE_SECONDS": "0",
    "SWEEP_INTERVAL_SECONDS": "0.2",
}


@dataclass(frozen=True, slots=True)
class Shared:
    """The servers; `ways` are their connections to Redis, one each."""

    servers: list[Server]
    ways: list[ChaosProxy]
    redis: Valkey

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    def hits(self) -> list[float]:
        """How many look-ups the cache has answered for each server."""
        name = 'chitram_record_cache_requests_total{result="hit"} '
        pages = [httpx.get(f"{url}/metrics", timeout=30).text.splitlines() for url in self.urls]
        return [float(line.removeprefix(name)) for page in pages for line in page if line.startswith(name)]


@contextmanager
def two_servers(directory: Path) -> Iterator[Shared]:
    with ExitStack() as stack:
        redis = stack.enter_context(running(Valkey(directory / "valkey")))
        assert isinstance(redis, Valkey)
        ways = [stack.enter_context(chaos(redis.port)) for _ in range(2)]
        servers = []
        for number, way in enumerate(ways):
            place = directory / f"server{number}"
            place.mkdir()
            settings = {**SETTINGS, "REDIS_URL": redis.url_through(way.port)}
            servers.append(Server(place, settings=settings, data=directory / "data"))
            stack.callback(servers[-1].kill)
            servers[-1].start()
        yield Shared(servers, ways, redis)


def cut_off(shared: Shared, dice: random.Random) -> None:
    """One of the servers loses its connections, and the other one does not."""
    way = dice.choice(shared.ways)
    way.reset(refuse=True)
    way.drop()


def unheard(shared: Shared, dice: random.Random) -> None:
    """What one of the servers says arrives, but it hears nothing of it."""
    dice.choice(shared.ways).reset(swallow_answers=True)


def delayed(shared: Shared, dice: random.Random) -> None:
    """What one of the servers says arrives when it has long given up waiting."""
    dice.choice(shared.ways).reset(delay=0.2)


def paused(shared: Shared, dice: random.Random) -> None:
    del dice
    shared.redis.pause()


def flushed(shared: Shared, dice: random.Random) -> None:
    del dice
    shared.redis.ask("FLUSHALL")


def restored(shared: Shared, dice: random.Random) -> None:
    """It is killed, and comes back with what it had some time ago."""
    assert shared.redis.ask("SAVE") == "+OK"
    time.sleep(dice.uniform(0, 0.3))
    shared.redis.kill()


def only_reads(shared: Shared, dice: random.Random) -> None:
    del dice
    shared.redis.ask("REPLICAOF", "127.0.0.1", free_port())


TROUBLES: tuple[Callable[[Shared, random.Random], None], ...] = (
    cut_off, unheard, delayed, paused, flushed, restored, only_reads,
)  # fmt: skip


def undo(shared: Shared) -> None:
    assert shared.redis.process is not None
    if shared.redis.process.poll() is not None:
        shared.redis.start()
    shared.redis.resume()
    shared.redis.wait_until_ready()
    shared.redis.ask("REPLICAOF", "NO", "ONE")
    for way in shared.ways:
        way.reset()


@contextmanager
def trouble(shared: Shared, *, seed: int) -> Iterator[list[str]]:
    """Redis comes and goes until the block ends; the names of what happened to it."""
    dice, stop = random.Random(seed), threading.Event()
    happened: list[str] = []

    def run() -> None:
        while not stop.is_set():
            chosen = dice.choice(TROUBLES)
            chosen(shared, dice)
            happened.append(chosen.__name__)
            stop.wait(dice.uniform(0, 0.5))
            undo(shared)
            # Now and then long enough for everything to be as it should.
            stop.wait(dice.choice((0.05, 0.3, 2.0)))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield happened
    finally:
        stop.set()
        thread.join()


WEATHERS = pytest.mark.parametrize("weather", ["trouble", pytest.param("peace", marks=pytest.mark.soak)])


@contextmanager
def peace() -> Iterator[list[str]]:
    yield []


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    with two_servers(tmp_path) as opened:
        yield opened


def through_either(work: Work, urls: list[str]) -> Work:
    """The same work, each time through whichever server."""

    def either(client: httpx.Client, dice: random.Random) -> None:
        client.base_url = httpx.URL(dice.choice(urls))
        work(client, dice)

    return either


def is_seen_late(history: list[Operation]) -> bool:
    """Whether a look that began after an answered deletion saw the image.

    Between the commit and the answer the servers may disagree, for as long as it takes to tell Redis; whoever could not
    tell it in time waits until all of them look at the database again.
    """
    answered = min((o.end for o in history if o.name == "delete" and o.result == 204), default=math.inf)
    return any(o.name.startswith("look") and o.result is True and o.start > answered for o in history)


@WEATHERS
def test_what_was_deleted_is_seen_through_no_server(shared: Shared, weather: str, proof):
    operations = count(500, 30_000)
    recorder = Recorder(operations)
    meddling = meddle(recorder, pictures_of(3, count=2))
    works = [through_either(meddling, shared.urls) for _ in range(CLIENTS)]
    with (
        trouble(shared, seed=6) if weather == "trouble" else peace() as happened,
        traffic(shared.urls[0], works, seed=4),
    ):
        assert recorder.enough.wait(timeout=operations)
    late = [h for h in recorder.histories.values() if is_seen_late(h)]
    assert late == []
    deleted = sum(any(o.result == 204 for o in h) for h in recorder.histories.values())
    hits = shared.hits()
    assert deleted
    assert len(hits) == 2
    assert all(hits)
    proof.record(
        "What was deleted is seen through none of the servers that share a cache",
        f"2 processes, {CLIENTS} clients: operations, deletions, hits of the cache, losses of Redis; seen afterwards",
        f"{operations}, {deleted}, {sum(hits):.0f}, {len(happened)}; 0",
    )


@WEATHERS
def test_what_was_made_private_is_shown_by_no_server(shared: Shared, weather: str, proof):
    flips = count(40, 3000)
    history = History()
    with httpx.Client(base_url=shared.urls[0], timeout=30) as client:
        owner = register(client, "owner@example.org")
        data, twin = pictures_of(9, count=1)[0], pictures_of(9, count=1)[0]
        other = upload_as(client, owner, twin, visibility="public")["id"]
        images = []
        for _ in range(2):
            start = time.monotonic()
            images.append(upload_as(client, owner, data, visibility="public")["id"])
            history.changes[images[-1]].append(Change("public", start, time.monotonic()))
        works = [onlooking(history, images, other=other, base=shared.urls[n % 2]) for n in range(CLIENTS)]
        with (
            trouble(shared, seed=7) if weather == "trouble" else peace() as happened,
            traffic(shared.urls[0], works, seed=3),
        ):
            flip(client, history, owner, images, flips=flips)
    assert history.wrong(shows_image) == []
    hits = shared.hits()
    assert len(hits) == 2
    assert all(hits)
    proof.record(
        "What was made private is shown by none of the servers that share a cache",
        f"2 processes, {len(WAYS)} ways to look: changes, looks, hits of the cache, losses of Redis; wrong looks",
        f"{flips}, {history.size}, {sum(hits):.0f}, {len(happened)}; 0",
    )
