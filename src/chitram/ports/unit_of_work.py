"""Transactions and the repositories that live in them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from chitram.domain.blobs import Blob, NewBlob
from chitram.domain.images import Image, ImageRecord
from chitram.domain.jobs import Job, JobState, NewJob
from chitram.domain.media import Rendered

Effect = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a list that is ordered newest first: entries after it are older."""

    created_at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Similar:
    """A public image that looks like another one. `distance`: differing bits of the perceptual hashes, 0 to 64."""

    record: ImageRecord
    distance: int


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

    async def known_keys(self, keys: Sequence[str]) -> frozenset[str]:
        """Those of the original's `keys` that a row in any state names."""
        ...

    async def page(self, *, after_id: int, limit: int) -> Sequence[Blob]:
        """Blobs in any state by ascending id, for walks over all of them."""
        ...

    async def counts(self) -> BlobCounts: ...


class ImageRepository(Protocol):
    async def add(self, image: Image) -> None: ...

    async def lock(self, image_id: str) -> Image | None:
        """The image, under its row lock."""
        ...

    async def get(self, image_id: str) -> ImageRecord | None: ...

    async def remove(self, image_id: str) -> None: ...

    async def ids_of_blob(self, blob_id: int) -> Sequence[str]: ...

    async def list_public(self, *, after: Position | None, limit: int) -> Sequence[ImageRecord]:
        """Public images whose blob is not broken, newest first, then by id."""
        ...

    async def similar(self, perceptual_hash: int, *, distance: int, exclude: str, limit: int) -> Sequence[Similar]:
        """Public images within `distance` (0 to 16) bits, nearest first, without `exclude`. Indexed, exact."""
        ...

    async def count(self) -> int: ...


class JobRepository(Protocol):
    async def add(self, job: NewJob) -> None: ...

    async def claim(self, *, now: datetime, lease_until: datetime, limit: int) -> Sequence[Job]:
        """Lease due jobs, oldest first: ready ones, and running ones whose lease ran out. `attempts` counts this."""
        ...

    async def finish(self, job_id: int) -> None: ...

    async def retry(self, job_id: int, *, run_at: datetime, error: str, counts: bool = True) -> None:
        """Back to ready; the failed attempt is forgotten when it does not count."""
        ...

    async def bury(self, job_id: int, *, error: str) -> None:
        """Dead-letter the job."""
        ...

    async def list(self, *, state: JobState, limit: int) -> Sequence[Job]: ...

    async def revive(self, job_id: int, *, now: datetime) -> bool:
        """Make a dead job ready, its attempts forgotten; False when there is no such dead job."""
        ...

    async def counts(self) -> Mapping[JobState, int]: ...

    async def next_run_at(self) -> datetime | None:
        """When the next ready job is due or the next lease runs out."""
        ...


class LeaseRepository(Protocol):
    """Named leases, so that of many processes one does a thing."""

    async def acquire(self, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
        """Take or prolong the lease unless somebody else holds it."""
        ...

    async def release(self, name: str, *, holder: str) -> None: ...


class Repositories(Protocol):
    @property
    def blobs(self) -> BlobRepository: ...

    @property
    def images(self) -> ImageRepository: ...

    @property
    def jobs(self) -> JobRepository: ...

    @property
    def leases(self) -> LeaseRepository: ...


class UnitOfWork(Repositories, Protocol):
    def after_commit(self, effect: Effect) -> None:
        """Run `effect` after the commit; never when it is rolled back. A failing one is only logged."""
        ...


class Database(Protocol):
    """Every method raises ServiceUnavailable when there is no answer in time, StorageFull when there is no room."""

    def begin(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A transaction: commits when the block ends normally, rolls back when it raises."""
        ...

    def read(self) -> AbstractAsyncContextManager[Repositories]:
        """A read-only view; nothing can be written through it."""
        ...

    async def check(self) -> None:
        """Raise ServiceUnavailable unless the database answers."""
        ...

    async def identity(self) -> str:
        """The random name that this database got when it was made; stores keep it to recognise their owner."""
        ...
