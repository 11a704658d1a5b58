"""The outbox."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from chitram.domain.jobs import Job, JobState, NewJob


class JobRepository(Protocol):
    async def add(self, job: NewJob) -> None: ...

    async def claim(self, *, now: datetime, lease_until: datetime, limit: int) -> Sequence[Job]:
        """Lease due jobs, oldest first: ready ones, and running ones whose lease ran out. `attempts` counts this."""
        ...

    async def prolong(self, job: Job, *, lease_until: datetime) -> bool:
        """Keep the lease of a claimed job for longer; False when the claim is over or somebody else's by now."""
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

    async def invalidations(self, *, limit: int) -> Sequence[Mapping[str, object]]:
        """The payloads of the oldest jobs of the kind INVALIDATE that are not finished, whatever their state."""
        ...

    async def next_run_at(self) -> datetime | None:
        """When the next ready job is due or the next lease runs out."""
        ...
