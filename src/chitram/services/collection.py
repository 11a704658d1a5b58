"""Collection: bytes that nothing names are erased, and never any others."""

from datetime import datetime, timedelta

from chitram.domain.blobs import BLOB_PREFIX, THUMBNAIL_PREFIX, Blob, BlobState, thumbnail_prefix
from chitram.ports.blobs import BlobStore
from chitram.ports.clock import Clock
from chitram.ports.staging import Staging
from chitram.ports.unit_of_work import Database

BATCH = 200
#: A put is recorded within the deadlines of one request; what is older and unnamed was left behind by a dead process.
MIN_ORPHAN_AGE = timedelta(hours=1)


class Collector:
    """`grace` is how long condemned blobs and unnamed objects are kept."""

    def __init__(
        self, *, grace: timedelta, database: Database, blobs: BlobStore, staging: Staging, clock: Clock
    ) -> None:
        self._grace = grace
        self._database = database
        self._blobs = blobs
        self._staging = staging
        self._clock = clock

    async def collect(self) -> int:
        """Sweep: erase condemned blobs whose grace is over and finish erasures that were cut short; how many."""
        erased = 0
        async with self._database.read() as repositories:
            due = await repositories.blobs.condemned_before(self._clock.now() - self._grace, limit=BATCH)
        for blob_id in due:
            blob = await self._mark_erasing(blob_id)
            if blob is not None:
                await self._erase_objects(blob.key)
                async with self._database.begin() as work:
                    await work.blobs.remove(blob.id)
                erased += 1
        return erased

    async def erase_orphans(self) -> int:
        """Sweep: erase objects that no row names and that are older than the grace period; how many."""
        await self._blobs.check()
        oldest = self._clock.now() - max(self._grace, MIN_ORPHAN_AGE)
        erased = 0
        batch: list[str] = []
        async for found in self._blobs.list(BLOB_PREFIX):
            if found.modified_at <= oldest:
                batch.append(found.key)
            if len(batch) == BATCH:
                erased += await self._erase_unnamed(batch)
                batch = []
        return erased + await self._erase_unnamed(batch) + await self._erase_orphan_thumbnails(oldest)

    async def clear_staging(self) -> int:
        """Sweep: remove received files that dead processes left behind; how many."""
        return await self._staging.sweep(older_than=timedelta(days=1))

    async def _mark_erasing(self, blob_id: int) -> Blob | None:
        """The blob when it may be erased now: nothing names it, counted under its row lock."""
        async with self._database.begin() as work:
            blob = await work.blobs.lock(blob_id)
            if blob is None or blob.state is BlobState.LIVE:
                return None
            if blob.state is BlobState.CONDEMNED:
                if await work.blobs.count_images(blob_id):
                    await work.blobs.revive(blob_id)
                    return None
                await work.blobs.mark_erasing(blob_id)
            return blob

    async def _erase_objects(self, key: str) -> None:
        await self._blobs.erase_prefix(thumbnail_prefix(key))
        await self._blobs.erase(key)

    async def _erase_unnamed(self, keys: list[str]) -> int:
        if not keys:
            return 0
        async with self._database.read() as repositories:
            named = await repositories.blobs.known_keys(keys)
        unnamed = [key for key in keys if key not in named]
        for key in unnamed:
            await self._erase_objects(key)
        return len(unnamed)

    async def _erase_orphan_thumbnails(self, oldest: datetime) -> int:
        """Thumbnails whose original is gone: an upload or an erasure was cut short between the two."""
        erased = 0
        keys: set[str] = set()
        async for found in self._blobs.list(THUMBNAIL_PREFIX):
            if found.modified_at > oldest:
                continue
            key = found.key.removeprefix(THUMBNAIL_PREFIX).rpartition("/")[0].rpartition("/")[0]
            if len(keys) == BATCH and key not in keys:
                erased += await self._erase_unnamed_thumbnails(keys)
                keys = set()
            keys.add(key)
        return erased + await self._erase_unnamed_thumbnails(keys)

    async def _erase_unnamed_thumbnails(self, keys: set[str]) -> int:
        erased = 0
        async with self._database.read() as repositories:
            named = await repositories.blobs.known_keys(sorted(keys))
        for key in keys - named:
            if await self._blobs.head(key) is None:
                await self._blobs.erase_prefix(thumbnail_prefix(key))
                erased += 1
        return erased
