"""What every blob store promises, shown on each of them."""

import asyncio
import contextlib
import hashlib
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chitram.adapters.blobs.local import LocalBlobStore
from chitram.adapters.blobs.memory import MemoryBlobStore
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import SystemClock
from chitram.domain.blobs import blob_key, thumbnail_key, thumbnail_prefix
from chitram.domain.errors import StorageUnavailable
from chitram.ports.blobs import BlobStore, OpenBlob
from chitram.ports.staging import StagedFile, Staging
from tests.services.seaweed import SeaweedFS, s3_store

BACKENDS = ("local", "local-in-threads", "memory", pytest.param("s3", marks=pytest.mark.slow))
#: Where an object that is erased or replaced while it is open cannot always be read on.
REMOTE = {"minio"}


@pytest.fixture(params=BACKENDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path, threads: DiskThreads) -> AsyncIterator[BlobStore]:
    if request.param == "memory":
        yield MemoryBlobStore(clock=SystemClock())
        return
    if request.param == "s3":
        seaweed: SeaweedFS = request.getfixturevalue("seaweed")
        # Making a bucket takes longer than emptying one.
        async with s3_store(seaweed.bucket("contract"), threads=threads) as remote:
            yield remote
            left = await keys(remote)
            await asyncio.gather(*map(remote.erase, left))
        return
    local = LocalBlobStore(tmp_path / "store", threads=threads, inline_reads=request.param == "local")
    await local.prepare(owner="d1", expect_data=False)
    yield local
    local.close()


