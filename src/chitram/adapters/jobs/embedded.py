"""The embedded runner: takes jobs from the outbox and runs the sweepers, inside the server process.

Any number of runners may share a database: jobs are claimed with a lease, each sweep holds a named lease. A process
that dies leaves leases behind that run out; nothing else is needed to recover.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from chitram.adapters.jobs.execution import Handler, JobExecution, JobObserver
from chitram.adapters.jobs.sweeping import SWEEP_LEASE, Sweep, Sweeper, SweepObserver
from chitram.domain.errors import ChitramError
from chitram.domain.jobs import Job, JobKind
from chitram.ports.clock import Clock, Identifiers
from chitram.ports.unit_of_work import Database

logger = logging.getLogger(__name__)

#: Jobs that are claimed at a time.
BATCH = 4
#: Sweeps that walk over everything begin when the server has started for good, in seconds.
LONG_SWEEP, LONG_SWEEP_DELAY = 3600.0, 300.0
#: The outbox is looked at this often although nobody called, in seconds: a wake-up may have been lost.
IDLE_POLL = 15.0
FAILURE_PAUSE = 2.0


class RunnerObserver(JobObserver, SweepObserver, Protocol):
    """What the runner tells whoever counts."""


class EmbeddedSignal:
    """Wakes the runner of this process."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()

    async def wake(self) -> None:
        """Let the runner look at the outbox now."""
        self.woken.set()


class EmbeddedRunner:
    """`runners` jobs run at a time; none at all where workers do them, and only the sweeps are left."""

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
        self._sweeps = sweeps
        self._runners = runners
        self._clock = clock
        self._execution = JobExecution(
            database=database,
            handlers=handlers,
            batch=BATCH,
            job_timeout=job_timeout,
            clock=clock,
            identifiers=identifiers,
            observer=observer,
        )
        self._sweeper = Sweeper(holder=identifiers.generation(), database=database, clock=clock, observer=observer)
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
            await self._execution.run(jobs)
            done += len(jobs)
        return done

    async def sweep_once(self) -> dict[str, int]:
        """Run every sweep that nobody else is running; name → how much it found."""
        found = {s.name: await self._sweeper.run(s) for s in self._sweeps if await self._sweeper.hold(s)}
        return {name: count for name, count in found.items() if count is not None}

    async def _run_jobs(self) -> None:
        while not self._stopped.is_set():
            try:
                if jobs := await self._claim():
                    await self._execution.run(jobs)
                else:
                    await self._pause()
            except ChitramError:
                logger.warning("the job outbox cannot be reached", exc_info=True)
                await self._sleep(FAILURE_PAUSE)
            except Exception:
                logger.exception("the job runner failed and goes on")
                await self._sleep(FAILURE_PAUSE)

    async def _claim(self) -> Sequence[Job]:
        return await self._execution.claim()

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
                    ours = await self._sweep(sweep)
                    # Who holds the lease may have died: that is seen as soon as the lease has run out.
                    pause = sweep.interval if ours else min(sweep.interval, SWEEP_LEASE.total_seconds())
                    due[sweep] = self._clock.monotonic() + pause
            await self._rest(min(due.values(), default=now + IDLE_POLL) - self._clock.monotonic())

    async def _sweep(self, sweep: Sweep) -> bool:
        """Run a sweep unless somebody else does; whether its turn was ours and is over."""
        try:
            if not await self._sweeper.hold(sweep):
                return False
            await self._sweeper.run(sweep)
        except Exception:  # the others, and this one next time, go on
            logger.exception("the sweep %s could not be run and will be tried again", sweep.name)
            return False
        return True

    async def _rest(self, seconds: float) -> None:
        """Sleep, but not when the runner is to stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
