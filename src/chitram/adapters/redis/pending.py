"""Which images were changed without the cache having heard of it for certain: the database knows, and is asked."""

import asyncio
import logging
from collections.abc import Iterable

from chitram.ports.clock import Clock
from chitram.ports.unit_of_work import Database

logger = logging.getLogger(__name__)

#: What the database said counts for this long, in seconds.
TRUSTED_FOR = 0.08
#: After this long, in seconds, everybody trusts only what the database said since. A little more, for timers that ring
#: early and clocks that do not run alike.
HEARD_AFTER = 0.1
#: Jobs that one look reads. When more wait, nothing that is cached is trusted.
MAX_JOBS = 256


class PendingInvalidations:
    """The images that waiting jobs of the kind INVALIDATE name, as of at most TRUSTED_FOR seconds ago.

    Such a job is committed with the change, and goes when the cache has dropped the record. Everybody asks here before
    they ask the cache, so whoever waits for HEARD_AFTER seconds after a commit knows that nobody relies on the record
    any more, even when the cache itself could not be told. It has to be asked of the database that commits, no replica.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._asked_at = float("-inf")
        self._images: frozenset[str] | None = None
        self._asking: asyncio.Task[None] | None = None

    async def images(self) -> frozenset[str] | None:
        """These images; None when nothing cached may be believed: too many jobs wait, or the database cannot say, or
        not in time.

        What is believed by this answer has to be asked of the cache after it: a job that is in no list any more may
        have gone a moment ago, after the cache gave the record.
        """
        if not self._is_fresh():
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
            await asyncio.shield(self._asking)
            if not self._is_fresh():
                return None
        return self._images

    async def aclose(self) -> None:
        """Wait for what is under way."""
        if self._asking is not None:
            await asyncio.wait({self._asking})

    def _is_fresh(self) -> bool:
        return self._clock.monotonic() - self._asked_at < TRUSTED_FOR

    async def _ask(self) -> None:
        # The moment before: what is committed after it may be missing.
        asked_at = self._clock.monotonic()
        try:
            async with self._database.read() as repositories:
                payloads = await repositories.jobs.invalidations(limit=MAX_JOBS + 1)
            self._images = None if len(payloads) > MAX_JOBS else frozenset(_images(payloads))
        except Exception:
            logger.warning("the database cannot say which images have changed; the cache is not used", exc_info=True)
            return
        self._asked_at = asked_at


def _images(payloads: Iterable[object]) -> Iterable[str]:
    for payload in payloads:
        assert isinstance(payload, dict)
        yield from payload["image_ids"]
