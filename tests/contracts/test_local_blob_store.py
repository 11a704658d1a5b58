"""What holds of the blob store on a local disk beside the contract: modes, links, mount points, other file systems."""

import asyncio
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chitram.adapters.blobs.directories import Directories
from chitram.adapters.blobs.failures import storage_failure
from chitram.adapters.blobs.local import LocalBlobStore
from chitram.adapters.blobs.local_files import LocalOpenBlob
from chitram.adapters.blobs.marker import MARKER
from chitram.adapters.blobs.staging import LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import SystemClock
from chitram.domain.errors import StorageFull, StorageUnavailable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "store"


@pytest.fixture
async def store(root: Path, threads: DiskThreads) -> AsyncIterator[LocalBlobStore]:
    local = LocalBlobStore(root, threads=threads)
    await local.prepare(owner="d1", expect_data=False)
    yield local
    local.close()


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A directory on another file system, where no hard link can lead."""
    directory = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield directory
    shutil.rmtree(directory)


async def put(store: LocalBlobStore, staging: LocalStaging, key: str, data: bytes) -> None:
    async with staging.new() as file:
        await file.write(data)
        await store.put(key, file)


async def test_files_and_directories_are_closed_to_others_whatever_the_mask(
    store: LocalBlobStore, staging: LocalStaging, root: Path
):
    mask = os.umask(0o077)
    try:
        await put(store, staging, "blobs/ab/x.1", b"x")
        await store.put_disposable("thumbs/blobs/ab/x.1/1/300", b"t")
    finally:
        os.umask(mask)
    for path in (root / "blobs").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o750 if path.is_dir() else 0o640)
    for path in (root / "thumbs").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o750 if path.is_dir() else 0o640)


async def test_an_inherited_group_is_inherited_further_down(store: LocalBlobStore, staging: LocalStaging, root: Path):
    root.chmod(0o2750)
    mask = os.umask(0o077)
    try:
        await put(store, staging, "blobs/ab/x.1", b"x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((root / "blobs" / "ab").stat().st_mode) == 0o2750


async def test_a_put_is_a_link_and_copies_nothing(store: LocalBlobStore, staging: LocalStaging, root: Path):
    async with staging.new() as file:
        await file.write(b"bytes")
        await store.put("blobs/x", file)
        assert (root / "blobs" / "x").samefile(file.path)


async def test_without_hard_links_the_bytes_are_copied(store: LocalBlobStore, threads: DiskThreads, elsewhere: Path):
    far = LocalStaging(elsewhere, threads=threads, clock=SystemClock())
    data = os.urandom(3_000_001)
    await put(store, far, "blobs/ab/x", data)
    blob = await store.open("blobs/ab/x")
    assert blob is not None
    assert await blob.read(0, blob.size) == data
    await blob.aclose()
    with pytest.raises(StorageUnavailable):
        await put(store, far, "blobs/ab/x", b"another")
    assert [info.size async for info in store.list("")] == [len(data)]
    assert [path for path in (store._root / ".incoming").rglob("*") if path.is_file()] == []
    far.close()


async def test_a_symbolic_link_is_no_object(store: LocalBlobStore, staging: LocalStaging, root: Path, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"not yours")
    await put(store, staging, "blobs/x", b"x")
    (root / "blobs" / "link").symlink_to(secret)
    with pytest.raises(StorageUnavailable):
        await store.open("blobs/link")
    assert await store.head("blobs/link") is None
    assert [info.key async for info in store.list("")] == ["blobs/x"]
    await store.put_disposable("blobs/link", b"replaced")
    assert secret.read_bytes() == b"not yours"


async def test_nothing_is_written_through_a_symbolic_link(store: LocalBlobStore, staging: LocalStaging, root: Path):
    outside = root.parent / "outside"
    outside.mkdir()
    (root / "blobs").symlink_to(outside)
    with pytest.raises(StorageUnavailable):
        await put(store, staging, "blobs/ab/x", b"x")
    assert list(outside.iterdir()) == []


async def test_erasing_follows_no_symbolic_link(store: LocalBlobStore, root: Path):
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    await store.put_disposable("thumbs/a/b", b"")
    (root / "thumbs" / "a" / "link").symlink_to(outside)
    await store.erase_prefix("thumbs/a/")
    assert (outside / "kept").exists()
    assert not (root / "thumbs" / "a").exists()


async def test_a_file_in_the_way_of_a_directory_is_a_failure_and_not_lost(store: LocalBlobStore, staging: LocalStaging):
    await put(store, staging, "blobs/x", b"x")
    with pytest.raises(StorageUnavailable):
        await put(store, staging, "blobs/x/y", b"y")
    with pytest.raises(StorageUnavailable):
        await store.put_disposable("blobs/x/y", b"y")
    assert [info.key async for info in store.list("")] == ["blobs/x"]


async def test_an_emptied_directory_may_vanish_between_two_puts(
    store: LocalBlobStore, staging: LocalStaging, root: Path
):
    await put(store, staging, "blobs/ab/x", b"x")
    shutil.rmtree(root / "blobs")
    await put(store, staging, "blobs/ab/y", b"y")
    assert [info.key async for info in store.list("")] == ["blobs/ab/y"]


async def test_a_staged_file_without_its_name_cannot_be_put(store: LocalBlobStore, staging: LocalStaging):
    async with staging.new() as file:
        await file.write(b"x")
        await file.flush()
        file.path.unlink()
        with pytest.raises(StorageUnavailable):
            await store.put("blobs/x", file)
    assert await store.head("blobs/x") is None


async def test_a_volume_that_went_away_is_no_empty_store(store: LocalBlobStore, staging: LocalStaging, root: Path):
    await put(store, staging, "blobs/ab/x", b"x")
    volume = root.with_name("volume")
    root.rename(volume)
    root.mkdir()
    for ask in (store.head, store.open, store.erase):
        with pytest.raises(StorageUnavailable, match="mounted"):
            await ask("blobs/ab/x")
    with pytest.raises(StorageUnavailable, match="mounted"):
        await store.check()
    with pytest.raises(StorageUnavailable, match="mounted"):
        await put(store, staging, "blobs/ab/y", b"y")
    with pytest.raises(StorageUnavailable, match="mounted"):
        await store.put_disposable("thumbs/x", b"y")
    with pytest.raises(StorageUnavailable, match="mounted"):
        await store.erase_prefix("blobs/")
    with pytest.raises(StorageUnavailable, match="mounted"):
        _ = [info async for info in store.list("")]
    assert list(root.iterdir()) == []
    root.rmdir()
    volume.rename(root)
    await store.check()
    await put(store, staging, "blobs/ab/y", b"y")
    assert sorted([info.key async for info in store.list("")]) == ["blobs/ab/x", "blobs/ab/y"]


async def test_a_list_that_ends_early_because_the_volume_went_does_not_look_whole(store: LocalBlobStore, root: Path):
    for n in range(600):
        await store.put_disposable(f"blobs/{n}", b"")
    listing = store.list("")
    first = await anext(listing)
    root.rename(root.with_name("volume"))
    with pytest.raises(StorageUnavailable, match="mounted"):
        _ = [info async for info in listing]
    assert first.size == 0


async def test_the_first_start_makes_a_store_and_later_ones_find_it(root: Path, threads: DiskThreads):
    for expect_data in (False, False, True):
        await LocalBlobStore(root, threads=threads).prepare(owner="d1", expect_data=expect_data)
    assert (root / MARKER).is_file()


async def test_a_root_without_marker_is_refused_where_images_are_recorded(root: Path, threads: DiskThreads):
    root.mkdir(parents=True)
    with pytest.raises(StorageUnavailable, match="is the volume mounted"):
        await LocalBlobStore(root, threads=threads).prepare(owner="d1", expect_data=True)
    assert list(root.iterdir()) == []


async def test_a_fresh_file_system_counts_as_empty_and_somebodys_files_do_not(root: Path, threads: DiskThreads):
    (root / "lost+found").mkdir(parents=True)
    (root / "letters").mkdir()
    with pytest.raises(StorageUnavailable, match="letters"):
        await LocalBlobStore(root, threads=threads).prepare(owner="d1", expect_data=False)
    (root / "letters").rmdir()
    await LocalBlobStore(root, threads=threads).prepare(owner="d1", expect_data=False)


async def test_a_start_clears_away_what_dead_processes_left(store: LocalBlobStore, root: Path):
    dead = root / ".incoming" / "process-1-dead"
    dead.mkdir(parents=True)
    (dead / "half").write_bytes(b"half")
    await store.check()
    await store.prepare(owner="d1", expect_data=True)
    assert not dead.exists()
    assert len(list((root / ".incoming").iterdir())) == 1


async def test_foreign_names_are_not_listed(store: LocalBlobStore, root: Path):
    await store.put_disposable("blobs/x", b"x")
    (root / "lost+found").mkdir()
    (root / "lost+found" / "inode").touch()
    (root / "blobs" / ".hidden").touch()
    os.mkfifo(root / "blobs" / "pipe")
    assert [info.key async for info in store.list("")] == ["blobs/x"]


async def test_cancelled_opens_leave_no_descriptor(root: Path, threads: DiskThreads):
    store = LocalBlobStore(root, threads=threads, inline_reads=False)
    await store.prepare(owner="d1", expect_data=False)
    await store.put_disposable("blobs/x", b"x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for key in ("blobs/x", "blobs/none"):
        for _ in range(20):
            task = asyncio.create_task(store.open(key))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            # The thread may have been faster than the cancellation.
            if not task.cancelled() and (blob := task.result()) is not None:
                await blob.aclose()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    store.close()


async def test_pages_that_are_not_in_memory_are_read_by_a_thread(
    store: LocalBlobStore, staging: LocalStaging, root: Path
):
    data = os.urandom(2_000_000)
    await put(store, staging, "blobs/x", data)
    fd = os.open(root / "blobs" / "x", os.O_RDONLY)
    for first in (0, 65_536, 1_000_000):
        os.posix_fadvise(fd, first, 0, os.POSIX_FADV_DONTNEED)
        blob = await store.open("blobs/x")
        assert blob is not None
        assert await blob.read(0, len(data)) == data
        await blob.aclose()
    os.close(fd)


async def test_a_file_system_that_cannot_say_what_is_cached_is_read_by_a_thread(threads: DiskThreads):
    # Files of the process file system know nothing of reads that do not wait.
    fd = os.open("/proc/self/status", os.O_RDONLY)
    blob = LocalOpenBlob(fd, size=0, threads=threads, inline=True)
    assert await blob.read(0, 5) == b"Name:"
    assert not blob._inline
    await blob.aclose()


async def test_a_read_that_fails_is_unavailable(threads: DiskThreads, tmp_path: Path):
    blob = LocalOpenBlob(os.open(tmp_path, os.O_RDONLY), size=0, threads=threads, inline=True)
    with pytest.raises(StorageUnavailable):
        await blob.read(0, 5)
    await blob.aclose()


async def test_bytes_whose_fsync_failed_once_are_never_kept(
    store: LocalBlobStore, threads: DiskThreads, tmp_path: Path
):
    class Pipe:
        """Staged bytes behind a descriptor that cannot be synced."""

        path, size, sha256 = tmp_path / "file", 0, ""
        reading, writing = os.pipe()
        descriptor = writing

        def fileno(self) -> int:
            return self.descriptor

        async def flush(self) -> None: ...

        async def write(self, data: bytes | bytearray | memoryview) -> None: ...

    staged = Pipe()
    staged.path.touch()
    with pytest.raises(StorageUnavailable):
        await store.put("blobs/x", staged)
    os.close(staged.reading)
    os.close(staged.writing)
    staged.descriptor = os.open(staged.path, os.O_RDWR)
    with pytest.raises(StorageUnavailable, match="before"):
        await store.put("blobs/x", staged)
    os.close(staged.descriptor)
    assert await store.head("blobs/x") is None


def test_directories_are_settled_once_and_again_when_forgotten(tmp_path: Path):
    directories = Directories(tmp_path)
    assert directories.make("") == ()
    assert directories.make("a/b") == ("a", "a/b")
    assert directories.make("a/b") == ("a", "a/b")
    directories.settle(("a", "a/b"))
    assert directories.make("a/b") == ()
    assert directories.make("a/c") == ("a/c",)
    directories.forget("a/b")
    assert directories.make("a/b") == ("a/b",)
    directories.settle(("a/b",))
    directories.forget("a")
    assert directories.make("a/b") == ("a", "a/b")
    directories.forget("")
    assert directories.make("") == ()


async def test_a_key_may_lie_directly_in_the_root(store: LocalBlobStore, staging: LocalStaging):
    await put(store, staging, "alone", b"x")
    await store.put_disposable("also", b"y")
    assert sorted([info.key async for info in store.list("")]) == ["alone", "also"]
    await store.erase("alone")
    assert await store.head("alone") is None


async def test_what_only_looks_like_a_process_directory_is_left_alone(store: LocalBlobStore, root: Path):
    await store.check()
    (root / ".incoming" / "process-note").write_text("a file")
    await store.prepare(owner="d1", expect_data=True)
    assert (root / ".incoming" / "process-note").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_is_told_from_other_faults(code: int):
    assert isinstance(storage_failure(OSError(code, "")), StorageFull)
    assert isinstance(storage_failure(OSError(errno.EIO, "")), StorageUnavailable)
    assert isinstance(storage_failure(OSError("no number")), StorageUnavailable)
