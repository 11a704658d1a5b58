"""A durable put of 3 MB, staged and hashed, beside the bare system calls: `python -m benchmarks.blob_put`.

Limit: SHA-256, write, fsync, link and fsync of the directory in calls that C does, on one thread, of the same bytes in
the same slices. Peer: a plain write of the whole, neither hashed nor synced. Also: reads of 64 KiB, cached, beside
pread, and a disposable put of 20 kB beside a write with rename. Rounds are interleaved; medians, wall and CPU time.
"""

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import uvloop

from chitram.adapters.blobs.local import LocalBlobStore
from chitram.adapters.blobs.staging import LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import SystemClock

SIZE = 3_000_000
SLICE = 64 * 1024
READ = 64 * 1024
THUMBNAIL = 20_000

#: What an upload may pay here, in CPU time, beside the bare calls: the rest is hops between threads and one copy.
TARGET = 1.4

Case = Callable[[str], Awaitable[None]]


class Bench:
    """All cases on one temporary directory; `name` tells apart the files of all calls."""

    def __init__(self, directory: Path) -> None:
        self.threads = DiskThreads(workers=4)
        self.staging = LocalStaging(directory / "staging", threads=self.threads, clock=SystemClock())
        self.store = LocalBlobStore(directory / "store", threads=self.threads)
        self.bare = directory / "bare"
        self.data = os.urandom(SIZE)
        self.thumbnail = os.urandom(THUMBNAIL)

    async def prepare(self) -> None:
        self.bare.mkdir()
        await self.store.prepare(owner="benchmark", expect_data=False)
        async with self.staging.new() as staged:
            await staged.write(self.data)
            await self.store.put("read/it", staged)

    async def ours(self, name: str) -> None:
        view = memoryview(self.data)
        async with self.staging.new() as staged:
            for first in range(0, SIZE, SLICE):
                await staged.write(view[first : first + SLICE])
            await staged.flush()
            assert staged.sha256
            await self.store.put(f"blobs/ab/{name}", staged)

    async def limit(self, name: str) -> None:
        path, view, digest = self.bare / f"{name}.part", memoryview(self.data), hashlib.sha256()
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
        for first in range(0, SIZE, SLICE):
            digest.update(view[first : first + SLICE])
            os.write(fd, view[first : first + SLICE])
        os.fsync(fd)
        os.link(path, self.bare / name)
        directory = os.open(self.bare, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        os.close(directory)
        path.unlink()
        os.close(fd)

    async def plain(self, name: str) -> None:
        (self.bare / f"plain{name}").write_bytes(self.data)

    async def disposable(self, name: str) -> None:
        await self.store.put_disposable(f"thumbs/{name}/300", self.thumbnail)

    async def disposable_bare(self, name: str) -> None:
        part = self.bare / f"{name}.part"
        part.write_bytes(self.thumbnail)
        part.rename(self.bare / f"{name}.thumbnail")

    async def read(self, _name: str) -> None:
        blob = await self.store.open("read/it")
        assert blob is not None
        for first in range(0, SIZE - READ, READ):
            await blob.read(first, READ)
        await blob.aclose()

    async def read_bare(self, _name: str) -> None:
        fd = os.open(self.store._root / "read/it", os.O_RDONLY)  # noqa: SLF001  (the same file, without the store)
        for first in range(0, SIZE - READ, READ):
            os.pread(fd, READ, first)
        os.close(fd)


async def measure(cases: Sequence[Case], *, rounds: int, calls: int) -> list[tuple[float, float]]:
    """For each case the median over rounds of the mean over calls: wall and CPU time of all threads, milliseconds."""
    taken: list[list[tuple[float, float]]] = [[] for _ in cases]
    for turn in range(rounds):
        for number, case in enumerate(cases):
            wall, cpu = time.perf_counter(), time.process_time()
            for call in range(calls):
                await case(f"{turn}-{number}-{call}")
            spent = (time.perf_counter() - wall, time.process_time() - cpu)
            taken[number].append((spent[0] / calls * 1e3, spent[1] / calls * 1e3))
    return [(statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)) for times in taken]


def show(names: Sequence[str], times: Sequence[tuple[float, float]]) -> float:
    """Print the times beside the first, the limit; the ratio in CPU time of the second, ours."""
    for name, (wall, cpu) in zip(names, times, strict=True):
        ratios = f"{wall / times[0][0]:5.2f}x {cpu / times[0][1]:5.2f}x"
        print(f"{name:<34} {wall:8.3f} ms  {cpu:8.3f} ms CPU  {ratios}")
    return times[1][1] / times[0][1]


async def run(directory: Path, *, rounds: int) -> bool:
    bench = Bench(directory)
    with ExitStack() as closing:
        for close in (bench.threads.close, bench.store.close, bench.staging.close):
            closing.callback(close)
        await bench.prepare()
        puts = await measure((bench.limit, bench.ours, bench.plain), rounds=rounds, calls=10)
        ratio = show(("limit: bare calls, durable", "put, staged and hashed", "plain write, lost by a power cut"), puts)
        thumbnails = await measure((bench.disposable_bare, bench.disposable), rounds=rounds, calls=20)
        show(("limit: write and rename", "put_disposable"), thumbnails)
        reads = await measure((bench.read_bare, bench.read), rounds=rounds, calls=20)
        show(("limit: 3 MB in 64 KiB preads", "open, read, close"), reads)
    return ratio <= TARGET


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 1 when the put costs more CPU time beside the bare calls than the target allows."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument(
        "--directory", type=Path, default=None, help="where to write; a temporary directory if absent"
    )
    given = arguments.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        met = uvloop.run(run(Path(directory), rounds=given.rounds))
    print(f"target: at most {TARGET}x of the limit in CPU time: {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
