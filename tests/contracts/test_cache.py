"""What the caches promise: nothing stale, nothing without bound."""

import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chitram.adapters.memory.cache import ENTRY_OVERHEAD, DisabledRecordCache, MemoryByteCache, MemoryRecordCache
from chitram.adapters.memory.clock import ManualClock
from chitram.adapters.redis.cache import RedisRecordCache
from chitram.adapters.redis.pending import PendingInvalidations
from chitram.domain.blobs import Blob, BlobState
from chitram.domain.images import Image, ImageRecord, Visibility
from chitram.ports.cache import Miss, RecordCache
from tests.counts import count
from tests.factories.databases import open_migrated
from tests.factories.redis_clients import redis_client
from tests.services.valkey import Valkey

TTL = 3600.0


def record(image_id: str, *, filename: str = "a.jpg") -> ImageRecord:
    created = datetime(2026, 1, 1, tzinfo=UTC)
    blob = Blob(
        id=1, sha256="ab" * 32, generation="000000000001", size=3, content_type="image/jpeg", width=1, height=1,
        state=BlobState.LIVE, thumbnail_type="image/jpeg", pipeline_version=1, perceptual_hash=5, placeholder="",
        broken_reason=None, created_at=created, verified_at=None, condemned_at=None, corrupt_at=None,
    )  # fmt: skip
    image = Image(
        id=image_id, blob_id=1, filename=filename, visibility=Visibility.PUBLIC, created_at=created,
        delete_token_hash=None, received_sha256="",
    )  # fmt: skip
    return ImageRecord(image=image, blob=blob)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


MakeCache = Callable[[], RecordCache]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.slow)])
async def make(
    request: pytest.FixtureRequest, clock: ManualClock, valkey: Valkey, tmp_path: Path
) -> AsyncIterator[MakeCache]:
    if request.param == "memory":
        yield lambda: MemoryRecordCache(max_entries=100, ttl=TTL, clock=clock)
        return
    valkey.ask("FLUSHALL")
    async with open_migrated(tmp_path / "chitram.db") as database, redis_client(valkey.url) as client:
        # By a clock that stands still: a machine that is slow to look at the jobs would have it miss now and then.
        pending = PendingInvalidations(database, clock=clock)
        yield lambda: RedisRecordCache(client, prefix="test", ttl=TTL, pending=pending)
        await pending.aclose()


@pytest.fixture
def cache(make: MakeCache) -> RecordCache:
    return make()


async def ticket_of(cache: RecordCache, image_id: str) -> object:
    miss = await cache.get(image_id)
    assert isinstance(miss, Miss)
    return miss.ticket


async def is_cached(cache: RecordCache, image_id: str) -> bool:
    return not isinstance(await cache.get(image_id), Miss)


async def test_what_was_filled_in_is_found(cache: RecordCache):
    ticket = await ticket_of(cache, "one")
    await cache.fill("one", record("one"), ticket=ticket)
    assert await cache.get("one") == record("one")
    assert not await is_cached(cache, "two")
    assert cache.enabled
    assert await cache.check()
    assert cache.backend


async def test_what_was_read_before_an_invalidation_is_not_filled_in_after_it(cache: RecordCache):
    ticket = await ticket_of(cache, "one")
    await cache.invalidate(["one"])
    await cache.fill("one", record("one", filename="stale"), ticket=ticket)
    assert not await is_cached(cache, "one")


async def test_nor_with_somebody_elses_newer_ticket_about(cache: RecordCache):
    old = await ticket_of(cache, "one")
    await cache.invalidate(["one"])
    new = await ticket_of(cache, "one")
    await cache.fill("one", record("one", filename="stale"), ticket=old)
    assert not await is_cached(cache, "one")
    await cache.fill("one", record("one", filename="fresh"), ticket=new)
    await cache.fill("one", record("one", filename="stale"), ticket=old)
    assert await cache.get("one") == record("one", filename="fresh")


async def test_an_invalidation_drops_what_is_cached_and_only_that(cache: RecordCache):
    for image_id in ("one", "two", "three"):
        await cache.fill(image_id, record(image_id), ticket=await ticket_of(cache, image_id))
    await cache.invalidate(["one", "three", "never cached"])
    assert not await is_cached(cache, "one")
    assert await is_cached(cache, "two")
    assert not await is_cached(cache, "three")


async def test_what_a_job_has_dropped_is_gone_for_good(cache: RecordCache):
    ticket = await ticket_of(cache, "one")
    await cache.fill("one", record("one"), ticket=ticket)
    await cache.drop(["one", "never cached"])
    await cache.fill("one", record("one", filename="stale"), ticket=ticket)
    assert not await is_cached(cache, "one")
    await cache.drop([])


