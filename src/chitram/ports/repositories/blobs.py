"""Stored bytes that images name."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from chitram.domain.blobs import Blob, NewBlob
from chitram.domain.media import Rendered


@dataclass(frozen=True, slots=True)
class BlobCounts:
    """How many blobs stand where; `bytes` is the size of the live ones together."""

    live: int
    bytes: int
    condemned: int
    erasing: int
    without_thumbnails: int
    broken: int
    corrupt: int
    never_verified: int
    oldest_verified_at: datetime | None


class BlobRepository(Protocol):
    async def take(self, sha256: str) -> Blob | None:
        """The live or condemned blob with these bytes, under its row lock."""
        ...

    async def lock(self, blob_id: int) -> Blob | None:
        """The blob in whatever state, under its row lock."""
        ...

    async def get(self, blob_id: int) -> Blob | None: ...

    async def find(self, sha256: str) -> Blob | None:
        """The live or condemned blob with these bytes, without a lock."""
        ...

    async def add(self, new: NewBlob, *, pipeline_version: int) -> Blob | None:
        """Record a live blob; None when another transaction has just recorded the same bytes."""
        ...

    async def revive(self, blob_id: int) -> None:
        """Condemned → live."""
        ...

    async def condemn(self, blob_id: int, *, at: datetime) -> None:
        """Live → condemned."""
        ...

    async def condemn_unnamed(self, blob_ids: Sequence[int], *, at: datetime) -> int:
        """Live → condemned, for those of `blob_ids` that no image names, under their row locks, taken in one order; how
        many. However many there are, it is the same few statements.
        """
        ...

    async def mark_erasing(self, blob_id: int) -> None:
        """Condemned → erasing."""
        ...

    async def remove(self, blob_id: int) -> None:
        """Forget an erasing blob and its perceptual hash."""
        ...

    async def replace(self, blob_id: int, new: NewBlob, *, pipeline_version: int) -> None:
        """Point the row at a fresh generation of the same bytes: no longer corrupt, never verified."""
        ...

    async def set_rendered(self, blob_id: int, *, rendered: Rendered, pipeline_version: int) -> None:
        """Thumbnails of `pipeline_version` are stored: record them with the perceptual hash and the placeholder."""
        ...

    async def set_broken(self, blob_id: int, *, reason: str) -> None:
        """The decode pass found that the file cannot be decoded."""
        ...

    async def set_verified(self, blob_id: int, *, at: datetime, corrupt: bool) -> None:
        """The stored bytes were read again and compared with their hash."""
        ...

    async def count_images(self, blob_id: int) -> int:
        """How many images name the blob."""
        ...

    async def condemned_before(self, at: datetime, *, limit: int) -> Sequence[int]:
        """Ids of blobs condemned at or before `at`, oldest first, and of erasing ones whatever their age."""
        ...

    async def without_thumbnails(self, *, pipeline_version: int, limit: int) -> Sequence[int]:
        """Ids of live blobs, neither broken nor corrupt, whose thumbnails are missing or too old.

        Without those for which a decode pass is promised already, or was given up.
        """
        ...

    async def verified_before(self, at: datetime, *, limit: int) -> Sequence[Blob]:
        """Live blobs that were verified last (or, if never, created) at or before `at`, longest ago first."""
        ...

    async def corrupt_before(self, at: datetime, *, limit: int) -> Sequence[Blob]:
        """Live corrupt blobs that were verified last at or before `at`, longest ago first."""
        ...

    async def known_keys(self, keys: Sequence[str]) -> frozenset[str]:
        """Those of the original's `keys` that a row in any state names."""
        ...

    async def page(self, *, after_id: int, limit: int) -> Sequence[Blob]:
        """Blobs in any state by ascending id, for walks over all of them."""
        ...

    async def counts(self) -> BlobCounts: ...
