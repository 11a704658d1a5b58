"""Recording an upload: one transaction, which may find that the bytes it counted on are gone or known already."""

from dataclasses import dataclass, replace

from chitram.domain.access import Credential
from chitram.domain.blobs import Blob, BlobState, NewBlob
from chitram.domain.errors import IdempotencyKeyInUse, QuotaExceeded, StorageFull, Unauthorized
from chitram.domain.idempotency import IdempotencyKey
from chitram.domain.images import Image, ImageRecord
from chitram.domain.jobs import JobKind, NewJob, render_key
from chitram.domain.media import PIPELINE_VERSION, Rendered
from chitram.domain.uploads import Uploaded
from chitram.domain.users import Quota
from chitram.ports.cache import RecordCache
from chitram.ports.clock import Clock
from chitram.ports.jobs import JobSignal
from chitram.ports.unit_of_work import Database, UnitOfWork
from chitram.services.uploads.placement import Kept, Placement


class OutrunError(Exception):
    """The blob that was counted on is gone or changed: put the bytes again."""


@dataclass(frozen=True, slots=True)
class Repetition:
    """The key under which the upload can be asked for again."""

    key: IdempotencyKey
    holder: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Placing:
    """An image that is to be recorded, but for its blob; by whom, and under which key it can be asked for again."""

    image: Image
    owner: Credential | None
    repetition: Repetition | None


class Recorder:
    def __init__(
        self,
        *,
        quota: Quota,
        render_inline: bool,
        database: Database,
        placement: Placement,
        cache: RecordCache,
        signal: JobSignal,
        clock: Clock,
    ) -> None:
        self._quota = quota
        self._render_inline = render_inline
        self._database = database
        self._placement = placement
        self._cache = cache
        self._signal = signal
        self._clock = clock

    async def record(self, kept: Kept, rendered: Rendered | None, placing: Placing) -> Uploaded:
        """Insert the image, on the blob that it shares or on one of its own. OutrunError, QuotaExceeded, ..."""
        committing = False
        try:
            async with self._database.begin() as work:
                await self._charge(work, placing.owner, size=_size(kept))
                image, blob, twin = await self._insert(work, kept, rendered, placing.image)
                await self._finish(work, image, placing.repetition)
                committing = True
        except Exception as error:
            # Once COMMIT was sent, a row may name the object although there was no answer: a sweeper finds out. A full
            # disk is an answer: nothing was committed, and the object would fill it further.
            if kept.fresh is not None and (not committing or isinstance(error, StorageFull)):
                await self._placement.give_up(kept.fresh.key)
            raise
        if not self._render_inline:
            # What was found out about the bytes already would tell that somebody else has them.
            blob = replace(blob, pipeline_version=0, placeholder=None, broken_reason=None)
        return Uploaded(ImageRecord(image, blob), None, duplicate_of=twin)

    async def _charge(self, work: UnitOfWork, owner: Credential | None, *, size: int) -> None:
        if owner is None:
            return
        # Accounts are always locked before images and blobs. The body took its time: they may be signed out by now.
        if await work.users.lock_signed_in(owner) is None:
            raise Unauthorized
        if not await work.users.charge(owner.user_id, size=size, default=self._quota):
            raise QuotaExceeded

    async def _finish(self, work: UnitOfWork, image: Image, repetition: Repetition | None) -> None:
        if repetition is None:
            return
        finished = await work.idempotency.finish(
            repetition.key, holder=repetition.holder, fingerprint=repetition.fingerprint, image_id=image.id
        )
        if not finished:
            raise IdempotencyKeyInUse

    async def _insert(
        self, work: UnitOfWork, kept: Kept, rendered: Rendered | None, image: Image
    ) -> tuple[Image, Blob, str | None]:
        if kept.fresh is None:
            blob = await self._adopt(work, kept, rendered)
        else:
            blob = await self._settle(work, kept, kept.fresh)
        image = replace(image, blob_id=blob.id)
        twin = await work.images.twin(image.owner_id, blob_id=blob.id) if image.owner_id is not None else None
        await work.images.add(image)
        if not blob.thumbnail_ready and blob.broken_reason is None:
            job = NewJob(JobKind.RENDER, {"blob_id": blob.id}, run_at=image.created_at, key=render_key(blob.id))
            await work.jobs.add(job)
            work.after_commit(self._signal.wake)
        return image, blob, twin

    async def _adopt(self, work: UnitOfWork, kept: Kept, rendered: Rendered | None) -> Blob:
        """The known blob, under its row lock, alive again if it was condemned."""
        assert kept.known is not None
        blob = await work.blobs.take(kept.known.sha256)
        if blob is None or blob.generation != kept.known.generation or blob.corrupt_at is not None:
            raise OutrunError
        if blob.state is BlobState.CONDEMNED:
            await work.blobs.revive(blob.id)
        if rendered is not None and kept.thumbnails_added:
            await work.blobs.set_rendered(blob.id, rendered=rendered, pipeline_version=PIPELINE_VERSION)
            await self._forget_records(work, blob.id)
        return await self._reread(work, blob.id)

    async def _settle(self, work: UnitOfWork, kept: Kept, fresh: NewBlob) -> Blob:
        """Record our fresh generation, heal the blob that lost its bytes, or give way to whoever was first."""
        version = PIPELINE_VERSION if kept.thumbnails_added else 0
        blob = await work.blobs.take(fresh.sha256)
        if blob is None:
            added = await work.blobs.add(fresh, pipeline_version=version)
            if added is None:
                raise OutrunError
            return added
        if kept.known is not None and blob.generation == kept.known.generation:
            await work.blobs.replace(blob.id, fresh, pipeline_version=version)
            await self._forget_records(work, blob.id)
            work.after_commit(lambda: self._placement.erase(blob.key))
        elif blob.corrupt_at is not None:
            raise OutrunError
        else:
            work.after_commit(lambda: self._placement.erase(fresh.key))
        if blob.state is BlobState.CONDEMNED:
            await work.blobs.revive(blob.id)
        return await self._reread(work, blob.id)

    async def _reread(self, work: UnitOfWork, blob_id: int) -> Blob:
        blob = await work.blobs.get(blob_id)
        assert blob is not None  # its row is locked by this transaction
        return blob

    async def _forget_records(self, work: UnitOfWork, blob_id: int) -> None:
        """Other images of the blob have cached records that name what was just replaced."""
        image_ids = list(await work.images.ids_of_blob(blob_id))
        if image_ids:
            await work.jobs.add(NewJob(JobKind.INVALIDATE, {"image_ids": image_ids}, run_at=self._clock.now()))
            work.after_commit(lambda: self._cache.invalidate(image_ids))


def _size(kept: Kept) -> int:
    """What the image costs its owner, whether or not the bytes were here before."""
    if kept.fresh is not None:
        return kept.fresh.size
    assert kept.known is not None
    return kept.known.size