async def test_cleared_it_knows_nothing_and_takes_nothing_that_was_read_before(cache: RecordCache):
    many = [f"image{number}" for number in range(1200)] if cache.backend == "redis" else ["image0", "image1"]
    for image_id in many:
        await cache.fill(image_id, record(image_id), ticket=await ticket_of(cache, image_id))
    ticket = await ticket_of(cache, "late")
    await cache.clear()
    await cache.fill("late", record("late"), ticket=ticket)
    assert [image_id for image_id in (*many, "late") if await is_cached(cache, image_id)] == []
    await cache.fill("one", record("one"), ticket=await ticket_of(cache, "one"))
    assert await is_cached(cache, "one")


async def test_concurrent_misses_may_all_fill(cache: RecordCache):
    first, second = await ticket_of(cache, "one"), await ticket_of(cache, "one")
    await cache.fill("one", record("one"), ticket=first)
    await cache.fill("one", record("one"), ticket=second)
    assert await cache.get("one") == record("one")


async def test_records_live_for_their_time_and_no_longer(clock: ManualClock):
    cache = MemoryRecordCache(max_entries=100, ttl=TTL, clock=clock)
    await cache.fill("one", record("one"), ticket=await ticket_of(cache, "one"))
    clock.advance(timedelta(seconds=TTL - 1))
    clock.jump(timedelta(hours=-5))
    assert await is_cached(cache, "one")
    clock.advance(timedelta(seconds=1))
    assert not await is_cached(cache, "one")
    await cache.fill("one", record("one"), ticket=await ticket_of(cache, "one"))
    assert await is_cached(cache, "one")


@pytest.mark.parametrize("seed", range(20))
async def test_no_order_of_events_leaves_something_stale(make: MakeCache, seed: int):
    """Readers, writers and invalidations in random order: once a change was answered, nobody reads what was before."""
    source = random.Random(seed)
    cache = make()
    truth = dict.fromkeys("abc", 0)
    reads: list[tuple[str, object, int]] = []
    for _ in range(2000 if cache.backend == "memory" else count(200, 2000)):
        image_id = source.choice("abc")
        step = source.random()
        if step < 0.5:
            found = await cache.get(image_id)
            if isinstance(found, Miss):
                reads.append((image_id, found.ticket, truth[image_id]))
            else:
                assert found.image.filename == str(truth[image_id])
        elif step < 0.8 and reads:
            key, ticket, version = reads.pop(source.randrange(len(reads)))
            await cache.fill(key, record(key, filename=str(version)), ticket=ticket)
        elif step >= 0.9:
            truth[image_id] += 1
            await cache.invalidate([image_id])


async def test_the_number_of_records_is_bounded_and_the_unused_go_first(clock: ManualClock):
    cache = MemoryRecordCache(max_entries=3, ttl=TTL, clock=clock)
    for image_id in "abc":
        await cache.fill(image_id, record(image_id), ticket=await ticket_of(cache, image_id))
    assert await is_cached(cache, "a")
    await cache.fill("d", record("d"), ticket=await ticket_of(cache, "d"))
    assert [await is_cached(cache, image_id) for image_id in "abcd"] == [True, False, True, True]
    for n in range(1000):
        await ticket_of(cache, f"not there {n}")
        await cache.fill(f"{n}", record(f"{n}"), ticket=await ticket_of(cache, f"{n}"))
    assert len(cache) == 3


async def test_a_cache_that_is_off_keeps_nothing():
    cache = DisabledRecordCache()
    await cache.fill("one", record("one"), ticket=await ticket_of(cache, "one"))
    await cache.invalidate(["one"])
    assert not await is_cached(cache, "one")
    assert (cache.enabled, cache.backend) == (False, "disabled")
    assert await cache.check()
    await cache.drop(["one"])


def test_bytes_are_found_again():
    cache = MemoryByteCache(max_bytes=10_000, max_object_bytes=1000)
    cache.put("one", b"1")
    cache.put("one", b"1")
    cache.put("empty", b"")
    assert cache.get("one") == b"1"
    assert cache.get("empty") == b""
    assert cache.get("two") is None
    assert cache.bytes_held == 2 * ENTRY_OVERHEAD + len("one" + "empty") + 1


def test_large_objects_are_not_kept_and_push_nothing_out():
    cache = MemoryByteCache(max_bytes=10_000, max_object_bytes=1000)
    cache.put("small", bytes(1000))
    cache.put("large", bytes(1001))
    assert cache.get("large") is None
    assert cache.get("small") == bytes(1000)


def test_bytes_are_bounded_and_the_unused_go_first():
    room = 3 * (1000 + 1 + ENTRY_OVERHEAD)
    cache = MemoryByteCache(max_bytes=room, max_object_bytes=1000)
    for key in "abc":
        cache.put(key, bytes(1000))
    assert cache.get("a") is not None
    cache.put("d", bytes(1000))
    assert [key for key in "abcd" if cache.get(key) is None] == ["b"]
    for n in range(500):
        cache.put(f"{n}", bytes(n))
        assert cache.bytes_held <= room


def test_a_byte_cache_of_no_size_keeps_nothing():
    cache = MemoryByteCache(max_bytes=0, max_object_bytes=1000)
    cache.put("a", b"a")
    assert cache.get("a") is None
    assert cache.bytes_held == 0
