"""Caches in front of us."""

from chitram.ports.cache import RecordCache
from chitram.ports.clock import Clock
from chitram.settings import Settings


def with_purge(cache: RecordCache, *, settings: Settings, clock: Clock) -> RecordCache:
    """`cache`, and whatever in front of us has to forget together with it; `cache` itself when there is nothing."""
    if not settings.cache.proxy_seconds:
        return cache
    from chitram.adapters.cdn.leases import LeasePurge  # noqa: PLC0415 - only where it is asked for
    from chitram.adapters.cdn.records import PurgingRecordCache  # noqa: PLC0415 - only where it is asked for

    return PurgingRecordCache(cache, purge=LeasePurge(seconds=settings.cache.proxy_seconds, clock=clock))
