"""Uploading: understand, keep, record. ARCHITECTURE: bytes are durable before the row that names them exists."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

from chitram.domain.access import hash_delete_token
from chitram.domain.blobs import Blob, BlobState, NewBlob, thumbnail_keys, thumbnail_prefix
from chitram.domain.errors import (
    ChecksumMismatch,
    ChitramError,
    InvalidFileFormat,
    InvalidReason,
    InvalidRequest,
    ServiceUnavailable,
    StorageFull,
)
from chitram.domain.filenames import clean_filename
from chitram.domain.images import Image, ImageRecord, Visibility
from chitram.domain.jobs import JobKind, NewJob, render_key
from chitram.domain.media import (
    FORMATS,
    PIPELINE_VERSION,
    Budget,
    Inspected,
    Rendered,
    describe_formats,
    is_acceptable_declaration,
)
from chitram.domain.uploads import UploadDetails, Uploaded
from chitram.ports.blobs import BlobStore
from chitram.ports.cache import RecordCache
from chitram.ports.clock import Clock, Identifiers
from chitram.ports.codec import Codec
from chitram.ports.jobs import JobSignal
from chitram.ports.staging import StagedFile, Staging
from chitram.ports.unit_of_work import Database, UnitOfWork

#: How often an upload starts anew when the blob that it counted on vanished under it. Each time means a collector pass.
ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """`render_inline` is False in background mode."""

    budget: Budget
    default_visibility: Visibility
    render_inline: bool


@dataclass(frozen=True, slots=True)
class _Kept:
    """Where the bytes are: in `known`, a blob that was there before, or in `fresh`, a new generation of ours.

    Both are set when `known` lost its bytes and `fresh` heals it.
    """

    known: Blob | None
    fresh: NewBlob | None
    thumbnails_added: bool


class _OutrunError(Exception):
    """The blob that was counted on is gone or changed: put the bytes again."""


class Uploads:
    def __init__(  # one parameter a port
        self,
        policy: UploadPolicy,
        *,
        database: Database,
        blobs: BlobStore,
        staging: Staging,
        codec: Codec,
        cache: RecordCache,
        signal: JobSignal,
        clock: Clock,
        identifiers: Identifiers,
    ) -> None:
        self._policy = policy
        self._database = database
        self._blobs = blobs
        self._staging = staging
        self._codec = codec
        self._cache = cache
        self._signal = signal
        self._clock = clock
        self._identifiers = identifiers
        #: Seconds that a put has taken of late.
        self._usual_put = 0.0

    def stage(self) -> AbstractAsyncContextManager[StagedFile]:
        """An empty file to receive the body in; it is gone when the context ends."""
        return self._staging.new()

    async def keep(self, staged: StagedFile, *, details: UploadDetails) -> Uploaded:
        """Turn a received file into an image.

        When this returns, bytes and rows survive a power cut. Raises InvalidRequest (empty), InvalidFileFormat,
        ChecksumMismatch, StorageFull, StorageUnavailable, ServiceUnavailable; then nothing is kept.
        """
        await staged.flush()
        self._check_declarations(staged, details)
        inspected, rendered = await self._understand(staged)
        async with self._stored_form(staged, inspected) as stored:
            new = NewBlob(
                sha256=stored.sha256,
                generation="",
                size=stored.size,
                content_type=inspected.content_type,
                width=inspected.width,
                height=inspected.height,
                created_at=self._clock.now(),
                thumbnail_type=rendered.thumbnail_type if rendered else None,
                perceptual_hash=rendered.perceptual_hash if rendered else None,
                placeholder=rendered.placeholder if rendered else None,
            )
            token = self._identifiers.delete_token()
            image = Image(
                id=self._identifiers.image_id(),
                blob_id=0,
                filename=clean_filename(details.filename, extension=FORMATS[inspected.content_type].extension),
                visibility=details.visibility or self._policy.default_visibility,
                created_at=new.created_at,
                delete_token_hash=hash_delete_token(token),
                received_sha256=staged.sha256,
            )
            record = await self._keep_and_record(stored, new, rendered, image)
        return Uploaded(record=record, delete_token=token)

    def _check_declarations(self, staged: StagedFile, details: UploadDetails) -> None:
        if staged.size == 0:
            raise InvalidRequest("The file is empty.")
        if details.declared_sha256 is not None and details.declared_sha256 != staged.sha256:
            raise ChecksumMismatch
        if not is_acceptable_declaration(details.declared_type):
            formats = describe_formats(self._policy.budget.content_types)
            raise InvalidFileFormat(
                InvalidReason.TYPE_MISMATCH, f"The file is not declared as an image; {formats} are."
            )

    async def _understand(self, staged: StagedFile) -> tuple[Inspected, Rendered | None]:
        if self._policy.render_inline:
            ingested = await self._codec.ingest(staged.fileno(), budget=self._policy.budget)
            return ingested.inspected, ingested.rendered
        return await self._codec.inspect(staged.fileno(), budget=self._policy.budget), None

    @asynccontextmanager
    async def _stored_form(self, staged: StagedFile, inspected: Inspected) -> AsyncIterator[StagedFile]:
        if inspected.pieces is None:
            yield staged
            return
        async with self._staging.copy(staged, inspected.pieces) as stripped:
            yield stripped

    async def _keep_and_record(
        self, stored: StagedFile, new: NewBlob, rendered: Rendered | None, image: Image
    ) -> ImageRecord:
        for _ in range(ATTEMPTS):
            kept = await self._put(stored, new, rendered)
            with contextlib.suppress(_OutrunError):
                return await self._record(kept, rendered, image)
        raise ServiceUnavailable(retry_after=1)

    async def _put(self, stored: StagedFile, new: NewBlob, rendered: Rendered | None) -> _Kept:
        """Make sure that the bytes are in the store, verified there when another upload had brought them."""
        async with self._database.read() as repositories:
            known = await repositories.blobs.find(new.sha256)
        if known is not None and known.corrupt_at is None:
            found = await self._blobs.head(known.key)
            if found is not None and found.size == new.size:
                # Whether somebody here has these bytes is nobody's business: a hit takes as long as a put.
                await asyncio.sleep(self._usual_put)
                lacking = known.pipeline_version < PIPELINE_VERSION
                added = lacking and await self._put_thumbnails(known.key, rendered)
                return _Kept(known, None, thumbnails_added=added)
        fresh = replace(new, generation=self._identifiers.generation())
        return _Kept(known, fresh, thumbnails_added=await self._put_fresh(fresh.key, stored, rendered))

    async def _put_fresh(self, key: str, stored: StagedFile, rendered: Rendered | None) -> bool:
        """Put original and thumbnails; whether the thumbnails are there too. A failure leaves nothing behind."""
        begun = self._clock.monotonic()
        # Both are waited for also when one fails: a put must not read a staged file that is gone.
        original, thumbnails = await asyncio.gather(
            self._blobs.put(key, stored), self._put_thumbnails(key, rendered), return_exceptions=True
        )
        for outcome in (original, thumbnails):
            if isinstance(outcome, BaseException):
                await self._give_up(key)
                raise outcome
        self._usual_put += (self._clock.monotonic() - begun - self._usual_put) / 8
        return thumbnails is True

    async def _put_thumbnails(self, key: str, rendered: Rendered | None) -> bool:
        """Whether all thumbnails are stored. Ones that cannot be are left to a job: they never cost the original."""
        if rendered is None:
            return False
        puts = [
            self._blobs.put_disposable(name, rendered.thumbnails[size]) for size, name in thumbnail_keys(key).items()
        ]
        results = await asyncio.gather(*puts, return_exceptions=True)
        return not any(isinstance(result, BaseException) for result in results)

    async def _record(self, kept: _Kept, rendered: Rendered | None, image: Image) -> ImageRecord:
        committing = False
        try:
            async with self._database.begin() as work:
                image, blob = await self._insert(work, kept, rendered, image)
                committing = True
        except Exception as error:
            # Once COMMIT was sent, a row may name the object although there was no answer: a sweeper finds out. A full
            # disk is an answer: nothing was committed, and the object would fill it further.
            if kept.fresh is not None and (not committing or isinstance(error, StorageFull)):
                await self._give_up(kept.fresh.key)
            raise
        if not self._policy.render_inline:
            # Thumbnails that exist already would tell that somebody else has the same bytes.
            blob = replace(blob, pipeline_version=0, placeholder=None)
        return ImageRecord(image, blob)

    async def _insert(
        self, work: UnitOfWork, kept: _Kept, rendered: Rendered | None, image: Image
    ) -> tuple[Image, Blob]:
        if kept.fresh is None:
            blob = await self._adopt(work, kept, rendered)
        else:
            blob = await self._settle(work, kept, kept.fresh)
        image = replace(image, blob_id=blob.id)
        await work.images.add(image)
        if not blob.thumbnail_ready and blob.broken_reason is None:
            job = NewJob(JobKind.RENDER, {"blob_id": blob.id}, run_at=image.created_at, key=render_key(blob.id))
            await work.jobs.add(job)
            work.after_commit(self._signal.wake)
        return image, blob

    async def _adopt(self, work: UnitOfWork, kept: _Kept, rendered: Rendered | None) -> Blob:
        """The known blob, under its row lock, alive again if it was condemned."""
        assert kept.known is not None
        blob = await work.blobs.take(kept.known.sha256)
        if blob is None or blob.generation != kept.known.generation or blob.corrupt_at is not None:
            raise _OutrunError
        if blob.state is BlobState.CONDEMNED:
            await work.blobs.revive(blob.id)
        if rendered is not None and kept.thumbnails_added:
            await work.blobs.set_rendered(blob.id, rendered=rendered, pipeline_version=PIPELINE_VERSION)
            await self._forget_records(work, blob.id)
        return await self._reread(work, blob.id)

    async def _settle(self, work: UnitOfWork, kept: _Kept, fresh: NewBlob) -> Blob:
        """Record our fresh generation, heal the blob that lost its bytes, or give way to whoever was first."""
        version = PIPELINE_VERSION if kept.thumbnails_added else 0
        blob = await work.blobs.take(fresh.sha256)
        if blob is None:
            added = await work.blobs.add(fresh, pipeline_version=version)
            if added is None:
                raise _OutrunError
            return added
        if kept.known is not None and blob.generation == kept.known.generation:
            await work.blobs.replace(blob.id, fresh, pipeline_version=version)
            await self._forget_records(work, blob.id)
            work.after_commit(lambda: self._erase(blob.key))
        elif blob.corrupt_at is not None:
            raise _OutrunError
        else:
            work.after_commit(lambda: self._erase(fresh.key))
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

    async def _give_up(self, key: str) -> None:
        """Erase what no row will name; what cannot be erased now is left to a sweeper."""
        with contextlib.suppress(ChitramError):
            await self._erase(key)

    async def _erase(self, key: str) -> None:
        await self._blobs.erase_prefix(thumbnail_prefix(key))
        await self._blobs.erase(key)
