"""Changing what an image says of itself, and taking an anonymous one into an account."""

from collections.abc import Callable
from dataclasses import replace

from chitram.domain.access import Viewer, holds_delete_token, require_owner, require_user, require_visible
from chitram.domain.api_tokens import Scope
from chitram.domain.audit import AuditAction, AuditEvent
from chitram.domain.errors import (
    DeleteTokenRequired,
    Forbidden,
    ImageNotFound,
    InvalidDeleteToken,
    QuotaExceeded,
    Unauthorized,
)
from chitram.domain.images import Edit, Image, ImageRecord, is_image_id
from chitram.domain.jobs import JobKind, NewJob
from chitram.domain.users import Quota
from chitram.ports.audit import Audit
from chitram.ports.cache import RecordCache
from chitram.ports.clock import Clock
from chitram.ports.jobs import JobSignal
from chitram.ports.lookup import Lookup
from chitram.ports.unit_of_work import Database, UnitOfWork


class Ownership:
    """`quota`: that of accounts which have none of their own."""

    def __init__(
        self,
        *,
        quota: Quota,
        database: Database,
        lookup: Lookup,
        cache: RecordCache,
        signal: JobSignal,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._quota = quota
        self._database = database
        self._lookup = lookup
        self._cache = cache
        self._signal = signal
        self._audit = audit
        self._clock = clock

    async def require_editor(self, image_id: str, *, viewer: Viewer) -> ImageRecord:
        """The image, if the viewer may edit it. ImageNotFound, Forbidden; to be asked before what they sent is read."""
        record = await self._current(image_id)
        require_owner(record, viewer, scope=Scope.UPLOAD)
        return record

    async def edit(
        self, image_id: str, *, edit: Edit, viewer: Viewer, expect: Callable[[ImageRecord], None] | None = None
    ) -> ImageRecord:
        """Change the image. When this returns, nobody is shown it as it was. ImageNotFound, Forbidden.

        `expect` is given the image under its lock, once the viewer is known to own it; what it raises leaves the image
        as it is.
        """
        record = await self.require_editor(image_id, viewer=viewer)
        async with self._database.begin() as work:
            await self._require_signed_in(work, viewer)
            image = await self._lock(work, image_id)
            locked = ImageRecord(image, record.blob)
            require_owner(locked, viewer, scope=Scope.UPLOAD)
            if expect is not None:
                expect(locked)
            changed = edit.apply(image)
            await work.images.update(changed)
            await self._forget(work, image_id)
        details: dict[str, object] = {"fields": sorted(edit.changed)}
        if "visibility" in edit.changed:
            details["visibility"] = changed.visibility.value
        self._audit.record(AuditEvent(AuditAction.IMAGE_CHANGE, viewer.name, image_id, viewer.address, details=details))
        return await self._current(image_id)

    async def claim(self, image_id: str, *, viewer: Viewer) -> ImageRecord:
        """Take an anonymous image into the viewer's account; its delete token is worthless from now on.

        Unauthorized, Forbidden (it has an owner), ImageNotFound, DeleteTokenRequired, InvalidDeleteToken,
        QuotaExceeded.
        """
        user = require_user(viewer, scope=Scope.UPLOAD)
        record = await self._current(image_id)
        require_visible(record, viewer)
        async with self._database.begin() as work:
            await self._require_signed_in(work, viewer)
            image = await self._lock(work, image_id)
            taken = image.owner_id != user.id
            if taken:
                _require_token(image, viewer)
                await self._take(work, image, user_id=user.id, size=record.blob.size)
        if taken:
            self._audit.record(AuditEvent(AuditAction.IMAGE_CLAIM, user.id, image_id, viewer.address))
        return await self._current(image_id)

    async def _require_signed_in(self, work: UnitOfWork, viewer: Viewer) -> None:
        """Lock the viewer's account, always before images. What they sent may have taken its time: they may have been
        signed out meanwhile.
        """
        if viewer.credential is None or await work.users.lock_signed_in(viewer.credential) is None:
            raise Unauthorized

    async def _take(self, work: UnitOfWork, image: Image, *, user_id: str, size: int) -> None:
        if not await work.users.charge(user_id, size=size, default=self._quota):
            raise QuotaExceeded
        await work.images.update(replace(image, owner_id=user_id, delete_token_hash=None))
        await self._forget(work, image.id)

    async def _lock(self, work: UnitOfWork, image_id: str) -> Image:
        image = await work.images.lock(image_id)
        if image is None:
            raise ImageNotFound
        return image

    async def _forget(self, work: UnitOfWork, image_id: str) -> None:
        await work.jobs.add(NewJob(JobKind.INVALIDATE, {"image_ids": [image_id]}, run_at=self._clock.now()))
        work.after_commit(lambda: self._cache.invalidate([image_id]))
        work.after_commit(self._signal.wake)

    async def _current(self, image_id: str) -> ImageRecord:
        record = await self._lookup.find(image_id) if is_image_id(image_id) else None
        if record is None:
            raise ImageNotFound
        return record


def _require_token(image: Image, viewer: Viewer) -> None:
    if image.owner_id is not None:
        raise Forbidden("This image has an owner.")
    if image.delete_token_hash is None:
        raise Forbidden("This image can be claimed by nobody: it has no delete token.")
    if not holds_delete_token(image, viewer):
        raise DeleteTokenRequired if viewer.delete_token is None else InvalidDeleteToken
