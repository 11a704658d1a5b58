"""Looking at images, listing them and deleting them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from chitram.domain.access import Viewer, require_control, require_user, require_visible
from chitram.domain.api_tokens import Scope
from chitram.domain.audit import AuditAction, AuditEvent
from chitram.domain.errors import ImageNotFound, StorageUnavailable, Unauthorized
from chitram.domain.images import ImageRecord, Order, is_image_id
from chitram.domain.jobs import JobKind, NewJob
from chitram.ports.audit import Audit
from chitram.ports.blobs import BlobStore, OpenBlob
from chitram.ports.cache import Miss, RecordCache
from chitram.ports.clock import Clock
from chitram.ports.jobs import JobSignal
from chitram.ports.lookup import Lookup
from chitram.ports.repositories.images import Position, Similar
from chitram.ports.unit_of_work import Database, UnitOfWork

#: Most near-duplicates that one answer lists.
SIMILAR_LIMIT = 100


class Found(NamedTuple):
    """An image that the viewer may see. `cache` is HIT, MISS or DISABLED: where the record came from."""

    record: ImageRecord
    cache: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list. `next` is where the following page begins, None at the end."""

    records: Sequence[ImageRecord]
    next: Position | None


class Images:
    def __init__(
        self,
        *,
        database: Database,
        lookup: Lookup,
        cache: RecordCache,
        blobs: BlobStore,
        signal: JobSignal,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._database = database
        self._lookup = lookup
        self._cache = cache
        self._blobs = blobs
        self._signal = signal
        self._audit = audit
        self._clock = clock

    async def find(self, image_id: str, *, viewer: Viewer) -> Found:
        """The image, from the cache or else the database. ImageNotFound when there is none for this viewer."""
        if not is_image_id(image_id):
            raise ImageNotFound
        cached = await self._cache.get(image_id)
        if isinstance(cached, ImageRecord):
            require_visible(cached, viewer)
            return Found(cached, "HIT")
        record = await self._read(image_id, cached)
        require_visible(record, viewer)
        return Found(record, "MISS" if self._cache.enabled else "DISABLED")

    async def _read(self, image_id: str, miss: Miss) -> ImageRecord:
        record = await self._lookup.find(image_id)
        if record is None:
            raise ImageNotFound
        await self._cache.fill(image_id, record, ticket=miss.ticket)
        return record

    async def open_original(self, record: ImageRecord) -> OpenBlob:
        """The stored bytes. StorageUnavailable when they are missing or known to be damaged."""
        if record.blob.corrupt_at is None:
            opened = await self._blobs.open(record.blob.key)
            if opened is not None:
                if opened.size == record.blob.size:
                    return opened
                await opened.aclose()
        raise StorageUnavailable("The stored file is missing or damaged; uploading it again heals it.")

    async def list_public(self, *, after: Position | None, limit: int) -> Page:
        """Public images, newest first."""
        async with self._database.read() as repositories:
            records = await repositories.images.list_public(after=after, limit=limit + 1)
        return _page(records, limit=limit)

    async def list_owned(
        self,
        *,
        viewer: Viewer,
        after: Position | None,
        limit: int,
        order: Order = Order.NEWEST,
        name: str | None = None,
    ) -> Page:
        """Images of the viewer's account in the order, all or those whose name contains `name`.

        Unauthorized; Forbidden without the scope READ.
        """
        user = require_user(viewer, scope=Scope.READ)
        async with self._database.read() as repositories:
            records = await repositories.images.list_owned(
                user.id, after=after, limit=limit + 1, order=order, name=name
            )
        return _page(records, limit=limit, order=order)

    async def similar(self, image_id: str, *, distance: int, viewer: Viewer) -> Sequence[Similar]:
        """Images within `distance` differing bits of this one's perceptual hash, nearest first: public ones, and those
        of the viewer's account.

        None for a picture without any structure, such as a plain colour.
        """
        record = (await self.find(image_id, viewer=viewer)).record
        if not record.blob.perceptual_hash:
            return ()  # not decoded yet, or without any structure: all blank pictures look alike
        async with self._database.read() as repositories:
            return await repositories.images.similar(
                record.blob.perceptual_hash,
                distance=distance,
                exclude=image_id,
                limit=SIMILAR_LIMIT,
                owner_id=viewer.user_id if viewer.may(Scope.READ) else None,
            )

    async def delete(
        self, image_id: str, *, viewer: Viewer, expect: Callable[[ImageRecord], None] | None = None
    ) -> None:
        """Delete the image. Its bytes go when no other image has them and the grace period is over.

        `expect` is given the image under its lock, once the viewer is known to control it; what it raises leaves the
        image as it is. ImageNotFound, Forbidden, DeleteTokenRequired, InvalidDeleteToken. When this returns, nobody is
        shown the image any more.
        """
        if not is_image_id(image_id):
            raise ImageNotFound
        # Most refusals end here, so that guessing tokens does not keep the one writer busy.
        record = await self._current(image_id)
        require_control(record, viewer, scope=Scope.DELETE)
        async with self._database.begin() as work:
            await self._lock_accounts(work, record.image.owner_id, viewer)
            image = await work.images.lock(image_id)
            if image is None:
                raise ImageNotFound
            # It may have been claimed, or left without an owner, since.
            locked = ImageRecord(image, record.blob)
            require_control(locked, viewer, scope=Scope.DELETE)
            if expect is not None:
                expect(locked)
            await work.images.remove(image_id)
            await work.blobs.lock(image.blob_id)
            if await work.blobs.count_images(image.blob_id) == 0:
                await work.blobs.condemn(image.blob_id, at=self._clock.now())
            if image.owner_id is not None:
                await work.users.release(image.owner_id, size=record.blob.size)
            await work.jobs.add(NewJob(JobKind.INVALIDATE, {"image_ids": [image_id]}, run_at=self._clock.now()))
            work.after_commit(lambda: self._cache.invalidate([image_id]))
            work.after_commit(self._signal.wake)
        self._audit.record(AuditEvent(AuditAction.IMAGE_DELETE, viewer.name, image_id, viewer.address))

    async def _lock_accounts(self, work: UnitOfWork, owner_id: str | None, viewer: Viewer) -> None:
        """Lock the owner's account, always before images. Unauthorized when the viewer's has been signed out since."""
        if viewer.credential is not None and await work.users.lock_signed_in(viewer.credential) is None:
            raise Unauthorized
        if owner_id is not None and owner_id != viewer.user_id:
            await work.users.lock(owner_id)

    async def invalidate(self, *, image_ids: Sequence[str]) -> None:
        """Job handler: drop cached records. ServiceUnavailable while the cache is away."""
        await self._cache.drop(image_ids)

    async def _current(self, image_id: str) -> ImageRecord:
        record = await self._lookup.find(image_id)
        if record is None:
            raise ImageNotFound
        return record


def _page(records: Sequence[ImageRecord], *, limit: int, order: Order = Order.NEWEST) -> Page:
    """`records` are one more than `limit` where the list goes on."""
    if len(records) <= limit:
        return Page(records, None)
    return Page(records[:limit], Position.of(records[limit - 1], order=order))
