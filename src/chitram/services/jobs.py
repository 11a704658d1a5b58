"""Jobs as an operator sees them: how many wait, which ones were given up, and another chance for those."""

from collections.abc import Mapping, Sequence

from chitram.domain.jobs import Job, JobState
from chitram.ports.clock import Clock
from chitram.ports.jobs import JobSignal
from chitram.ports.unit_of_work import Database


class Jobs:
    def __init__(self, *, database: Database, signal: JobSignal, clock: Clock) -> None:
        self._database = database
        self._signal = signal
        self._clock = clock

    async def counts(self) -> Mapping[JobState, int]:
        """How many jobs are in each state."""
        async with self._database.read() as repositories:
            return await repositories.jobs.counts()

    async def list(self, *, state: JobState, limit: int) -> Sequence[Job]:
        """Jobs in `state`, oldest first."""
        async with self._database.read() as repositories:
            return await repositories.jobs.list(state=state, limit=limit)

    async def retry(self, job_id: int) -> bool:
        """Let a dead job run again; False when there is no such dead job."""
        async with self._database.begin() as work:
            revived = await work.jobs.revive(job_id, now=self._clock.now())
            work.after_commit(self._signal.wake)
        return revived
