"""A cache of image records that cannot be refilled with something stale."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from chitram.domain.images import ImageRecord


@dataclass(frozen=True, slots=True)
class Miss:
    """Nothing cached. `ticket` allows one fill, until the record is invalidated."""

    ticket: object


class RecordCache(Protocol):
    @property
    def enabled(self) -> bool: ...

    @property
    def backend(self) -> str:
        """The backend's name as `/health` shows it."""
        ...

    async def get(self, image_id: str) -> ImageRecord | Miss: ...

    async def fill(self, image_id: str, record: ImageRecord, *, ticket: object) -> None:
        """Keep `record`, which was read after `ticket` was given; ignored when it was invalidated since."""
        ...

    async def invalidate(self, image_ids: Iterable[str]) -> None:
        """When this returns, no reader gets what was cached or read before.

        To be called after a commit that has also left a job which calls `drop`: a cache that does not answer now must
        hear of the change later.
        """
        ...

    async def drop(self, image_ids: Iterable[str]) -> None:
        """Forget what was cached or read before, for good. ServiceUnavailable: has to be tried again."""
        ...

    async def clear(self) -> None:
        """Forget everything that was cached or read before. ServiceUnavailable: has to be tried again."""
        ...

    async def check(self) -> bool:
        """Whether the cache is there."""
        ...


class ByteCache(Protocol):
    """A bounded in-process cache of small immutable objects, keyed by content, so it never needs invalidation."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, data: bytes) -> None: ...
