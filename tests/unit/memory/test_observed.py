"""Observed ports do what the ones inside do, and tell how it went."""

from pathlib import Path

import pytest

from chitram.adapters.blobs.memory import MemoryBlobStore
from chitram.adapters.blobs.staging import LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.cache import DisabledRecordCache, MemoryByteCache, MemoryRecordCache
from chitram.adapters.memory.clock import ManualClock
from chitram.adapters.observed import (
    ObservedBlobStore,
    ObservedByteCache,
    ObservedRecordCache,
)
from chitram.domain.errors import StorageUnavailable
from chitram.ports.cache import Miss
from tests.contracts.test_cache import record


class Notes:
    """Keeps what was reported."""

    def __init__(self) -> None:
        self.timed: list[tuple[str, str]] = []
        self.counted: list[str] = []

    def time(self, *, operation: str, seconds: float, outcome: str) -> None:
        assert seconds >= 0
        self.timed.append((operation, outcome))

    def count(self, *, result: str) -> None:
        self.counted.append(result)


@pytest.fixture
def notes() -> Notes:
    return Notes()


async def test_every_operation_of_a_store_is_timed_with_its_outcome(notes: Notes, tmp_path: Path):
    threads = DiskThreads(workers=1)
    staging = LocalStaging(tmp_path, threads=threads, clock=ManualClock())
    store = ObservedBlobStore(MemoryBlobStore(clock=ManualClock()), record=notes.time)
    async with staging.new() as file:
        await file.write(b"bytes")
        await store.put("blobs/x", file)
        with pytest.raises(StorageUnavailable):
            await store.put("blobs/x", file)
    await store.put_disposable("thumbs/x/1", b"t")
    assert await store.open("blobs/y") is None
    blob = await store.open("blobs/x")
    assert blob is not None
    assert await blob.read(0, blob.size) == b"bytes"
    with pytest.raises(StorageUnavailable):
        await blob.read(0, 6)
    await blob.aclose()
    assert [info.key async for info in store.list("")] == ["blobs/x", "thumbs/x/1"]
    await store.erase_prefix("thumbs/x/")
    await store.erase("blobs/x")
    assert await store.head("blobs/x") is None
    await store.check()
    with pytest.raises(ValueError, match="not a key"):
        await store.head("../x")
    assert store.name == "memory"
    assert notes.timed == [
        ("put", "ok"), ("put", "STORAGE_UNAVAILABLE"), ("put_disposable", "ok"), ("open", "ok"), ("open", "ok"),
        ("read", "ok"), ("read", "STORAGE_UNAVAILABLE"), ("list", "ok"), ("erase_prefix", "ok"), ("erase", "ok"),
        ("head", "ok"), ("check", "ok"), ("head", "ERROR"),
    ]  # fmt: skip
    staging.close()
    threads.close()


async def test_hits_and_misses_of_records_are_counted(notes: Notes):
    cache = ObservedRecordCache(MemoryRecordCache(max_entries=9, ttl=9, clock=ManualClock()), count=notes.count)
    miss = await cache.get("one")
    assert isinstance(miss, Miss)
    await cache.fill("one", record("one"), ticket=miss.ticket)
    assert await cache.get("one") == record("one")
    await cache.invalidate(["one"])
    assert isinstance(await cache.get("one"), Miss)
    assert (cache.enabled, cache.backend, await cache.check()) == (True, "memory", True)
    assert notes.counted == ["miss", "hit", "miss"]


async def test_what_a_job_drops_is_dropped(notes: Notes):
    cache = ObservedRecordCache(MemoryRecordCache(max_entries=9, ttl=9, clock=ManualClock()), count=notes.count)
    miss = await cache.get("one")
    assert isinstance(miss, Miss)
    await cache.fill("one", record("one"), ticket=miss.ticket)
    await cache.drop(["one"])
    assert isinstance(await cache.get("one"), Miss)


@pytest.mark.parametrize("log", [True, False])
async def test_every_answer_of_the_cache_is_logged_where_that_is_asked_for(
    notes: Notes, log: bool, caplog: pytest.LogCaptureFixture
):
    memory = MemoryRecordCache(max_entries=9, ttl=9, clock=ManualClock())
    cache = ObservedRecordCache(memory, count=notes.count, log=log)
    with caplog.at_level("INFO", logger="chitram"):
        miss = await cache.get("one")
        assert isinstance(miss, Miss)
        await cache.fill("one", record("one"), ticket=miss.ticket)
        await cache.get("one")
    assert caplog.messages == (["cache miss: one", "cache hit: one"] if log else [])


async def test_a_cache_that_is_off_counts_as_that(notes: Notes):
    cache = ObservedRecordCache(DisabledRecordCache(), count=notes.count)
    assert isinstance(await cache.get("one"), Miss)
    assert (cache.enabled, notes.counted) == (False, ["disabled"])


def test_hits_and_misses_of_bytes_are_counted(notes: Notes):
    cache = ObservedByteCache(MemoryByteCache(max_bytes=1000, max_object_bytes=100), count=notes.count)
    assert cache.get("a") is None
    cache.put("a", b"")
    assert cache.get("a") == b""
    assert notes.counted == ["miss", "hit"]
