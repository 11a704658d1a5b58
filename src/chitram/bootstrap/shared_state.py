"""What server processes share, or keep for themselves where there is nobody to share it with: cache and limits."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chitram.adapters.memory.cache import DisabledRecordCache, MemoryRecordCache
from chitram.adapters.memory.limiter import DisabledLimiter, MemoryLimiter
from chitram.adapters.observed import ObservedRecordCache
from chitram.bootstrap.preparation import startup_errors
from chitram.observability import Metrics
from chitram.ports.cache import RecordCache
from chitram.ports.clock import Clock
from chitram.ports.limiter import Limiter
from chitram.ports.unit_of_work import Database
from chitram.settings import Settings

if TYPE_CHECKING:
    from chitram.adapters.redis.client import RedisClient


@dataclass(frozen=True, slots=True)
class SharedState:
    """The cache of image records, and the limiter."""

    cache: RecordCache
    limiter: Limiter


async def open_shared_state(
    settings: Settings,
    stack: AsyncExitStack,
    *,
    metrics: Metrics,
    clock: Clock,
    database: Database,
    version: Callable[[], object],
) -> SharedState:
    """Cache and limiter, in Redis where there is one; `stack` closes them. Redis need not be there yet.

    `version`: which state of the database records come from, for a cache that hears of nobody else's changes.
    """
    cache: RecordCache = DisabledRecordCache()
    limiter: Limiter = MemoryLimiter(clock=clock) if settings.limits.enabled else DisabledLimiter()
    address = settings.redis.address
    if address is not None:
        client = _client(address, settings, stack, metrics=metrics, clock=clock)
        if settings.limits.enabled:
            limiter = _shared_limiter(client, limiter, settings, metrics=metrics)
        if settings.cache.enabled:
            cache = _shared_cache(client, settings, stack, clock=clock, database=database)
    elif settings.cache.enabled and not settings.on_postgresql:
        # Beside PostgreSQL there may be other servers, and nothing but Redis would tell of what they change.
        cache = MemoryRecordCache(
            max_entries=settings.cache.max_entries, ttl=settings.cache.ttl_seconds, clock=clock, version=version
        )
    return SharedState(_observed(cache, settings, metrics=metrics), limiter)


def _observed(cache: RecordCache, settings: Settings, *, metrics: Metrics) -> RecordCache:
    if not cache.enabled:
        return cache
    return ObservedRecordCache(
        cache, count=lambda result: metrics.record_cache_asked(hit=result == "hit"), log=settings.cache.debug
    )


def _client(
    address: str, settings: Settings, stack: AsyncExitStack, *, metrics: Metrics, clock: Clock
) -> "RedisClient":
    # Whoever stands alone need not carry the driver.
    from chitram.adapters.redis.client import RedisClient  # noqa: PLC0415

    with startup_errors("REDIS_URL"):
        client = RedisClient(address, timeout=settings.redis.timeout, clock=clock, observer=metrics)
    stack.push_async_callback(client.aclose)
    return client


def _shared_limiter(client: "RedisClient", own: Limiter, settings: Settings, *, metrics: Metrics) -> Limiter:
    from chitram.adapters.redis.limiter import FallbackLimiter, RedisLimiter  # noqa: PLC0415 - as above

    shared = RedisLimiter(client, prefix=settings.cache.key_prefix)
    return FallbackLimiter(shared, own, on_change=metrics.limiter_fell_back)


def _shared_cache(
    client: "RedisClient", settings: Settings, stack: AsyncExitStack, *, clock: Clock, database: Database
) -> RecordCache:
    from chitram.adapters.redis.cache import RedisRecordCache  # noqa: PLC0415 - as above
    from chitram.adapters.redis.pending import PendingInvalidations  # noqa: PLC0415 - as above

    pending = PendingInvalidations(database, clock=clock)
    stack.push_async_callback(pending.aclose)
    return RedisRecordCache(client, prefix=settings.cache.key_prefix, ttl=settings.cache.ttl_seconds, pending=pending)
