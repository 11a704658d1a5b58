"""Thumbnails: disposable, made again whenever they are missing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from chitram.domain.blobs import Blob, BlobState, thumbnail_key, thumbnail_keys, thumbnail_prefix
from chitram.domain.errors import ChitramError, InvalidFileFormat, InvalidReason, StorageUnavailable, ThumbnailNotReady
from chitram.domain.images import ImageRecord
from chitram.domain.jobs import JobKind, NewJob, render_key
from chitram.domain.media import PIPELINE_VERSION, Budget, Rendered, is_whole
from chitram.ports.blobs import BlobStore, OpenBlob
from chitram.ports.cache import ByteCache, RecordCache
from chitram.ports.clock import Clock
from chitram.ports.codec import Codec
from chitram.ports.jobs import JobSignal
from chitram.ports.repositories.blobs import BlobRepository
from chitram.ports.staging import StagedFile, Staging
from chitram.ports.unit_of_work import Database

CHUNK = 1024 * 1024
BACKFILL_BATCH = 200
#: Lost thumbnails that are made again at a time, on demand: each needs a copy of the original on the disk.
RESTORES = 2
#: Reasons that say that the file cannot be decoded. Others speak of this decode, or of settings that have changed.
BREAKING = frozenset({InvalidReason.CORRUPT, InvalidReason.TRUNCATED})


class Thumbnails:
    def __init__(
        self,
        *,
        budget: Budget,
        database: Database,
        blobs: BlobStore,
        staging: Staging,
        codec: Codec,
        records: RecordCache,
        memory: ByteCache,
        signal: JobSignal,
        clock: Clock,
    ) -> None:
        self._budget = budget
        self._database = database
        self._blobs = blobs
        self._staging = staging
        self._codec = codec
        self._records = records
        self._memory = memory
        self._signal = signal
        self._clock = clock
        self._restores = asyncio.Semaphore(RESTORES)
        self._restoring: dict[int, asyncio.Task[Mapping[int, bytes]]] = {}

    async def read(self, record: ImageRecord, *, size: int) -> bytes:
        """The encoded thumbnail. ThumbnailNotReady while the decode pass has not been done, or when it failed."""
        blob = record.blob
        if blob.broken_reason is not None:
            message = "The file turned out to be broken, so there is no thumbnail of it."
            raise ThumbnailNotReady(message, details={"reason": blob.broken_reason})
        if blob.thumbnail_type is None or not blob.thumbnail_ready:
            raise ThumbnailNotReady(retry_after=2)
        key = thumbnail_key(blob.key, size=size, version=blob.pipeline_version)
        data = self._memory.get(key)
        if data is None:
            data = await self._load(key, blob.thumbnail_type) or (await self._restored(blob))[size]
            self._memory.put(key, data)
        return data

    async def render(self, *, blob_id: int) -> None:
        """Job handler: the decode pass of one blob. A file that cannot be decoded is marked as broken."""
        async with self._database.read() as repositories:
            blob = await repositories.blobs.get(blob_id)
        if blob is None or blob.state is BlobState.ERASING or blob.pipeline_version >= PIPELINE_VERSION:
            return
        if blob.corrupt_at is not None or blob.broken_reason is not None:
            return  # only new bytes can help
        try:
            await self._render(blob)
        except InvalidFileFormat as error:
            if error.reason not in BREAKING:
                raise
            await self._record_broken(blob, error.reason)

    async def backfill(self) -> int:
        """Sweep: promise a decode pass to every blob that lacks thumbnails; how many were found."""
        async with self._database.read() as repositories:
            blob_ids = await repositories.blobs.without_thumbnails(
                pipeline_version=PIPELINE_VERSION, limit=BACKFILL_BATCH
            )
        if blob_ids:
            async with self._database.begin() as work:
                for blob_id in blob_ids:
                    job = NewJob(JobKind.RENDER, {"blob_id": blob_id}, self._clock.now(), key=render_key(blob_id))
                    await work.jobs.add(job)
                work.after_commit(self._signal.wake)
        return len(blob_ids)

    async def _load(self, key: str, content_type: str) -> bytes | None:
        opened = await self._blobs.open(key)
        if opened is None:
            return None
        try:
            data = await opened.read(0, opened.size)
        finally:
            await opened.aclose()
        return data if is_whole(data, content_type) else None

    async def aclose(self) -> None:
        """Give up what is being restored."""
        tasks = list(self._restoring.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _restored(self, blob: Blob) -> Mapping[int, bytes]:
        """Make lost thumbnails again; everybody who asks meanwhile waits for the same decode."""
        task = self._restoring.get(blob.id)
        if task is None:
            task = self._restoring[blob.id] = asyncio.create_task(self._restore(blob))
            task.add_done_callback(lambda _: self._restoring.pop(blob.id, None))
        try:
            return await asyncio.shield(task)
        except ChitramError as error:
            raise ThumbnailNotReady(retry_after=30) from error

    async def _restore(self, blob: Blob) -> Mapping[int, bytes]:
        async with self._restores:
            return await self._render(blob)

    async def _render(self, blob: Blob) -> Mapping[int, bytes]:
        rendered = await self._decode(blob)
        await self._put(blob, rendered)
        if blob.pipeline_version != PIPELINE_VERSION:
            await self._record_rendered(blob, rendered)
        return rendered.thumbnails

    async def _put(self, blob: Blob, rendered: Rendered) -> None:
        """Put the thumbnails, or none where the blob was collected or healed meanwhile. Raises what a put raised."""
        puts = [self._blobs.put_disposable(key, rendered.thumbnails[s]) for s, key in thumbnail_keys(blob.key).items()]
        results = await asyncio.gather(*puts, return_exceptions=True)
        async with self._database.read() as repositories:
            current = await repositories.blobs.get(blob.id)
        if not blob.is_kept_as(current):
            await self._blobs.erase_prefix(thumbnail_prefix(blob.key))
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _decode(self, blob: Blob) -> Rendered:
        original = await self._blobs.open(blob.key) if blob.corrupt_at is None else None
        if original is None:
            raise StorageUnavailable("The stored file is missing or damaged.")
        try:
            async with self._staging.new() as staged:
                await self._copy(original, staged)
                if staged.sha256 != blob.sha256:
                    # Bit rot must not pass for a broken upload: damaged bytes heal when they are uploaded again.
                    await self._record(blob, lambda b: b.set_verified(blob.id, at=self._clock.now(), corrupt=True))
                    raise StorageUnavailable("The stored file is damaged.")
                return (await self._codec.ingest(staged.fileno(), budget=self._budget)).rendered
        finally:
            await original.aclose()

    async def _copy(self, original: OpenBlob, staged: StagedFile) -> None:
        for offset in range(0, original.size, CHUNK):
            await staged.write(await original.read(offset, min(CHUNK, original.size - offset)))
        await staged.flush()

    async def _record_rendered(self, blob: Blob, rendered: Rendered) -> None:
        version = PIPELINE_VERSION
        await self._record(blob, lambda b: b.set_rendered(blob.id, rendered=rendered, pipeline_version=version))

    async def _record_broken(self, blob: Blob, reason: InvalidReason) -> None:
        # A blob that had thumbnails once is not broken, whatever went wrong now.
        if not blob.thumbnail_ready:
            await self._record(blob, lambda b: b.set_broken(blob.id, reason=reason.value))

    async def _record(self, blob: Blob, change: Callable[[BlobRepository], Awaitable[None]]) -> None:
        """Apply `change` unless the blob was collected or healed meanwhile, and drop what is cached of its images."""
        async with self._database.begin() as work:
            current = await work.blobs.lock(blob.id)
            if current is None or current.generation != blob.generation:
                return
            await change(work.blobs)
            image_ids = list(await work.images.ids_of_blob(blob.id))
            if image_ids:
                await work.jobs.add(NewJob(JobKind.INVALIDATE, {"image_ids": image_ids}, run_at=self._clock.now()))
                work.after_commit(lambda: self._records.invalidate(image_ids))
