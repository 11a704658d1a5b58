"""What workers do: jobs of the outbox, sweeps when it is their turn, and calling for what nobody was called for."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

from chitram.adapters.jobs.execution import WORK_SLICE, JobExecution
from chitram.adapters.jobs.sweeping import Sweep, Sweeper
from chitram.domain.errors import ChitramError
from chitram.domain.jobs import JobState
from chitram.ports.clock import Clock
from chitram.ports.unit_of_work import Database

logger = logging.getLogger(__name__)

#: What is due for less than this is on its way to a worker.
ON_ITS_WAY = timedelta(seconds=1)
#: Most calls that are made up for at a time.
MAX_CALLS = 200


class CallQueue(Protocol):
    """Calls to workers. Blocks, and raises what the broker's libraries raise when it is away."""

    def send(self, count: int) -> None:
        """Call workers to look at the outbox, `count` times."""
        ...

    def waiting(self) -> int:
        """How many calls nobody has taken yet."""
        ...


class Republisher:
    """Calls workers for jobs that are due and for which no call waits: retries, and what the broker has lost."""

    def __init__(self, *, database: Database, calls: CallQueue, clock: Clock) -> None:
        self._database = database
        self._calls = calls
        self._clock = clock

    async def republish(self) -> int:
        """Sweep: how many calls were missing. Raises what the broker's libraries raise when it is away."""
        due = await self._due()
        missing = max(0, due - await asyncio.to_thread(self._calls.waiting)) if due else 0
        await asyncio.to_thread(self._calls.send, missing)
        return missing

    async def _due(self) -> int:
        moment = self._clock.now() - ON_ITS_WAY
        async with self._database.read() as repositories:
            ready = await repositories.jobs.list(state=JobState.READY, limit=MAX_CALLS)
            running = await repositories.jobs.list(state=JobState.RUNNING, limit=MAX_CALLS)
        lost = sum(job.lease_until is not None and job.lease_until <= moment for job in running)
        return sum(job.run_at <= moment for job in ready) + lost


class Work:
    """The tasks of a worker's process. `sweeper` makes one for each turn, so that a turn is nobody else's."""

    def __init__(
        self, *, execution: JobExecution, sweeper: Callable[[], Sweeper], sweeps: Sequence[Sweep], clock: Clock
    ) -> None:
        self._execution = execution
        self._sweeper = sweeper
        self._sweeps = {sweep.name: sweep for sweep in sweeps}
        self._clock = clock

    async def work(self) -> int:
        """Run due jobs, one after the other, until none is left or a slice of time is over; how many."""
        done = 0
        until = self._clock.monotonic() + WORK_SLICE
        try:
            while jobs := await self._execution.claim():
                await self._execution.run(jobs)
                done += len(jobs)
                if self._clock.monotonic() >= until:
                    break
        except ChitramError:
            # The rows are as they were, and called for again as long as they are due.
            logger.warning("the job outbox cannot be reached", exc_info=True)
        return done

    async def sweep(self, name: str) -> int | None:
        """Run the sweep `name` if its turn has come; how much it found. KeyError for a name that is none."""
        return await self._sweeper().run_in_turn(self._sweeps[name])
