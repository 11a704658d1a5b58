"""Staged files: what is written is what is hashed, and nothing is left behind by whoever wrote it."""

import asyncio
import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chitram.adapters.blobs.staging import BUFFER_SIZE, LocalStagedFile, LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import ManualClock
from chitram.domain.errors import StorageFull, StorageUnavailable
from chitram.domain.media import Span

DAY = timedelta(days=1)


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def take_all_descriptors(taken: list[int]) -> None:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))


def content(staged: LocalStagedFile) -> bytes:
    return os.pread(staged.fileno(), staged.size + 1, 0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.sampled_from([0, 1, 1000, 65_536, BUFFER_SIZE - 1, BUFFER_SIZE, BUFFER_SIZE + 1, 700_000])))
async def test_however_bytes_arrive_they_are_written_and_hashed_in_order(staging: LocalStaging, sizes: list[int]):
    source = random.Random(7)
    pieces = [source.randbytes(size) for size in sizes]
    async with staging.new() as staged:
        for kind, piece in zip([bytes, bytearray, memoryview] * len(pieces), pieces, strict=False):
            await staged.write(kind(piece))
        whole = b"".join(pieces)
        assert staged.size == len(whole)
        await staged.flush()
        await staged.flush()
        assert content(staged) == whole
        assert staged.sha256 == hashlib.sha256(whole).hexdigest()


@pytest.mark.parametrize("size", [1000, BUFFER_SIZE, 3 * BUFFER_SIZE + 5])
async def test_a_buffer_may_be_used_again_once_write_returned(staging: LocalStaging, size: int):
    buffer = bytearray(size)
    async with staging.new() as staged:
        for value in (b"a", b"b", b"c"):
            buffer[:] = value * size
            await staged.write(memoryview(buffer))
        buffer[:] = b"x" * size
        await staged.flush()
        assert content(staged) == b"a" * size + b"b" * size + b"c" * size


async def test_the_hash_waits_for_the_flush(staging: LocalStaging):
    async with staging.new() as staged:
        await staged.write(b"some")
        with pytest.raises(RuntimeError, match="flush"):
            _ = staged.sha256
        await staged.flush()
        assert staged.sha256 == hashlib.sha256(b"some").hexdigest()


async def test_a_write_of_wider_items_counts_bytes(staging: LocalStaging):
    async with staging.new() as staged:
        await staged.write(memoryview(b"12345678").cast("I"))
        await staged.flush()
        assert (staged.size, content(staged)) == (8, b"12345678")


async def test_memory_per_upload_is_one_buffer(staging: LocalStaging):
    async with staging.new() as staged:
        for _ in range(50):
            await staged.write(bytes(100_000))
            assert len(staged._buffer or b"") <= BUFFER_SIZE
        await staged.flush()
        assert staged._buffer is None


@pytest.mark.parametrize("ending", ["normal", "error", "cancelled"])
async def test_a_staged_file_is_gone_when_its_context_is(staging: LocalStaging, tmp_path: Path, ending: str):
    inside = asyncio.Event()

    async def use() -> None:
        async with staging.new() as staged:
            await staged.write(bytes(300_000))
            assert len(files(tmp_path)) == 1
            inside.set()
            if ending == "error":
                raise ZeroDivisionError
            if ending == "cancelled":
                await asyncio.sleep(60)

    async with staging.new():
        pass  # from now on the lock on this process's directory is held
    before = descriptors()
    task = asyncio.create_task(use())
    await inside.wait()
    if ending == "cancelled":
        task.cancel()
    await asyncio.wait([task])
    assert files(tmp_path) == []
    assert descriptors() == before


@pytest.mark.parametrize("seed", range(40))
async def test_a_cancellation_at_any_moment_leaves_nothing(staging: LocalStaging, tmp_path: Path, seed: int):
    async def use() -> None:
        async with staging.new() as staged:
            for _ in range(4):
                await staged.write(bytes(BUFFER_SIZE))
            async with staging.copy(staged, [Span(0, staged.size), b"end"]) as copied:
                await copied.flush()

    task = asyncio.create_task(use())
    for _ in range(random.Random(seed).randrange(30)):
        await asyncio.sleep(0.0001)
    task.cancel()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or task.exception() is None
    assert files(tmp_path) == []


async def test_a_file_whose_name_was_taken_away_still_ends_in_peace(staging: LocalStaging):
    async with staging.new() as staged:
        await staged.write(b"x")
        staged.path.unlink()
        await staged.flush()
        assert content(staged) == b"x"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=50),
            st.builds(Span, offset=st.integers(0, 400_000), length=st.integers(0, 400_000)),
        )
    )
)
async def test_a_copy_is_made_of_its_pieces(staging: LocalStaging, pieces: list[Span | bytes]):
    data = random.Random(3).randbytes(800_000)
    expected = b"".join(data[p.offset : p.offset + p.length] if isinstance(p, Span) else p for p in pieces)
    async with staging.new() as source:
        await source.write(data)
        async with staging.copy(source, pieces) as copied:
            assert copied.size == len(expected)
            assert copied.sha256 == hashlib.sha256(expected).hexdigest()
            assert content(copied) == expected
            assert copied.path != source.path
        assert content(source) == data


async def test_large_new_bytes_are_copied_through_the_buffer(staging: LocalStaging):
    new = random.Random(5).randbytes(3 * BUFFER_SIZE + 17)
    async with staging.new() as source:
        await source.write(b"head")
        async with staging.copy(source, [Span(0, 4), new]) as copied:
            assert content(copied) == b"head" + new