def noise(size: int, *, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def key_of(data: bytes, *, generation: str = "000000000001") -> str:
    return blob_key(sha256=hashlib.sha256(data).hexdigest(), generation=generation)


@asynccontextmanager
async def staged(staging: Staging, data: bytes) -> AsyncIterator[StagedFile]:
    async with staging.new() as file:
        await file.write(data)
        yield file


async def put(store: BlobStore, staging: Staging, key: str, data: bytes) -> None:
    async with staged(staging, data) as file:
        await store.put(key, file)


@asynccontextmanager
async def opened(store: BlobStore, key: str) -> AsyncIterator[OpenBlob]:
    blob = await store.open(key)
    assert blob is not None
    try:
        yield blob
    finally:
        await blob.aclose()


async def content(store: BlobStore, key: str) -> bytes:
    async with opened(store, key) as blob:
        return await blob.read(0, blob.size)


def suppress_remote(store: BlobStore) -> contextlib.AbstractContextManager[object]:
    """Lets a remote store say that it cannot read on, which is the only other thing that may happen there."""
    return contextlib.suppress(StorageUnavailable) if store.name in REMOTE else contextlib.nullcontext()


async def keys(store: BlobStore, prefix: str = "") -> list[str]:
    return sorted([info.key async for info in store.list(prefix)])


@pytest.mark.parametrize("size", [0, 1, 255, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 5 * 1024 * 1024, 40_000_000])
async def test_what_was_put_is_got(store: BlobStore, staging: Staging, size: int):
    data = noise(size)
    key = key_of(data)
    await put(store, staging, key, data)
    assert await content(store, key) == data
    info = await store.head(key)
    assert info is not None
    assert (info.key, info.size) == (key, size)
    assert info.modified_at.tzinfo is not None


async def test_what_was_never_put_is_not_there(store: BlobStore, staging: Staging):
    await put(store, staging, "blobs/ab/x.1", b"x")
    for key in ("blobs/ab/y.1", "blobs/cd/x.1", "blobs/ab", "blobs", "blobs/ab/x.1/below"):
        assert await store.head(key) is None
        assert await store.open(key) is None
        await store.erase("blobs/ab/y.1")
    assert await keys(store, "nothing/") == []
    assert await keys(store) == ["blobs/ab/x.1"]


@pytest.mark.parametrize("first", [0, 1, 4095, 4096, 65_535, 299_999])
async def test_every_range_is_exact(store: BlobStore, staging: Staging, first: int):
    data = noise(300_000)
    await put(store, staging, "blobs/r", data)
    async with opened(store, "blobs/r") as blob:
        assert blob.size == 300_000
        for length in (0, 1, 4096, 65_536, 300_000):
            if first + length <= len(data):
                assert await blob.read(first, length) == data[first : first + length]


@pytest.mark.parametrize(("offset", "length"), [(0, 1001), (999, 2), (1000, 1), (5000, 10), (-1, 1)])
async def test_bytes_that_are_not_there_are_an_error_and_never_a_short_answer(
    store: BlobStore, staging: Staging, offset: int, length: int
):
    await put(store, staging, "blobs/r", noise(1000))
    async with opened(store, "blobs/r") as blob:
        with pytest.raises(StorageUnavailable):
            await blob.read(offset, length)
        assert await blob.read(0, 1000) == noise(1000)


async def test_a_closed_object_gives_nothing_and_may_be_closed_again(store: BlobStore, staging: Staging):
    await put(store, staging, "blobs/c", b"bytes")
    blob = await store.open("blobs/c")
    assert blob is not None
    await blob.aclose()
    await blob.aclose()
    with pytest.raises(StorageUnavailable):
        await blob.read(0, 5)


async def test_staged_bytes_stay_usable_after_a_put(store: BlobStore, staging: Staging):
    async with staged(staging, b"once") as file:
        await store.put("blobs/first", file)
        await store.put("blobs/second", file)
        assert os.pread(file.fileno(), 10, 0) == b"once"
        assert file.sha256 == hashlib.sha256(b"once").hexdigest()
    await store.erase("blobs/first")
    assert await content(store, "blobs/second") == b"once"


async def test_an_object_is_never_overwritten_by_a_put(store: BlobStore, staging: Staging):
    await put(store, staging, "blobs/taken", b"the first")
    with pytest.raises(StorageUnavailable):
        await put(store, staging, "blobs/taken", b"the second")
    assert await content(store, "blobs/taken") == b"the first"


async def test_concurrent_puts_of_generations_of_the_same_bytes_all_succeed(store: BlobStore, staging: Staging):
    data = noise(100_000)
    names = [key_of(data, generation=f"{n:012x}") for n in range(24)]
    await asyncio.gather(*(put(store, staging, name, data) for name in names))
    assert await keys(store, "blobs/") == sorted(names)
    await store.erase(names[0])
    for name in names[1:]:
        assert await content(store, name) == data


async def test_concurrent_puts_under_one_key_have_exactly_one_winner(store: BlobStore, staging: Staging):
    bodies = [noise(50_000, seed=n) for n in range(8)]
    ends = await asyncio.gather(*(put(store, staging, "blobs/one", b) for b in bodies), return_exceptions=True)
    winners = [body for body, end in zip(bodies, ends, strict=True) if end is None]
    assert len(winners) == 1
    assert all(isinstance(end, StorageUnavailable) for end in ends if end is not None)
    assert await content(store, "blobs/one") == winners[0]


async def test_an_erased_object_stays_readable_for_who_has_it_open(store: BlobStore, staging: Staging):
    data = noise(1_000_000)
    await put(store, staging, "blobs/e", data)
    async with opened(store, "blobs/e") as blob:
        assert await blob.read(0, 10) == data[:10]
        await store.erase("blobs/e")
        assert await store.head("blobs/e") is None
        with suppress_remote(store):
            assert await blob.read(10, len(data) - 10) == data[10:]


async def test_erasing_twice_is_fine_and_leaves_the_neighbours(store: BlobStore, staging: Staging):
    await put(store, staging, "blobs/ab/a", b"a")
    await put(store, staging, "blobs/ab/b", b"b")
    await store.erase("blobs/ab/a")
    await store.erase("blobs/ab/a")
    await store.erase("blobs/zz/never")
    assert await keys(store) == ["blobs/ab/b"]
    await put(store, staging, "blobs/ab/a", b"again")
    assert await content(store, "blobs/ab/a") == b"again"


async def test_a_prefix_is_erased_and_nothing_beside_it(store: BlobStore):
    inside = ["a/b/1", "a/b/c/2", "a/b/c/d/3"]
    outside = ["a/bc/1", "a/b1", "a/b.c/1", "ab/b/1", "a/c"]
    for key in inside + outside:
        await store.put_disposable(key, key.encode())
    await store.erase_prefix("a/b/")
    await store.erase_prefix("a/b/")
    assert await keys(store) == sorted(outside)
    await store.put_disposable("a/b/c/2", b"again")
    assert await content(store, "a/b/c/2") == b"again"


async def test_thumbnails_go_with_their_blob_and_with_no_other(store: BlobStore):
    ours, theirs = key_of(b"ours"), key_of(b"ours", generation="000000000002")
    for key in (ours, theirs):
        for size in (600, 300, 150):
            await store.put_disposable(thumbnail_key(key, size=size), b"thumbnail")
    await store.erase_prefix(thumbnail_prefix(ours))
    assert await keys(store) == sorted(thumbnail_key(theirs, size=size) for size in (600, 300, 150))


async def test_a_disposable_object_is_replaced_as_a_whole(store: BlobStore):
    old, new = noise(200_000, seed=1), noise(100_000, seed=2)
    await store.put_disposable("thumbs/t", old)
    async with opened(store, "thumbs/t") as blob:
        await store.put_disposable("thumbs/t", new)
        with suppress_remote(store):
            assert await blob.read(0, blob.size) == old
    assert await content(store, "thumbs/t") == new


async def test_readers_never_see_a_disposable_object_half_made(store: BlobStore):
    versions = [bytes([n]) * (10_000 + n) for n in range(16)]
    await store.put_disposable("thumbs/t", versions[0])

    async def write() -> None:
        for version in versions * 4:
            await store.put_disposable("thumbs/t", version)

    async def read() -> None:
        for _ in range(100):
            with suppress_remote(store):
                assert await content(store, "thumbs/t") in versions
            await asyncio.sleep(0)

    await asyncio.gather(write(), read(), read())


async def test_disposable_objects_may_be_put_while_their_prefix_is_erased(store: BlobStore):
    async def write() -> None:
        for n in range(60):
            await store.put_disposable(f"thumbs/x/1/{n % 3}", b"thumbnail")

    async def erase() -> None:
        for _ in range(60):
            await store.erase_prefix("thumbs/x/")

    await asyncio.gather(write(), write(), erase())
    await store.erase_prefix("thumbs/x/")
    assert await keys(store) == []


async def test_a_list_has_everything_below_its_prefix(store: BlobStore):
    names = [f"blobs/{n % 7:02x}/{n:04d}" for n in range(1203)]
    await asyncio.gather(*(store.put_disposable(name, name.encode()) for name in names))
    await store.put_disposable("thumbs/one", b"1")
    assert await keys(store, "blobs/") == sorted(names)
    assert await keys(store, "blobs/03/") == sorted(n for n in names if n.startswith("blobs/03/"))
    assert await keys(store, "blobs/03/00") == sorted(n for n in names if n.startswith("blobs/03/00"))
    assert await keys(store, "t") == ["thumbs/one"]
    assert [info.size async for info in store.list("thumbs/")] == [1]


async def test_a_list_survives_changes_and_has_all_that_stayed(store: BlobStore):
    stay = [f"blobs/{n % 5}/stay{n}" for n in range(700)]
    go = [f"blobs/{n % 5}/go{n}" for n in range(700)]
    await asyncio.gather(*(store.put_disposable(name, b"") for name in stay + go))
    seen: list[str] = []
    async for info in store.list("blobs/"):
        if len(seen) % 10 == 0 and go:
            await store.erase(go.pop())
            await store.put_disposable(f"blobs/new/{len(seen)}", b"")
        seen.append(info.key)
    assert set(stay) <= set(seen)
    assert len(seen) == len(set(seen))


async def test_a_list_may_be_left_early(store: BlobStore):
    for n in range(20):
        await store.put_disposable(f"blobs/{n}", b"")
    listing = store.list("blobs/")
    first = await anext(listing)
    await listing.aclose()  # type: ignore[attr-defined]
    assert first.key.startswith("blobs/")


BAD_KEYS = (
    "", "/", "/etc/passwd", "a/", "a//b", "../a", "a/../b", "a/..", ".", "./a", "a/.hidden", "a\\b", "a\0b", "a b",
    "a\n", "ä", "a/%2e%2e/b", "-rf", "x" * 201, "/".join(["abc"] * 200), ".chitram-store", ".incoming/x", "a/*", "~",
    "a:b", "C:", "\ud800", "١",
)  # fmt: skip


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_a_key_that_we_would_not_make_is_refused(store: BlobStore, staging: Staging, key: str):
    async with staged(staging, b"x") as file:
        with pytest.raises(ValueError, match="not a key"):
            await store.put(key, file)
    with pytest.raises(ValueError, match="not a key"):
        await store.put_disposable(key, b"x")
    for refused in (store.head, store.open, store.erase):
        with pytest.raises(ValueError, match="not a key"):
            await refused(key)
    assert await keys(store) == []


@pytest.mark.parametrize("prefix", ["", "a", "/", "../", "a/../", "a//", ".incoming/"])
async def test_a_prefix_that_could_be_more_than_meant_is_not_erased(store: BlobStore, prefix: str):
    await store.put_disposable("a/b", b"")
    with pytest.raises(ValueError, match="prefix"):
        await store.erase_prefix(prefix)
    assert await keys(store) == ["a/b"]


@pytest.mark.parametrize("prefix", ["/", "../", "a/../b", ".incoming/"])
async def test_a_prefix_that_no_key_has_is_not_listed(store: BlobStore, prefix: str):
    with pytest.raises(ValueError, match="prefix"):
        await keys(store, prefix)


async def test_a_staged_file_that_lost_bytes_is_not_kept(store: BlobStore, staging: Staging):
    async with staged(staging, noise(1000)) as file:
        await file.flush()
        os.truncate(file.fileno(), 999)
        with pytest.raises(StorageUnavailable):
            await store.put("blobs/short", file)
    assert await store.head("blobs/short") is None


async def test_a_store_that_is_there_says_so(store: BlobStore):
    await store.check()
    assert store.name in {"local", "memory", "minio"}
    assert await keys(store) == []
