"""Integrity: stored bytes are read again and compared with their hash."""

import asyncio
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
READS = 2

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

        ImageNotFound, Forbidden, DeleteTokenRequired, InvalidDeleteToken, StorageUnavailable.
        """
        record = await self._lookup.find(image_id) if is_image_id(image_id) else None
        if record is None:
            raise ImageNotFound
        require_control(record, viewer, scope=Scope.READ)
        return await self._verify(record.blob)

    async def scrub(self) -> int:
        """Sweep: verify the blobs whose last verification is too long ago; how many were damaged or missing."""
        async with self._database.read() as repositories:
            due = await repositories.blobs.verified_before(self._clock.now() - self._interval, limit=SCRUB_BATCH)
        results = [await self._verify(blob) for blob in due]
        return sum(not result.match for result in results)

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
        """The hash of the stored bytes; None when they are missing or cannot be read, also not at a second try."""
        for _ in range(READS):
            try:
                return await self._read_sha256(blob)
            except StorageUnavailable:
                logger.warning("the stored bytes %s cannot be read", blob.key, exc_info=True)
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
