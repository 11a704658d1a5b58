"""Observed ports do what the ones inside do, and tell how it went."""

import os
from pathlib import Path

import pytest

from chitram.adapters.blobs.memory import MemoryBlobStore
from chitram.adapters.blobs.staging import LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.cache import DisabledRecordCache, MemoryByteCache, MemoryRecordCache
from chitram.adapters.memory.clock import ManualClock
from chitram.adapters.memory.limiter import DisabledLimiter, MemoryLimiter
from chitram.adapters.observed import (
    ObservedBlobStore,
    ObservedByteCache,
    ObservedCodec,
    ObservedLimiter,
    ObservedRecordCache,
)
from chitram.domain.errors import InvalidFileFormat, InvalidReason, StorageUnavailable
from chitram.domain.media import Budget, Ingested, Inspected, Rendered
from chitram.ports.cache import Miss
from chitram.ports.limiter import Rate
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


class EchoCodec:
    """Knows one picture and refuses all others."""

    inspected = Inspected(content_type="image/png", width=1, height=2, frames=1, pieces=None)
    ingested = Ingested(inspected=inspected, rendered=Rendered({}, "image/jpeg", 0, ""))
    closed = False

    async def inspect(self, fd: int, *, budget: Budget) -> Inspected:
        if os.pread(fd, 3, 0) != b"png":
            raise InvalidFileFormat(InvalidReason.CORRUPT)
        return self.inspected

    async def ingest(self, fd: int, *, budget: Budget) -> Ingested:
        return self.ingested

    async def aclose(self) -> None:
        self.closed = True


async def test_the_passes_of_a_codec_are_timed(notes: Notes, tmp_path: Path):
    inner = EchoCodec()
    codec = ObservedCodec(inner, record=notes.time)
    budget = Budget(content_types=frozenset(), max_pixels=1, max_frames=1, max_total_pixels=1)
    with (tmp_path / "f").open("w+b") as file:
        with pytest.raises(InvalidFileFormat):
            await codec.inspect(file.fileno(), budget=budget)
        file.write(b"png")
        file.flush()
        assert await codec.inspect(file.fileno(), budget=budget) is inner.inspected
        assert await codec.ingest(file.fileno(), budget=budget) is inner.ingested
    await codec.aclose()
    assert inner.closed
    assert notes.timed == [("inspect", "INVALID_FILE_FORMAT"), ("inspect", "ok"), ("ingest", "ok")]


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


async def test_verdicts_are_counted(notes: Notes):
    limiter = ObservedLimiter(MemoryLimiter(clock=ManualClock()), count=notes.count)
    for _ in range(2):
        await limiter.hit(Rate("r", 1, 60), subject="a")
    assert notes.counted == ["allowed", "refused"]
    assert limiter.backend == "memory"
    assert (await DisabledLimiter().hit(Rate("r", 1, 60), subject="a")).allowed
