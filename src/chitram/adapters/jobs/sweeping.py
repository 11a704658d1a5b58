"""Sweeps: repairs that run again and again, each in one process at a time, held by a named lease."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from chitram.domain.errors import ChitramError
from chitram.ports.clock import Clock
from chitram.ports.unit_of_work import Database

logger = logging.getLogger(__name__)

#: Short, so that the sweeps of a process that was killed go on soon elsewhere; prolonged while a sweep runs.
SWEEP_LEASE = timedelta(seconds=15)
SWEEP_TIMEOUT = 900.0
#: A sweep that several callers ask for rests for this share of its interval, so that it runs once in each.
REST = 0.9


@dataclass(frozen=True, slots=True)
class Sweep:
    """A repair that runs every `interval` seconds and says how much it found. `name` is its lease and its label."""

    name: str
    interval: float
    run: Callable[[], Awaitable[int]]


class SweepObserver(Protocol):
    """Hears of every run of a sweep."""

    def sweep_finished(self, name: str, found: int | None) -> None:
        """`found` is None when the sweep failed."""
        ...


class Sweeper:
    """Runs sweeps under their leases, in the name of `holder`."""

    def __init__(self, *, holder: str, database: Database, clock: Clock, observer: SweepObserver) -> None:
        self._holder = holder
        self._database = database
        self._clock = clock
        self._observer = observer

    async def hold(self, sweep: Sweep) -> bool:
        """Take or prolong the lease of a sweep; False while somebody else has it, or the database cannot say."""
        try:
            return await self._take(sweep, until=self._clock.now() + SWEEP_LEASE)
        except ChitramError:
            logger.warning("the lease of the sweep %s cannot be had", sweep.name, exc_info=True)
            return False

    async def run(self, sweep: Sweep) -> int | None:
        """Run a sweep whose lease is held, and let go of it; how much it found, None when it failed."""
        return await self._run(sweep, rest_until=None)

    async def run_in_turn(self, sweep: Sweep) -> int | None:
        """Run a sweep unless it is running, or has run within its interval. None as well when it failed.

        What it has found out about its turn is in the lease, so that it holds for all processes and after any restart.
        """
        begun = self._clock.now()
        if not await self.hold(sweep):
            return None
        return await self._run(sweep, rest_until=begun + timedelta(seconds=REST * sweep.interval))

    async def _run(self, sweep: Sweep, *, rest_until: datetime | None) -> int | None:
        try:
            found = await self._run_held(sweep)
            if rest_until is not None and rest_until > self._clock.now():
                await self._take(sweep, until=rest_until)
            else:
                await self._let_go(sweep)
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

    async def _keep_holding(self, sweep: Sweep) -> None:
        """Prolong the lease while the sweep runs; losing it is no harm, two sweeps at a time are only wasteful."""
        while True:
            await asyncio.sleep(SWEEP_LEASE.total_seconds() / 3)
            await self.hold(sweep)

    async def _take(self, sweep: Sweep, *, until: datetime) -> bool:
        async with self._database.begin() as work:
            return await work.leases.acquire(
                f"sweep:{sweep.name}", holder=self._holder, now=self._clock.now(), until=until
            )

    async def _let_go(self, sweep: Sweep) -> None:
        async with self._database.begin() as work:
            await work.leases.release(f"sweep:{sweep.name}", holder=self._holder)
