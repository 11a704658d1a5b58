"""The doctor: compares rows with objects, and what accounts are charged with what they have. It changes nothing."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

from chitram.domain.blobs import BLOB_PREFIX, Blob, BlobState
from chitram.domain.jobs import JobState
from chitram.ports.blobs import BlobStore
from chitram.ports.clock import Clock
from chitram.ports.repositories.images import Miscount
from chitram.ports.unit_of_work import Database

BATCH = 500
#: Most names that a finding lists; the number is always exact.
EXAMPLES = 20
UNSETTLED = timedelta(minutes=10)


@dataclass(slots=True)
class Finding:
    """Something that is not as it should be: how often, and some of the names."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(name)


@dataclass(slots=True)
class Diagnosis:
    """`damaging` findings mean that somebody's image cannot be shown.

    The others repair themselves in time, but for dead jobs and miscounted accounts, which somebody has to look at.
    """

    blobs: int = 0
    images: int = 0
    bytes: int = 0
    missing: Finding = field(default_factory=Finding)
    wrong_length: Finding = field(default_factory=Finding)
    corrupt: Finding = field(default_factory=Finding)
    broken: Finding = field(default_factory=Finding)
    without_thumbnails: Finding = field(default_factory=Finding)
    unnamed_objects: Finding = field(default_factory=Finding)
    dead_jobs: Finding = field(default_factory=Finding)
    miscounted_accounts: Finding = field(default_factory=Finding)

    @property
    def damaging(self) -> bool:
        return any(f.count for f in (self.missing, self.wrong_length, self.corrupt))

    @property
    def clean(self) -> bool:
        others = (
            self.broken,
            self.without_thumbnails,
            self.unnamed_objects,
            self.dead_jobs,
            self.miscounted_accounts,
        )
        return not self.damaging and not any(f.count for f in others)


class Doctor:
    def __init__(self, *, database: Database, blobs: BlobStore, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock

    async def examine(self) -> Diagnosis:
        """Walk over all rows and all objects. ServiceUnavailable or StorageUnavailable when one side cannot be read."""
        await self._blobs.check()
        diagnosis = Diagnosis()
        async with self._database.read() as repositories:
            diagnosis.images = await repositories.images.count()
            for job in await repositories.jobs.list(state=JobState.DEAD, limit=BATCH):
                diagnosis.dead_jobs.add(f"{job.id} {job.kind}: {job.last_error}")
            for miscount in await repositories.images.miscounts():
                diagnosis.miscounted_accounts.add(_described(miscount))
        async for blob in self._all_blobs():
            await self._examine_blob(blob, diagnosis)
        await self._examine_objects(diagnosis)
        return diagnosis

    async def _all_blobs(self) -> AsyncIterator[Blob]:
        after = 0
        while True:
            async with self._database.read() as repositories:
                page = await repositories.blobs.page(after_id=after, limit=BATCH)
            for blob in page:
                yield blob
            if len(page) < BATCH:
                return
            after = page[-1].id

    async def _examine_blob(self, blob: Blob, diagnosis: Diagnosis) -> None:
        if blob.state is not BlobState.LIVE:
            return
        diagnosis.blobs += 1
        diagnosis.bytes += blob.size
        found = await self._blobs.head(blob.key)
        if (found is None or found.size != blob.size) and await self._changed(blob):
            return  # healed or collected since its row was read
        if found is None:
            diagnosis.missing.add(blob.key)
        elif found.size != blob.size:
            diagnosis.wrong_length.add(blob.key)
        elif blob.corrupt_at is not None:
            diagnosis.corrupt.add(blob.key)
        if blob.broken_reason is not None:
            diagnosis.broken.add(blob.key)
        elif not blob.thumbnail_ready:
            diagnosis.without_thumbnails.add(blob.key)

    async def _changed(self, blob: Blob) -> bool:
        async with self._database.read() as repositories:
            return await repositories.blobs.get(blob.id) != blob

    async def _examine_objects(self, diagnosis: Diagnosis) -> None:
        batch: list[str] = []
        # What is younger may belong to an upload that is under way.
        oldest = self._clock.now() - UNSETTLED
        async for found in self._blobs.list(BLOB_PREFIX):
            if found.modified_at <= oldest:
                batch.append(found.key)
            if len(batch) == BATCH:
                await self._examine_keys(batch, diagnosis)
                batch = []
        await self._examine_keys(batch, diagnosis)

    async def _examine_keys(self, keys: list[str], diagnosis: Diagnosis) -> None:
        if not keys:
            return
        async with self._database.read() as repositories:
            named = await repositories.blobs.known_keys(keys)
        for key in keys:
            if key not in named:
                diagnosis.unnamed_objects.add(key)


def _described(miscount: Miscount) -> str:
    counted, found = miscount.counted, miscount.found
    return f"{miscount.user_id}: charged {counted.bytes} bytes in {counted.files}, has {found.bytes} in {found.files}"
