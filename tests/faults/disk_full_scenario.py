"""Fill a small disk, look around, make room, go on. Prints what happened as JSON; run by test_disk_full."""

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path

from chitram.adapters.blobs.local import LocalBlobStore
from chitram.adapters.blobs.staging import LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import SystemClock
from chitram.domain.blobs import blob_key
from chitram.domain.errors import ChitramError


class Scenario:
    def __init__(self, disk: Path, *, staging: Path, size: int) -> None:
        self.threads = DiskThreads(workers=2)
        self.staging = LocalStaging(staging, threads=self.threads, clock=SystemClock())
        self.store = LocalBlobStore(disk / "store", threads=self.threads)
        self.disk = disk
        self.staging_directory = staging
        self.size = size
        self.kept: list[str] = []

    async def upload(self) -> str:
        """The key of a new object, or the code of what went wrong."""
        try:
            async with self.staging.new() as staged:
                await staged.write(content(self.size))
                await staged.flush()
                key = blob_key(sha256=staged.sha256, generation="000000000001")
                await self.store.put(key, staged)
                self.kept.append(key)
                return key
        except ChitramError as error:
            return error.code

    async def thumbnail(self, size: int) -> str:
        try:
            await self.store.put_disposable("thumbs/one", b"t" * size)
            return "ok"
        except ChitramError as error:
            return error.code

    async def sound(self) -> bool:
        """Whether the store holds just what was answered for, whole."""
        listed = sorted([info.key async for info in self.store.list("blobs/")])
        for key in listed:
            blob = await self.store.open(key)
            assert blob is not None
            data = await blob.read(0, blob.size)
            await blob.aclose()
            if hashlib.sha256(data).hexdigest() != key.split("/")[-1].partition(".")[0]:
                return False
        return listed == sorted(self.kept)

    def left_over(self) -> int:
        places = (self.staging_directory, self.disk / "store" / ".incoming")
        return sum(path.is_file() for place in places for path in place.rglob("*"))


def content(size: int) -> bytes:
    """Random bytes for one of few directories: a new directory takes an inode more, and when is not left to chance."""
    head = os.urandom(size - 8)
    digest = hashlib.sha256(head)
    while True:
        tail = os.urandom(8)
        whole = digest.copy()
        whole.update(tail)
        if whole.digest()[0] < 4:
            return head + tail


async def run(disk: Path, *, staging: Path, size: int) -> dict[str, object]:
    scenario = Scenario(disk, staging=staging, size=size)
    await scenario.store.prepare(owner="d1", expect_data=False)
    facts: dict[str, object] = {"thumbnail before": await scenario.thumbnail(1000)}
    last = ""
    for _ in range(2000):
        last = await scenario.upload()
        if not last.startswith("blobs/"):
            break
    facts["when full"] = last
    facts["again"] = [await scenario.upload() for _ in range(3)]
    facts["thumbnail when full"] = await scenario.thumbnail(1_000_000)
    old = await scenario.store.head("thumbs/one")
    facts["old thumbnail"] = old.size if old else None
    facts["kept"] = len(scenario.kept)
    facts["sound when full"] = await scenario.sound()
    facts["left over"] = scenario.left_over()
    facts["free"] = await scenario.staging.free_bytes()
    for _ in range(4):
        await scenario.store.erase(scenario.kept.pop())
    facts["after making room"] = [(await scenario.upload()).partition("/")[0] for _ in range(2)]
    facts["sound in the end"] = await scenario.sound()
    await scenario.store.erase(scenario.kept.pop())
    await scenario.store.check()
    scenario.store.close()
    scenario.staging.close()
    scenario.threads.close()
    return facts


if __name__ == "__main__":
    mount, elsewhere, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    place = Path(elsewhere) if elsewhere else mount / "staging"
    print(json.dumps(asyncio.run(run(mount, staging=place, size=size))))
