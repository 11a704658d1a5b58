"""Stores images as the server does, one after the other, and says of each when it would have answered.

    python -m tests.faults.powercut.driver DIRECTORY [--count N] [--size BYTES] [--on-demand]

staging → put → SQLite commit → "answered KEY SHA256" on standard output, or "failed CODE". With --on-demand one image
is stored for every line that is read. CHITRAM_DRIVER_WITHOUT names what is left out, to see whether a test notices:
"file", "directory", "parents", "thumbnails" (their fsync) or "database" (its synchronous commit), separated by commas.
"""

import argparse
import asyncio
import os
import sqlite3
import stat
import sys
from functools import partial
from pathlib import Path

from chitram.adapters.blobs.local import LocalBlobStore
from chitram.adapters.blobs.staging import LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import SystemClock, SystemIdentifiers
from chitram.domain.blobs import blob_key, thumbnail_key
from chitram.domain.errors import ChitramError

WITHOUT = frozenset(filter(None, os.environ.get("CHITRAM_DRIVER_WITHOUT", "").split(",")))


def leave_out_fsyncs() -> None:
    """The mutation: what is in WITHOUT is not brought to the disk."""
    real = os.fsync

    def fsync(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            kind = "file"
        else:
            kind = "directory" if path.parent.name == "blobs" else "parents"
        if kind not in WITHOUT:
            real(fd)

    os.fsync = fsync
    if "thumbnails" in WITHOUT:
        os.fdatasync = lambda fd: None


def commit(path: Path, *, key: str, sha256: str) -> None:
    connection = sqlite3.connect(path, timeout=5)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'OFF' if 'database' in WITHOUT else 'FULL'}")
        with connection:
            connection.execute("CREATE TABLE IF NOT EXISTS images (key TEXT PRIMARY KEY, sha256 TEXT)")
            connection.execute("INSERT INTO images VALUES (?, ?)", (key, sha256))
    finally:
        connection.close()


class Driver:
    """One store, one staging directory and one database below `directory`, and one thread for all of them."""

    def __init__(self, directory: Path) -> None:
        self._database = directory / "chitram.db"
        self._threads = DiskThreads(workers=1)
        self._staging = LocalStaging(directory / "staging", threads=self._threads, clock=SystemClock())
        self._store = LocalBlobStore(directory / "store", threads=self._threads)
        self._identifiers = SystemIdentifiers()

    async def prepare(self) -> None:
        await self._store.prepare(owner="d1", expect_data=False)

    async def upload(self, data: bytes) -> str:
        try:
            async with self._staging.new() as staged:
                await staged.write(data)
                await staged.flush()
                key = blob_key(sha256=staged.sha256, generation=self._identifiers.generation())
                await self._store.put(key, staged)
                await self._store.put_disposable(thumbnail_key(key, size=300), data[:20_000])
                await self._threads.run(partial(commit, self._database, key=key, sha256=staged.sha256))
                return f"answered {key} {staged.sha256}"
        except ChitramError as error:
            return f"failed {error.code}"
        except sqlite3.Error as error:
            return f"failed {type(error).__name__}"


async def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("--count", type=int, default=1_000_000)
    arguments.add_argument("--size", type=int, default=60_000)
    arguments.add_argument("--on-demand", action="store_true")
    given = arguments.parse_args()
    if WITHOUT:
        leave_out_fsyncs()
    driver = Driver(given.directory)
    await driver.prepare()
    print("ready", flush=True)
    for _ in range(given.count):
        if given.on_demand and not sys.stdin.readline():
            break
        print(await driver.upload(os.urandom(given.size)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
