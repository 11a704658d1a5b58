"""Integrity: stored bytes are read again and compared with their hash."""

import asyncio
import errno
import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from chitram.domain.access import Viewer, require_control
from chitram.domain.api_tokens import Scope
from chitram.domain.blobs import Blob
from chitram.domain.errors import ImageNotFound, StorageUnavailable
from chitram.domain.images import is_image_id
from chitram.domain.jobs import JobKind, NewJob
from chitram.ports.blobs import BlobStore
from chitram.ports.cache import RecordCache
from chitram.ports.clock import Clock
from chitram.ports.lookup import Lookup
from chitram.ports.unit_of_work import Database

CHUNK = 1024 * 1024
SCRUB_BATCH = 50
#: How often a disk is asked for bytes that it fails to read before they count as damaged.
READS = 2
#: Damaged blobs are read again this soon: whoever put a file back, or a disk that works again, need not wait for long.
RECHECK = timedelta(hours=1)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verification:
    """`sha256` is what the bytes should be, `stored_sha256` what they are: None when they are missing."""

    match: bool
    sha256: str
    stored_sha256: str | None
    verified_at: datetime


class Integrity:
    """`interval` is the longest time between two verifications of a blob."""

    def __init__(
        self,
        *,
        interval: timedelta,
        database: Database,
        lookup: Lookup,
        blobs: BlobStore,
        records: RecordCache,
        clock: Clock,
    ) -> None:
        self._interval = interval
        self._database = database
        self._lookup = lookup
        self._blobs = blobs
        self._records = records
        self._clock = clock

    async def verify(self, image_id: str, *, viewer: Viewer) -> Verification:
        """Read the stored bytes of an image and compare them with their hash; damaged ones are no longer served.

        ImageNotFound, Forbidden, DeleteTokenRequired, InvalidDeleteToken. StorageUnavailable when the bytes cannot be
        had now, which says nothing about them.
        """
        record = await self._lookup.find(image_id) if is_image_id(image_id) else None
        if record is None:
            raise ImageNotFound
        require_control(record, viewer, scope=Scope.READ)
        return await self._verify(record.blob)

    async def scrub(self) -> int:
        """Sweep: verify the blobs whose last verification is too long ago; how many were damaged or missing.

        StorageUnavailable when the store itself is away.
        """
        now = self._clock.now()
        async with self._database.read() as repositories:
            due = await repositories.blobs.verified_before(now - self._interval, limit=SCRUB_BATCH)
            corrupt = await repositories.blobs.corrupt_before(now - RECHECK, limit=SCRUB_BATCH)
        each_once = {blob.id: blob for blob in (*due, *corrupt)}
        return sum([await self._is_damaged(blob) for blob in each_once.values()])

    async def _is_damaged(self, blob: Blob) -> bool:
        """Verify one of many. What cannot be read now is neither marked nor counted: it is due again next time."""
        try:
            return not (await self._verify(blob)).match
        except StorageUnavailable:
            # When it is not only this one, the others need not be tried: each may cost the patience of a whole request.
            await self._blobs.check()
            logger.warning("the stored bytes %s cannot be read now and are left for later", blob.key, exc_info=True)
            return False

    async def _verify(self, blob: Blob) -> Verification:
        stored = await self._stored_sha256(blob)
        if stored is None:
            # An unmounted volume must not turn every blob into a missing one: the store has to vouch for itself.
            await self._blobs.check()
        now = self._clock.now()
        match = stored == blob.sha256
        async with self._database.begin() as work:
            current = await work.blobs.lock(blob.id)
            if current is not None and current.generation == blob.generation:
                await work.blobs.set_verified(blob.id, at=now, corrupt=not match)
                if match is not (blob.corrupt_at is None):
                    image_ids = list(await work.images.ids_of_blob(blob.id))
                    logger.error("the stored bytes %s of %s: %s", blob.key, image_ids, "sound" if match else "damaged")
                    await work.jobs.add(NewJob(JobKind.INVALIDATE, {"image_ids": image_ids}, run_at=now))
                    work.after_commit(lambda: self._records.invalidate(image_ids))
        return Verification(match, blob.sha256, stored, now)

    async def _stored_sha256(self, blob: Blob) -> str | None:
        """The hash of the stored bytes; None when they are missing, or their disk fails to read them each time.

        StorageUnavailable for every other failure: a slow service or too many open files damage nothing.
        """
        for _ in range(READS):
            try:
                return await self._read_sha256(blob)
            except StorageUnavailable as error:
                if not _is_bad_sector(error):
                    raise
                logger.warning("the disk cannot read the stored bytes %s", blob.key, exc_info=True)
        return None

    async def _read_sha256(self, blob: Blob) -> str | None:
        opened = await self._blobs.open(blob.key)
        if opened is None:
            return None
        digest = hashlib.sha256()
        try:
            for offset in range(0, opened.size, CHUNK):
                data = await opened.read(offset, min(CHUNK, opened.size - offset))
                await asyncio.to_thread(digest.update, data)
        finally:
            await opened.aclose()
        return digest.hexdigest()


def _is_bad_sector(error: StorageUnavailable) -> bool:
    """Whether a disk of ours answered that it cannot read what is on it."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EIO
