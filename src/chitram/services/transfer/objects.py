"""Every object into another store, the old one untouched, each compared with its hash under way and on arrival."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from chitram.domain.blobs import BlobState, blob_key, thumbnail_keys
from chitram.domain.errors import StorageUnavailable
from chitram.ports.blobs import BlobStore, OpenBlob
from chitram.ports.repositories.rows import Row
from chitram.ports.staging import StagedFile, Staging
from chitram.ports.unit_of_work import Database
from chitram.services.transfer.rows import page_of

#: Bytes of an object that are in memory at a time.
CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Expected:
    """An object that has to be there, as the rows know it."""

    key: str
    sha256: str
    size: int
    thumbnails: bool

    @classmethod
    def of(cls, row: Row) -> "Expected | None":
        """What a row of the table of blobs promises; None for one that no image names."""
        if row["state"] != BlobState.LIVE.value:
            return None
        sha256, generation = str(row["sha256"]), str(row["generation"])
        size, version = row["size"], row["pipeline_version"]
        assert isinstance(size, int)
        return cls(blob_key(sha256=sha256, generation=generation), sha256, size, thumbnails=version != 0)


@dataclass(slots=True)
class Transfer:
    """How far it went. `missing` and `damaged`: keys of objects that the source no longer has, or not whole."""

    copied: int = 0
    present: int = 0
    bytes: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


class ObjectMover:
    """Copies objects, each compared with its hash on the way and again at the target."""

    def __init__(self, *, source: BlobStore, target: BlobStore, staging: Staging) -> None:
        self._source = source
        self._target = target
        self._staging = staging

    async def copy(self, expected: Expected, *, transfer: Transfer) -> None:
        """Bring one object to the target, with its thumbnails; `transfer` keeps the count.

        StorageUnavailable when the target does not give back what was put into it.
        """
        if await self._arrived(expected):
            transfer.present += 1
            await self._copy_thumbnails(expected)
            return
        opened = await self._source.open(expected.key)
        if opened is None:
            transfer.missing.append(expected.key)
            return
        try:
            async with self._staging.new() as staged:
                if await _fill(staged, opened, expected):
                    await self._put(expected, staged)
                    transfer.copied += 1
                    transfer.bytes += expected.size
                else:
                    transfer.damaged.append(expected.key)
        finally:
            await opened.aclose()
        await self._copy_thumbnails(expected)

    async def _arrived(self, expected: Expected) -> bool:
        """Whether the target has it whole; what it has otherwise, from a copy that was cut short, is erased."""
        found = await self._target.head(expected.key)
        if found is None:
            return False
        if found.size == expected.size and await holds(self._target, expected):
            return True
        await self._target.erase(expected.key)
        return False

    async def _put(self, expected: Expected, staged: StagedFile) -> None:
        await self._target.put(expected.key, staged)
        if not await holds(self._target, expected):
            raise StorageUnavailable("The target does not give back what was put into it.")

    async def _copy_thumbnails(self, expected: Expected) -> None:
        if not expected.thumbnails:
            return
        for key in thumbnail_keys(expected.key).values():
            if await self._target.head(key) is not None:
                continue
            opened = await self._source.open(key)
            if opened is None:  # disposable: made again when somebody asks
                continue
            try:
                await self._target.put_disposable(key, await opened.read(0, opened.size))
            finally:
                await opened.aclose()


async def objects_of(database: Database) -> AsyncIterator[Expected]:
    """Every object that the rows promise."""
    last: Row | None = None
    while rows := await page_of(database, "blobs", after=last):
        for row in rows:
            expected = Expected.of(row)
            if expected is not None:
                yield expected
        last = rows[-1]


async def holds(store: BlobStore, expected: Expected) -> bool:
    """Whether the store's object has the hash that it should have. Reads all of it."""
    opened = await store.open(expected.key)
    if opened is None:
        return False
    try:
        if opened.size != expected.size:
            return False
        seen = hashlib.sha256()
        async for piece in _pieces(opened):
            seen.update(piece)
    finally:
        await opened.aclose()
    return seen.hexdigest() == expected.sha256


async def _fill(staged: StagedFile, opened: OpenBlob, expected: Expected) -> bool:
    """Copy an object into a staged file; whether it is what it should be."""
    if opened.size != expected.size:
        return False
    async for piece in _pieces(opened):
        await staged.write(piece)
    await staged.flush()
    return staged.sha256 == expected.sha256


async def _pieces(opened: OpenBlob) -> AsyncIterator[bytes]:
    for offset in range(0, opened.size, CHUNK):
        yield await opened.read(offset, min(CHUNK, opened.size - offset))
