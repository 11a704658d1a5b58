"""Collection: bytes that nothing names are erased, and never any others."""

from datetime import datetime, timedelta

from chitram.domain.blobs import (
    BLOB_PREFIX,
    ERASING_HELD,
    THUMBNAIL_PREFIX,
    Blob,
    BlobState,
    is_blob_key,
    thumbnail_prefix,
)
from chitram.domain.errors import ChitramError, StorageUnavailable
from chitram.ports.blobs import BlobStore
from chitram.ports.clock import Clock
from chitram.ports.staging import Staging
from chitram.ports.unit_of_work import Database

BATCH = 200
#: So many left-over originals are erased without a question; beyond that, at most this share of all.
FEW_ORPHANS = 100
ORPHAN_SHARE = 0.05
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
        """Sweep: erase condemned blobs whose grace is over and finish erasures that were cut short; how many.

        A blob that cannot be erased does not keep the others; the failure is raised at the end.
        """
        erased = 0
        failure: ChitramError | None = None
        async with self._database.read() as repositories:
            due = await repositories.blobs.condemned_before(self._clock.now() - self._grace, limit=BATCH)
        for blob_id in due:
            try:
                erased += await self._collect_one(blob_id)
            except ChitramError as error:
                failure = error
        if failure is not None:
            raise failure
        return erased

    async def erase_orphans(self) -> int:
        """Sweep: erase objects that no row names and that are older than the grace period; how many.

        Crashes leave few. When there are many, rows are missing rather than objects left over: then none is erased
        and StorageUnavailable is raised, for somebody to look.
        """
        await self._blobs.check()
        oldest = self._clock.now() - max(self._grace, MIN_ORPHAN_AGE)
        seen, unnamed = 0, list[str]()
        batch: list[str] = []
        async for found in self._blobs.list(BLOB_PREFIX):
            seen += 1
            if found.modified_at <= oldest and is_blob_key(found.key):
                batch.append(found.key)
            if len(batch) == BATCH:
                unnamed += await self._unnamed(batch)
                batch = []
        unnamed += await self._unnamed(batch)
        if len(unnamed) > max(FEW_ORPHANS, seen * ORPHAN_SHARE):
            raise StorageUnavailable(f"{len(unnamed)} of {seen} stored files have no row; none of them was erased")
        for key in unnamed:
            await self._erase_objects(key)
        return len(unnamed) + await self._erase_orphan_thumbnails(oldest)

    async def clear_staging(self) -> int:
        """Sweep: remove received files that dead processes left behind; how many."""
        return await self._staging.sweep(older_than=timedelta(days=1))

    async def _collect_one(self, blob_id: int) -> bool:
        blob = await self._mark_erasing(blob_id)
        if blob is None:
            return False
        await self._erase_objects(blob.key)
        async with self._database.begin() as work:
            await work.blobs.remove(blob.id)
        return True

    async def _mark_erasing(self, blob_id: int) -> Blob | None:
        """The blob when it may be erased now: nothing names it, counted under its row lock."""
        async with self._database.begin() as work:
            blob = await work.blobs.lock(blob_id)
            if blob is None or blob.state is BlobState.LIVE:
                return None
            if blob.state is BlobState.CONDEMNED:
                if await work.leases.is_held(ERASING_HELD, now=self._clock.now()):
                    return None
                if await work.blobs.count_images(blob_id):
                    await work.blobs.revive(blob_id)
                    return None
                await work.blobs.mark_erasing(blob_id)
            return blob

    async def _erase_objects(self, key: str) -> None:
        await self._blobs.erase_prefix(thumbnail_prefix(key))
        await self._blobs.erase(key)

    async def _unnamed(self, keys: list[str]) -> list[str]:
        async with self._database.read() as repositories:
            named = await repositories.blobs.known_keys(keys)
        return [key for key in keys if key not in named]

    async def _erase_orphan_thumbnails(self, oldest: datetime) -> int:
        """Thumbnails whose original is gone: an upload or an erasure was cut short between the two."""
        erased = 0
        keys: set[str] = set()
        async for found in self._blobs.list(THUMBNAIL_PREFIX):
            if found.modified_at > oldest:
                continue
            key = found.key.removeprefix(THUMBNAIL_PREFIX).rpartition("/")[0].rpartition("/")[0]
            if not is_blob_key(key):
                continue
            if len(keys) == BATCH and key not in keys:
                erased += await self._erase_unnamed_thumbnails(keys)
                keys = set()
            keys.add(key)
        return erased + await self._erase_unnamed_thumbnails(keys)

    async def _erase_unnamed_thumbnails(self, keys: set[str]) -> int:
        erased = 0
        for key in await self._unnamed(sorted(keys)):
            if await self._blobs.head(key) is None:
                await self._blobs.erase_prefix(thumbnail_prefix(key))
                erased += 1
        return erased
