"""Copies of objects and rows, when the stores and other copies do not play along."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chitram.adapters.blobs.memory import MemoryBlobStore
from chitram.adapters.memory.clock import SystemClock, SystemIdentifiers
from chitram.domain.access import Viewer
from chitram.domain.blobs import ERASING_HELD, blob_key
from chitram.domain.errors import ServiceUnavailable, StorageUnavailable
from chitram.services.transfer import backup as module
from chitram.services.transfer.backup import Backup
from chitram.services.transfer.objects import Expected, ObjectMover, Transfer, objects_of
from tests.factories import pictures

DATA = b"bytes of a picture" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()
KEY = blob_key(sha256=SHA256, generation="0123456789ab")
EXPECTED = Expected(KEY, SHA256, len(DATA), thumbnails=False)


def store(**objects: bytes) -> MemoryBlobStore:
    return MemoryBlobStore(clock=SystemClock())


async def put(where: MemoryBlobStore, data: bytes, staging: Any) -> None:
    async with staging.new() as staged:
        await staged.write(data)
        await staged.flush()
        await where.put(KEY, staged)


async def read(where: MemoryBlobStore) -> bytes:
    opened = await where.open(KEY)
    assert opened is not None
    return await opened.read(0, opened.size)


class Forgetting:
    """A store that says that it has what it then does not give."""

    def __init__(self, inner: MemoryBlobStore, *, gives: Callable[[Any], Any]) -> None:
        self._inner = inner
        self._gives = gives

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def open(self, key: str) -> Any:
        return self._gives(await self._inner.open(key))


async def copied(source: Any, target: Any, staging: Any, expected: Expected = EXPECTED) -> Transfer:
    transfer = Transfer()
    await ObjectMover(source=source, target=target, staging=staging).copy(expected, transfer=transfer)
    return transfer


def test_what_no_image_names_is_promised_by_nobody():
    row = {"sha256": SHA256, "generation": "0123456789ab", "size": 3, "pipeline_version": 1}
    assert Expected.of({**row, "state": "condemned"}) is None
    assert Expected.of({**row, "state": "live"}) == Expected(KEY, SHA256, 3, thumbnails=True)


async def test_what_the_target_has_in_part_or_wrong_is_copied_again(staging):
    for wrong in (DATA[:-1], b"x" * len(DATA)):
        source, target = store(), store()
        await put(source, DATA, staging)
        await put(target, wrong, staging)
        assert (await copied(source, target, staging)).copied == 1
        assert await read(target) == DATA


async def test_what_the_target_has_is_not_copied_again(staging):
    source, target = store(), store()
    await put(target, DATA, staging)
    assert (await copied(source, target, staging)).present == 1


async def test_what_the_source_has_lost_or_damaged_is_named(staging):
    source, target = store(), store()
    assert (await copied(source, target, staging)).missing == [KEY]
    for wrong in (DATA[:-1], b"x" * len(DATA)):
        source = store()
        await put(source, wrong, staging)
        assert (await copied(source, target, staging)).damaged == [KEY]
    assert await target.head(KEY) is None


@pytest.mark.parametrize("kept", ["nothing", "less"])
async def test_a_target_that_does_not_give_back_what_it_got_ends_it(staging, kept):
    source, target = store(), store()
    await put(source, DATA, staging)
    shorter = store()
    await put(shorter, DATA[:-1], staging)
    given = None if kept == "nothing" else await shorter.open(KEY)
    with pytest.raises(StorageUnavailable, match="does not give back"):
        await copied(source, Forgetting(target, gives=lambda _: given), staging)


async def test_thumbnails_that_are_not_there_are_left_to_be_made_again(staging):
    source, target = store(), store()
    await put(source, DATA, staging)
    with_thumbnails = replace(EXPECTED, thumbnails=True)
    assert (await copied(source, target, staging, with_thumbnails)).copied == 1
    assert [found.key async for found in target.list("")] == [KEY]


@pytest.fixture
def backup(home, staging):
    return Backup(
        database=home.foundation.database,
        blobs=home.foundation.blobs,
        archive=None,
        copies=store(),
        staging=staging,
        clock=home.clock,
        identifiers=SystemIdentifiers(),
    )


async def test_two_copies_at_a_time_are_refused(home, backup):
    now = home.clock.now()
    async with home.foundation.database.begin() as work:
        assert await work.leases.acquire(ERASING_HELD, holder="another", now=now, until=now + timedelta(minutes=1))
    with pytest.raises(ServiceUnavailable, match="Another backup"):
        await backup.make(version="1", revision="1", progress=lambda _: None)


async def test_a_lease_is_prolonged_while_a_copy_is_made(home, backup, monkeypatch, caplog):
    monkeypatch.setattr(module, "LEASE", timedelta(seconds=0.03))
    prolonged, hold = asyncio.Event(), backup._hold

    async def watched() -> bool:
        held = await hold()
        if prolonging:
            prolonged.set()
        return held

    prolonging = False
    monkeypatch.setattr(backup, "_hold", watched)
    async with backup._nothing_is_erased():
        prolonging = True
        await asyncio.wait_for(prolonged.wait(), 20)
        await asyncio.sleep(0.02)
    assert "could not" not in caplog.text


async def test_objects_that_no_image_names_are_not_moved(home):
    kept = await home.upload(pictures.jpeg(40, 30))
    gone = await home.upload(pictures.jpeg(50, 30))
    viewer = Viewer(delete_token=gone.delete_token)
    await home.application.images.delete(gone.record.image.id, viewer=viewer)
    found = [expected.key async for expected in objects_of(home.foundation.database)]
    assert found == [kept.record.blob.key]


@pytest.mark.parametrize("taken_by", ["somebody", "nobody"])
async def test_a_lease_that_cannot_be_prolonged_is_told(home, backup, monkeypatch, caplog, taken_by):
    monkeypatch.setattr(module, "LEASE", timedelta(seconds=0.06))
    held = asyncio.Event()

    async def lost() -> bool:
        held.set()
        if taken_by == "nobody":
            raise ServiceUnavailable
        return False

    async with backup._nothing_is_erased():
        monkeypatch.setattr(backup, "_hold", lost)
        await asyncio.wait_for(held.wait(), 20)
        await asyncio.sleep(0.01)
    assert "could not be prolonged" in caplog.text
