"""Health: whether this process can do its work, and which parts of it cannot."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from chitram.domain.errors import ChitramError, StorageFull
from chitram.ports.blobs import BlobStore
from chitram.ports.cache import RecordCache
from chitram.ports.clock import Clock
from chitram.ports.unit_of_work import Database

CHECK_TIMEOUT = 0.8
#: How long a result stands, in seconds: a probe must not become a load.
FRESH = 1.0
UNFORESEEN = "a check of health failed in a way that is not foreseen"

logger = logging.getLogger(__name__)


class Status(StrEnum):
    """DEGRADED: something that can be missed is missing. UNHEALTHY: requests fail."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Report:
    """`cache` is None when caching is off. `room` is False when the disk is full: everything but uploads goes on."""

    database: bool
    storage: bool
    room: bool
    cache: bool | None
    jobs: bool

    @property
    def status(self) -> Status:
        if not (self.database and self.storage):
            return Status.UNHEALTHY
        degraded = self.cache is False or not self.jobs or not self.room
        return Status.DEGRADED if degraded else Status.HEALTHY


class Health:
    def __init__(
        self,
        *,
        database: Database,
        blobs: BlobStore,
        cache: RecordCache,
        require_room: Callable[[], Awaitable[None]],
        jobs_alive: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._cache = cache
        self._require_room = require_room
        self._jobs_alive = jobs_alive
        self._clock = clock
        self._checking: asyncio.Task[Report] | None = None
        self._checked_at = float("-inf")

    async def report(self) -> Report:
        """Check everything, at most once a second; callers in between share the result."""
        now = self._clock.monotonic()
        if self._checking is None or (self._checking.done() and now - self._checked_at > FRESH):
            self._checked_at = now
            self._checking = asyncio.create_task(self._check())
        return await asyncio.shield(self._checking)

    async def _check(self) -> Report:
        database, storage, room, cache = await asyncio.gather(
            _failure(self._database.check),
            _failure(self._blobs.check),
            _failure(self._require_room),
            self._check_cache(),
        )
        return Report(
            database=database is None or isinstance(database, StorageFull),
            storage=storage is None or isinstance(storage, StorageFull),
            room=room is None and not any(isinstance(failure, StorageFull) for failure in (database, storage)),
            cache=cache,
            jobs=self._jobs_alive(),
        )

    async def _check_cache(self) -> bool | None:
        if not self._cache.enabled:
            return None
        try:
            return await self._cache.check()
        except Exception:
            logger.exception(UNFORESEEN)
            return False


async def _failure(check: Callable[[], Awaitable[None]]) -> Exception | None:
    """What is wrong, TimeoutError when there is no answer in time. A check that hangs is not waited for."""
    task = asyncio.ensure_future(check())
    done, _ = await asyncio.wait({task}, timeout=CHECK_TIMEOUT)
    if not done:
        task.cancel()
        task.add_done_callback(_look_at)
        return TimeoutError()
    try:
        await task
    except ChitramError as error:
        return error
    except Exception as error:
        # Whoever asks wants to know which part it is, and gets no answer from a check that ends all of them.
        logger.exception(UNFORESEEN)
        return error
    return None


def _look_at(task: "asyncio.Future[None]") -> None:
    if not task.cancelled():
        task.exception()
