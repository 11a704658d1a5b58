"""Is every service there that the settings name, and right?"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.db import migrate
from chitram.adapters.memory.clock import SystemClock
from chitram.bootstrap.databases import open_database
from chitram.bootstrap.preparation import StartupError, startup_errors
from chitram.bootstrap.stores import open_store
from chitram.domain.errors import ChitramError, ServiceUnavailable
from chitram.observability import Metrics
from chitram.ports.patience import background
from chitram.settings import MEBIBYTE, Settings


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a server needs. `said`: what was found, or what is wrong and what to do."""

    name: str
    ok: bool
    said: str


async def inspect(settings: Settings) -> AsyncIterator[Check]:
    """Each thing in turn. Nothing is changed but what a start would set up: an empty store is made ours."""
    steps: tuple[tuple[str, Callable[[Settings], Awaitable[str]]], ...] = (
        ("directory", _directory),
        ("database", _database),
        ("storage", _storage),
        ("redis", _redis),
        ("workers", _workers),
        ("decoder", _decoder),
    )
    for name, look in steps:
        try:
            with background():
                yield Check(name, ok=True, said=await look(settings))
        except (ChitramError, StartupError, OSError, RuntimeError, ValueError) as error:
            yield Check(name, ok=False, said=str(error) or type(error).__name__)


async def _directory(settings: Settings) -> str:
    path = settings.staging_path if settings.storage.backend == "local" else settings.app.data_dir
    while not path.exists() and path != path.parent:
        path = path.parent
    free = (await asyncio.to_thread(shutil.disk_usage, path)).free
    if free < settings.storage.reserve_mb * MEBIBYTE:
        raise StartupError(f"{free // MEBIBYTE} MiB are free at DATA_DIR, less than STORAGE_RESERVE_MB")
    return f"{free // MEBIBYTE:,} MiB free"


async def _database(settings: Settings) -> str:
    with startup_errors("DATABASE_URL"):
        revision = await asyncio.to_thread(migrate.current, settings.database_url)
        if await asyncio.to_thread(migrate.pending, settings.database_url):
            raise StartupError(f"the schema is at {revision or 'nothing'}, not up to date: run `chitram migrate`")
        async with AsyncExitStack() as stack:
            database = await open_database(settings, stack, metrics=Metrics())
            await database.check()
    return f"{'PostgreSQL' if settings.on_postgresql else 'SQLite'}, schema {revision}"


async def _storage(settings: Settings) -> str:
    async with AsyncExitStack() as stack:
        metrics, threads = Metrics(), DiskThreads(workers=1)
        stack.callback(threads.close)
        try:
            database = await open_database(settings, stack, metrics=metrics)
        except ServiceUnavailable:
            raise StartupError("whose it is cannot be told without the database") from None
        with startup_errors("STORAGE_BACKEND"):
            blobs = await open_store(settings, stack, metrics=metrics, threads=threads, database=database)
            await blobs.check()
        return blobs.name


async def _redis(settings: Settings) -> str:
    address = settings.redis.address
    if address is None:
        return "not used: cache and limits are in each process"
    from chitram.adapters.redis.client import RedisClient, RedisUnavailableError  # noqa: PLC0415 - only where it is used

    with startup_errors("REDIS_URL"):
        client = RedisClient(address, timeout=settings.redis.timeout, clock=SystemClock(), observer=Metrics())
    try:
        await client.call("SET", f"{settings.cache.key_prefix}:check", "1", "PX", 1000)
    except RedisUnavailableError as error:
        raise StartupError(f"REDIS_URL: it does not answer, or takes no changes ({error})") from error
    finally:
        await client.aclose()
    return "answers, and takes changes"


async def _workers(settings: Settings) -> str:
    if settings.celery.broker_url is None:
        return "not used: the server works on jobs itself"
    from chitram.bootstrap.working import ask_broker  # noqa: PLC0415 - as above

    try:
        waiting, answers = await asyncio.to_thread(ask_broker, settings)
    except Exception as error:
        raise StartupError(f"CELERY_BROKER_URL: the broker does not answer ({type(error).__name__})") from error
    if not answers:
        raise StartupError(f"no worker answers, {waiting} calls wait: is `chitram worker` running?")
    return f"a worker answers, {waiting} calls wait"


async def _decoder(settings: Settings) -> str:
    # What decodes is of no use to the rest of this.
    from chitram.adapters.codec.inline import InProcessCodec  # noqa: PLC0415

    codec = InProcessCodec(strip_metadata=settings.uploads.strip_metadata)
    await codec.aclose()
    return "its libraries are the ones that it needs"