async def test_a_copy_of_bytes_that_are_not_there_fails(staging: LocalStaging, tmp_path: Path):
    async with staging.new() as source:
        await source.write(b"short")
        with pytest.raises(StorageUnavailable):
            async with staging.copy(source, [Span(0, 6)]):
                pytest.fail("there is no such copy")
        assert files(tmp_path) == [source.path]


async def test_free_bytes_is_what_ordinary_writes_have(staging: LocalStaging, tmp_path: Path):
    free = await staging.free_bytes()
    room = os.statvfs(tmp_path)
    assert abs(free - room.f_bavail * room.f_frsize) < 1 << 30


async def test_a_failed_write_is_never_mended_by_a_later_one(tmp_path: Path, threads: DiskThreads):
    # A descriptor that cannot be written to: what a disk that broke looks like from here.
    path = tmp_path / "file"
    path.touch()
    staged = LocalStagedFile(path, os.open(path, os.O_RDONLY), threads=threads)
    with pytest.raises(StorageUnavailable):
        await staged.write(bytes(BUFFER_SIZE))
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            await staged.flush()
    with pytest.raises(StorageUnavailable):
        await staged.write(bytes(BUFFER_SIZE))
    with pytest.raises(RuntimeError, match="flush"):
        _ = staged.sha256
    staged.dispose()


async def test_a_full_disk_is_told_from_a_broken_one(threads: DiskThreads):
    staged = LocalStagedFile(Path("/dev/full"), os.open("/dev/full", os.O_RDWR), threads=threads)
    with pytest.raises(StorageFull):
        await staged.write(bytes(BUFFER_SIZE))
    os.close(staged.fileno())


async def test_bytes_that_became_an_object_are_not_written_to(staging: LocalStaging, tmp_path: Path):
    async with staging.new() as staged:
        await staged.write(b"object")
        await staged.flush()
        os.link(staged.path, tmp_path / "object")
        await staged.write(b"more")
        with pytest.raises(RuntimeError, match="put into a store"):
            await staged.flush()
    assert (tmp_path / "object").read_bytes() == b"object"


async def test_no_descriptors_left_is_unavailable_and_passes(staging: LocalStaging):
    async with staging.new():
        pass
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, soft), hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            take_all_descriptors(taken)
        with pytest.raises(StorageUnavailable):
            async with staging.new():
                pytest.fail("there was no descriptor left")
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    async with staging.new() as staged:
        await staged.write(b"again")


async def test_a_directory_that_was_cleared_away_is_made_again(staging: LocalStaging, tmp_path: Path):
    async with staging.new() as staged:
        own = staged.path.parent
    own.rmdir()
    async with staging.new() as staged:
        assert staged.path.is_file()
        assert await staging.sweep(older_than=DAY) == 0


async def test_files_are_for_the_owner_and_the_group_whatever_the_mask(staging: LocalStaging):
    mask = os.umask(0o777)
    try:
        async with staging.new() as staged:
            assert staged.path.stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(mask)


async def test_what_is_on_its_way_is_for_the_owner_alone(staging: LocalStaging):
    async with staging.new() as staged:
        assert staged.path.parent.stat().st_mode & 0o077 == 0


async def test_a_sweep_takes_own_files_that_are_too_old(tmp_path: Path, threads: DiskThreads):
    clock = ManualClock(datetime.now(UTC))
    staging = LocalStaging(tmp_path, threads=threads, clock=clock)
    async with staging.new() as old:
        clock.advance(2 * DAY)
        async with staging.new() as young:
            os.utime(young.path, (clock.now().timestamp(), clock.now().timestamp()))
            assert await staging.sweep(older_than=DAY) == 1
            assert not old.path.exists()
            assert young.path.exists()
    staging.close()


async def test_sweeping_before_anything_was_staged_finds_nothing(staging: LocalStaging):
    assert await staging.sweep(older_than=timedelta(0)) == 0


OTHER_PROCESS = """
import asyncio, sys
from pathlib import Path
from chitram.adapters.blobs.staging import LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import SystemClock

async def main():
    staging = LocalStaging(Path(sys.argv[1]), threads=DiskThreads(workers=1), clock=SystemClock())
    async with staging.new() as one, staging.new() as two:
        await one.write(b"half an upload")
        await one.flush()
        print("ready", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def start_other(directory: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", OTHER_PROCESS, str(directory)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.slow
async def test_only_what_dead_processes_left_is_swept_and_that_at_once(staging: LocalStaging, tmp_path: Path):
    directory = tmp_path / "staging"
    dying, living = start_other(directory), start_other(directory)
    try:
        async with staging.new() as own:
            assert await staging.sweep(older_than=DAY) == 0
            assert len(files(directory)) == 5
            kill(dying)
            assert await staging.sweep(older_than=DAY) == 2
            assert await staging.sweep(older_than=timedelta(seconds=-3600)) == 1
            assert not own.path.exists()
            assert len(files(directory)) == 2
            assert len(list(directory.iterdir())) == 2
    finally:
        kill(living)
    assert await staging.sweep(older_than=DAY) == 2
    assert files(directory) == []


@pytest.mark.slow
def test_sweepers_and_newcomers_do_not_meet_badly(tmp_path: Path):
    """Many processes start, stage, sweep and are killed at once: none that lives loses its directory."""
    script = """
import sys, os
from pathlib import Path
from chitram.adapters.blobs.process_directory import ProcessDirectory
for _ in range(300):
    own = ProcessDirectory(Path(sys.argv[1]))
    path, fd = own.create_file()
    own.sweep()
    assert path.exists() and os.fstat(fd).st_nlink == 1, "a living process lost its file"
    os.close(fd)
    own.close()
"""
    processes = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(4)]
    victims = [start_other(tmp_path) for _ in range(2)]
    for victim in victims:
        time.sleep(0.05)
        kill(victim)
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
