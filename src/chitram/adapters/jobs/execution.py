"""One job from the outbox to its end: claimed under a lease, run, and taken off, tried again later, or given up.

Every runner goes this way, in the server as in a worker, so that a job means the same wherever it runs.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Protocol

from chitram.domain.errors import ChitramError, ServiceUnavailable, StorageFull, StorageUnavailable, UploadBusy
from chitram.domain.jobs import MAX_ATTEMPTS, Job, JobKind, backoff
from chitram.ports.clock import Clock, Identifiers
from chitram.ports.unit_of_work import Database

logger = logging.getLogger(__name__)

Handler = Callable[..., Awaitable[None]]

#: Failures that say nothing about the job: it is tried again for as long as they last, with the pause of 5 failures.
OUTAGE_PAUSE = 5
OUTAGES = (ServiceUnavailable, StorageFull, StorageUnavailable, UploadBusy)

#: Short, so that the jobs of a process that was killed go on soon elsewhere; prolonged while a job runs.
JOB_LEASE = timedelta(seconds=30)
#: Who is called through a broker takes jobs for so long, in seconds: what a job has left behind, say, without a call.
WORK_SLICE = 2.0


class JobObserver(Protocol):
    """Hears of every run of a job."""

    def job_finished(self, kind: str, outcome: str) -> None:
        """`outcome`: done, retried or dead."""
        ...


class JobExecution:
    """`batch` jobs are claimed at a time; a job may take `job_timeout` seconds.

    `lease`: how long a claim stands; None: as long as the whole batch may take. A shorter one is prolonged.
    """

    def __init__(
        self,
        *,
        database: Database,
        handlers: Mapping[JobKind, Handler],
        batch: int,
        job_timeout: float,
        lease: timedelta | None = None,
        clock: Clock,
        identifiers: Identifiers,
        observer: JobObserver,
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._batch = batch
        self._job_timeout = job_timeout
        # A claimed job is given up by its runner before others may claim it again.
        self._lease = lease or timedelta(seconds=(batch + 1) * job_timeout)
        self._prolongs = lease is not None
        self._clock = clock
        self._identifiers = identifiers
        self._observer = observer

    async def claim(self) -> Sequence[Job]:
        """Due jobs that are now this runner's, oldest first; none when nothing is due."""
        now = self._clock.now()
        async with self._database.read() as repositories:
            # Looking first keeps idle runners away from the one writer of an embedded database.
            due = await repositories.jobs.next_run_at()
        if due is None or due > now:
            return ()
        async with self._database.begin() as work:
            return await work.jobs.claim(now=now, lease_until=now + self._lease, limit=self._batch)

    async def run(self, jobs: Sequence[Job]) -> None:
        """Run claimed jobs one after the other. All that went well are taken off the outbox in one transaction."""
        done = [job for job in jobs if await self._succeeds(job)]
        if not done:
            return
        async with self._database.begin() as work:
            for job in done:
                await work.jobs.finish(job.id)
        for job in done:
            self._observer.job_finished(job.kind, "done")

    async def _succeeds(self, job: Job) -> bool:
        if job.attempts > MAX_ATTEMPTS:  # it took its process with it each time, so nobody could count it as failed
            await self._failed(job, RuntimeError("its runners did not survive it"))
            return False
        try:
            async with asyncio.timeout(self._job_timeout), self._held(job):
                await self._handlers[job.kind](**job.payload)
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is the job's failure, not the runner's
            await self._failed(job, error)
            return False
        return True

    @asynccontextmanager
    async def _held(self, job: Job) -> AsyncIterator[None]:
        """Prolong the lease of `job` meanwhile, where leases are short."""
        holding = asyncio.create_task(self._keep_holding(job)) if self._prolongs else None
        try:
            yield
        finally:
            if holding is not None:
                holding.cancel()
                await asyncio.wait({holding})

    async def _keep_holding(self, job: Job) -> None:
        """Losing the lease is no harm: handlers may run twice, even at a time."""
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            with suppress(ChitramError):
                async with self._database.begin() as work:
                    await work.jobs.prolong(job, lease_until=self._clock.now() + self._lease)

    async def _failed(self, job: Job, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"[:500]
        outage = isinstance(error, OUTAGES)
        dead = job.attempts >= MAX_ATTEMPTS and not outage
        logger.warning("job %d (%s) %s: %s", job.id, job.kind, "given up" if dead else "failed", text)
        async with self._database.begin() as work:
            if dead:
                await work.jobs.bury(job.id, error=text)
            else:
                wait = backoff(OUTAGE_PAUSE if outage else job.attempts, jitter=self._identifiers.jitter())
                await work.jobs.retry(job.id, run_at=self._clock.now() + wait, error=text, counts=not outage)
        self._observer.job_finished(job.kind, "dead" if dead else "retried")
