"""Whether an upload may begin: decided before a byte of its body is read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chitram.domain.access import Viewer, require_scope
from chitram.domain.api_tokens import Scope
from chitram.domain.errors import QuotaExceeded, StorageFull, Unauthorized, UploadBusy
from chitram.domain.users import Quota
from chitram.ports.staging import Staging


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """`quota`: that of accounts which have none of their own. At most `per_address` of the `slots` go to one address.
    `patience` is in seconds, sizes are in bytes.
    """

    anonymous: bool
    quota: Quota
    slots: int
    per_address: int
    patience: float
    reserve: int
    max_file_size: int


class Admission:
    """Who may upload, room on the disk, then a slot."""

    def __init__(self, policy: AdmissionPolicy, *, staging: Staging) -> None:
        self.policy = policy
        self._staging = staging
        self._slots = asyncio.Semaphore(policy.slots)
        self._addresses: dict[str, tuple[asyncio.Semaphore, int]] = {}
        self._active = 0

    @property
    def active(self) -> int:
        """Uploads that hold a slot now."""
        return self._active

    def require_uploader(self, viewer: Viewer) -> None:
        """Raise unless the viewer may upload: Unauthorized when that needs an account, Forbidden for an API token."""
        if viewer.user is not None:
            require_scope(viewer, Scope.UPLOAD)
        elif not self.policy.anonymous:
            raise Unauthorized("Anonymous uploads are turned off on this server.")

    def require_quota(self, viewer: Viewer) -> None:
        """Raise QuotaExceeded when the account is full already; what exactly fits is found out when it is charged."""
        if viewer.user is None:
            return
        user, quota = viewer.user, viewer.user.quota(self.policy.quota)
        if (quota.bytes and user.used_bytes >= quota.bytes) or (quota.files and user.used_files >= quota.files):
            raise QuotaExceeded

    async def require_room(self) -> None:
        """Raise StorageFull while the disk could not take this upload and keep its reserve."""
        # The received file and its copy without metadata lie side by side for a moment, in each upload under way.
        wanted = 2 * self.policy.max_file_size * (self._active + 1)
        if await self._staging.free_bytes() < self.policy.reserve + wanted:
            raise StorageFull(retry_after=60)

    @asynccontextmanager
    async def slot(self, *, address: str) -> AsyncIterator[None]:
        """Hold one of the upload slots. UploadBusy when none came free in time."""
        own = self._enqueue(address)
        try:
            try:
                async with asyncio.timeout(self.policy.patience):
                    await own.acquire()
                    try:
                        await self._slots.acquire()
                    except BaseException:
                        own.release()
                        raise
            except TimeoutError:
                raise UploadBusy(retry_after=5) from None
            self._active += 1
            try:
                yield
            finally:
                self._active -= 1
                self._slots.release()
                own.release()
        finally:
            self._dequeue(address)

    def _enqueue(self, address: str) -> asyncio.Semaphore:
        own, users = self._addresses.get(address) or (asyncio.Semaphore(self.policy.per_address), 0)
        self._addresses[address] = (own, users + 1)
        return own

    def _dequeue(self, address: str) -> None:
        own, users = self._addresses.pop(address)
        if users > 1:
            self._addresses[address] = (own, users - 1)
