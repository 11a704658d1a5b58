"""What server processes share, or keep for themselves where there is nobody to share it with: cache and limits."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from chitram.adapters.memory.cache import DisabledRecordCache, MemoryRecordCache
from chitram.adapters.memory.limiter import DisabledLimiter, MemoryLimiter
from chitram.adapters.observed import ObservedRecordCache
from chitram.observability import Metrics
from chitram.ports.cache import RecordCache
from chitram.ports.clock import Clock
from chitram.ports.limiter import Limiter
from chitram.settings import Settings


@dataclass(frozen=True, slots=True)
class SharedState:
    """The cache of image records, and the limiter."""

    cache: RecordCache
    limiter: Limiter


async def open_shared_state(
    settings: Settings,
    stack: AsyncExitStack,  # noqa: ARG001  # what is opened here is closed by it
    *,
    metrics: Metrics,
    clock: Clock,
    version: Callable[[], object],
) -> SharedState:
    """`version`: which state of the database records come from, for a cache that hears of nobody else's changes."""
    limiter = MemoryLimiter(clock=clock) if settings.limits.enabled else DisabledLimiter()
    return SharedState(_record_cache(settings, clock, version=version, metrics=metrics), limiter)


def _record_cache(settings: Settings, clock: Clock, *, version: Callable[[], object], metrics: Metrics) -> RecordCache:
    if not settings.cache.enabled:
        return DisabledRecordCache()
    cache = MemoryRecordCache(
        max_entries=settings.cache.max_entries, ttl=settings.cache.ttl_seconds, clock=clock, version=version
    )
    return ObservedRecordCache(cache, count=lambda result: metrics.record_cache_asked(hit=result == "hit"))
