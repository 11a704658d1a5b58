"""Caches that keep an answer for no longer than its lease: they are not told, they are waited for."""

import asyncio
from collections.abc import Collection

from chitram.domain.leases import leases_over
from chitram.ports.clock import Clock


class LeasePurge:
    """Waits until no lease of before is left. Reaches caches that are down, unknown, or busy with an old answer.

    `seconds`: the longest lease. `clock` has to be that of the leases.
    """

    def __init__(self, *, seconds: int, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock

    async def purge(self, image_ids: Collection[str]) -> None:
        if image_ids:
            moment = self._clock.now().timestamp()
            await asyncio.sleep(leases_over(moment, seconds=self._seconds) - moment)
