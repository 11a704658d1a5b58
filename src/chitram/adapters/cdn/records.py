"""The record cache together with the caches in front of us: who drops a record has both forget the image."""

from collections.abc import Iterable

from chitram.domain.images import ImageRecord
from chitram.ports.cache import Miss, RecordCache
from chitram.ports.purge import Purge


class PurgingRecordCache:
    """A record cache whose `invalidate` returns when the caches in front of us have forgotten too."""

    def __init__(self, cache: RecordCache, *, purge: Purge) -> None:
        self._cache = cache
        self._purge = purge

    @property
    def enabled(self) -> bool:
        return self._cache.enabled

    @property
    def backend(self) -> str:
        return self._cache.backend

    async def get(self, image_id: str) -> ImageRecord | Miss:
        return await self._cache.get(image_id)

    async def fill(self, image_id: str, record: ImageRecord, *, ticket: object) -> None:
        await self._cache.fill(image_id, record, ticket=ticket)

    async def invalidate(self, image_ids: Iterable[str]) -> None:
        """Also when the record cache fails, the others forget; the failure is raised after that."""
        ids = tuple(image_ids)
        try:
            # First: as long as a record is cached, answers with new leases are made of it.
            await self._cache.invalidate(ids)
        finally:
            await self._purge.purge(ids)

    async def drop(self, image_ids: Iterable[str]) -> None:
        """Of the record cache alone: whoever answered for the change has waited for the others."""
        await self._cache.drop(image_ids)

    async def clear(self) -> None:
        """Of the record cache alone: nobody waits for an answer."""
        await self._cache.clear()

    async def check(self) -> bool:
        return await self._cache.check()
