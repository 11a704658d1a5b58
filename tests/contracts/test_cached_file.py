"""Files that blob stores lend, so that the server can send from them without copying."""

import os
from pathlib import Path

import pytest

from chitram.adapters.blobs.local import LocalBlobStore
from chitram.adapters.blobs.memory import MemoryBlobStore
from chitram.adapters.blobs.staging import LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import SystemClock
from chitram.adapters.observed import ObservedBlobStore
from chitram.domain.errors import StorageUnavailable
from chitram.ports.blobs import BlobStore

KEY = "blobs/ab/abcdef.000000000001"
DATA = os.urandom(300_000)


async def filled(store: BlobStore, tmp_path: Path, threads: DiskThreads) -> BlobStore:
    staging = LocalStaging(tmp_path / "staging", threads=threads, clock=SystemClock())
    async with staging.new() as staged:
        await staged.write(DATA)
        await store.put(KEY, staged)
    staging.close()
    return store


async def local(tmp_path: Path, threads: DiskThreads, *, inline_reads: bool = True) -> BlobStore:
    store = LocalBlobStore(tmp_path / "store", threads=threads, inline_reads=inline_reads)
    await store.prepare(owner="d1", expect_data=False)
    await filled(store, tmp_path, threads)
    store.close()
    return ObservedBlobStore(store, record=lambda **_: None)


async def test_a_local_store_lends_the_file_with_the_same_bytes(tmp_path: Path, threads: DiskThreads):
    blob = await (await local(tmp_path, threads)).open(KEY)
    assert blob is not None
    for offset, length in ((0, 300_000), (100_000, 7), (299_999, 1)):
        assert await blob.read(offset, length) == DATA[offset : offset + length]  # now they are in memory
        file = blob.cached_file(offset, length)
        assert file is not None
        assert os.pread(file, length, offset) == DATA[offset : offset + length]
    await blob.aclose()
    with pytest.raises(StorageUnavailable):
        blob.cached_file(0, 1)


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (299_999, 2), (300_000, 1), (400_000, 10)])
async def test_nothing_is_lent_for_bytes_that_are_not_there(tmp_path: Path, threads: DiskThreads, offset, length):
    blob = await (await local(tmp_path, threads)).open(KEY)
    assert blob is not None
    assert blob.cached_file(offset, length) is None
    await blob.aclose()


async def test_nothing_is_lent_where_reading_may_take_its_time(tmp_path: Path, threads: DiskThreads):
    blob = await (await local(tmp_path, threads, inline_reads=False)).open(KEY)
    assert blob is not None
    assert blob.cached_file(0, 10) is None
    await blob.aclose()


async def test_memory_has_no_file(tmp_path: Path, threads: DiskThreads):
    blob = await (await filled(MemoryBlobStore(clock=SystemClock()), tmp_path, threads)).open(KEY)
    assert blob is not None
    assert blob.cached_file(0, 10) is None
    await blob.aclose()
