"""The embedded runner: takes jobs from the outbox and runs the sweepers, inside the server process.

Any number of runners may share a database: jobs are claimed with a lease, each sweep holds a named lease. A process
that dies leaves leases behind that run out; nothing else is needed to recover.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from chitram.domain.errors import ChitramError, ServiceUnavailable, StorageFull, StorageUnavailable, UploadBusy
from chitram.domain.jobs import MAX_ATTEMPTS, Job, JobKind, backoff
from chitram.ports.clock import Clock, Identifiers
from chitram.ports.unit_of_work import Database

logger = logging.getLogger(__name__)

Handler = Callable[..., Awaitable[None]]

#: A claimed job is given up by its runner before others may claim it again.
BATCH = 4
#: Failures that say nothing about the job: it is tried again for as long as they last, with the pause of 5 failures.
OUTAGE_PAUSE = 5
OUTAGES = (ServiceUnavailable, StorageFull, StorageUnavailable, UploadBusy)
#: Sweeps that walk over everything begin when the server has started for good, in seconds.
LONG_SWEEP, LONG_SWEEP_DELAY = 3600.0, 300.0
#: Short, so that the sweeps of a process that was killed go on soon elsewhere; prolonged while a sweep runs.
SWEEP_LEASE = timedelta(seconds=15)
SWEEP_TIMEOUT = 900.0
#: The outbox is looked at this often although nobody called, in seconds: a wake-up may have been lost.
IDLE_POLL = 15.0
FAILURE_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class Sweep:
    """A repair that runs every `interval` seconds and says how much it found. `name` is its lease and its label."""

    name: str
    interval: float
    run: Callable[[], Awaitable[int]]


class RunnerObserver(Protocol):
    """What the runner tells whoever counts."""

    def job_finished(self, kind: str, outcome: str) -> None: ...

    def sweep_finished(self, name: str, found: int | None) -> None:
        """`found` is None when the sweep failed."""
        ...


class EmbeddedSignal:
    """Wakes the runner of this process."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()

    async def wake(self) -> None:
        """Let the runner look at the outbox now."""
        self.woken.set()


