"""Whether an upload may begin: decided before a byte of its body is read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chitram.domain.errors import StorageFull, Unauthorized, UploadBusy
from chitram.ports.limiter import Limiter, Rate, Verdict
from chitram.ports.staging import Staging


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """`per_address` of the `slots` at most go to one address. `patience` is in seconds, sizes are in bytes."""

    anonymous: bool
    rate: Rate
    slots: int
    per_address: int
    patience: float
    reserve: int
    max_file_size: int


class Admission:
    """Rate limit, room on the disk, then a slot."""

    def __init__(self, policy: AdmissionPolicy, *, limiter: Limiter, staging: Staging) -> None:
        self.policy = policy
        self._limiter = limiter
        self._staging = staging
        self._slots = asyncio.Semaphore(policy.slots)
        self._addresses: dict[str, tuple[asyncio.Semaphore, int]] = {}
        self._active = 0

    @property
    def active(self) -> int:
        """Uploads that hold a slot now."""
        return self._active

    async def count(self, *, address: str) -> Verdict:
        """Count an upload of the address. Unauthorized when uploads need an account."""
        if not self.policy.anonymous:
            raise Unauthorized("Anonymous uploads are turned off on this server.")
        return await self._limiter.hit(self.policy.rate, subject=address)

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