class EmbeddedRunner:
    def __init__(
        self,
        *,
        signal: EmbeddedSignal,
        database: Database,
        handlers: Mapping[JobKind, Handler],
        sweeps: Sequence[Sweep],
        runners: int,
        job_timeout: float,
        clock: Clock,
        identifiers: Identifiers,
        observer: RunnerObserver,
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._sweeps = sweeps
        self._runners = runners
        self._job_timeout = job_timeout
        self._lease = timedelta(seconds=(BATCH + 1) * job_timeout)
        self._clock = clock
        self._identifiers = identifiers
        self._observer = observer
        self._holder = identifiers.generation()
        self._woken = signal.woken
        self._stopped = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to take jobs and to sweep."""
        loops = [self._run_jobs() for _ in range(self._runners)]
        self._tasks = [asyncio.create_task(loop) for loop in (*loops, self._run_sweeps())]

    async def stop(self, *, patience: float) -> None:
        """Take no more jobs and give running ones `patience` seconds; what is cut short runs again elsewhere."""
        self._stopped.set()
        self._woken.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def alive(self) -> bool:
        """Whether all loops are running."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def run_due(self) -> int:
        """Run every job that is due, one after the other; how many."""
        done = 0
        while jobs := await self._claim():
            await self._run(jobs)
            done += len(jobs)
        return done

    async def sweep_once(self) -> dict[str, int]:
        """Run every sweep that nobody else is running; name → how much it found."""
        found = {sweep.name: await self._sweep(sweep) for sweep in self._sweeps if await self._hold(sweep)}
        return {name: count for name, count in found.items() if count is not None}

    async def _run_jobs(self) -> None:
        while not self._stopped.is_set():
            try:
                if jobs := await self._claim():
                    await self._run(jobs)
                else:
                    await self._pause()
            except ChitramError:
                logger.warning("the job outbox cannot be reached", exc_info=True)
                await self._sleep(FAILURE_PAUSE)
            except Exception:
                logger.exception("the job runner failed and goes on")
                await self._sleep(FAILURE_PAUSE)

    async def _claim(self) -> Sequence[Job]:
        now = self._clock.now()
        async with self._database.read() as repositories:
            # Looking first keeps idle runners away from the one writer of an embedded database.
            due = await repositories.jobs.next_run_at()
        if due is None or due > now:
            return ()
        async with self._database.begin() as work:
            return await work.jobs.claim(now=now, lease_until=now + self._lease, limit=BATCH)

    async def _run(self, jobs: Sequence[Job]) -> None:
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
            async with asyncio.timeout(self._job_timeout):
                await self._handlers[job.kind](**job.payload)
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is the job's failure, not the runner's
            await self._failed(job, error)
            return False
        return True

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

    async def _pause(self) -> None:
        async with self._database.read() as repositories:
            due = await repositories.jobs.next_run_at()
        wait = IDLE_POLL if due is None else min(IDLE_POLL, (due - self._clock.now()).total_seconds())
        await self._sleep(max(wait, 0.01))

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        if not self._stopped.is_set():
            self._woken.clear()

    async def _run_sweeps(self) -> None:
        begun = self._clock.monotonic()
        due = {sweep: begun + (LONG_SWEEP_DELAY if sweep.interval >= LONG_SWEEP else 0) for sweep in self._sweeps}
        while not self._stopped.is_set():
            now = self._clock.monotonic()
            for sweep in self._sweeps:
                if due[sweep] <= now and not self._stopped.is_set():
                    ours = await self._hold(sweep)
                    if ours:
                        await self._sweep(sweep)
                    # Who holds the lease may have died: that is seen as soon as the lease has run out.
                    pause = sweep.interval if ours else min(sweep.interval, SWEEP_LEASE.total_seconds())
                    due[sweep] = self._clock.monotonic() + pause
            await self._rest(min(due.values(), default=now + IDLE_POLL) - self._clock.monotonic())

    async def _rest(self, seconds: float) -> None:
        """Sleep, but not when the runner is to stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()

    async def _sweep(self, sweep: Sweep) -> int | None:
        """Run a sweep whose lease is held; how much it found, None when it failed."""
        try:
            found = await self._run_held(sweep)
            async with self._database.begin() as work:
                await work.leases.release(_lease(sweep), holder=self._holder)
        except Exception:  # one sweep that fails must not stop the others
            logger.exception("the sweep %s failed and will be tried again", sweep.name)
            self._observer.sweep_finished(sweep.name, None)
            return None
        self._observer.sweep_finished(sweep.name, found)
        return found

    async def _run_held(self, sweep: Sweep) -> int:
        holding = asyncio.create_task(self._keep_holding(sweep))
        try:
            async with asyncio.timeout(SWEEP_TIMEOUT):
                return await sweep.run()
        finally:
            holding.cancel()
            await asyncio.wait({holding})

    async def _hold(self, sweep: Sweep) -> bool:
        """Take or prolong the lease of a sweep; False while somebody else has it, or the database cannot say."""
        now = self._clock.now()
        try:
            async with self._database.begin() as work:
                return await work.leases.acquire(_lease(sweep), holder=self._holder, now=now, until=now + SWEEP_LEASE)
        except ChitramError:
            logger.warning("the lease of the sweep %s cannot be had", sweep.name, exc_info=True)
            return False

    async def _keep_holding(self, sweep: Sweep) -> None:
        """Prolong the lease while the sweep runs; losing it is no harm, two sweeps at a time are only wasteful."""
        while True:
            await asyncio.sleep(SWEEP_LEASE.total_seconds() / 3)
            await self._hold(sweep)


def _lease(sweep: Sweep) -> str:
    return f"sweep:{sweep.name}"
