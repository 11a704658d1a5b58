"""Is every service there that the settings name, and right?"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import SystemClock
from chitram.bootstrap.databases import open_database
from chitram.bootstrap.decoding import budget_of, start_codec
from chitram.bootstrap.demo import demo_pictures
from chitram.bootstrap.preparation import StartupError, require_current_schema, schema_revision, startup_errors
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
        raise StartupError(f"{free // MEBIBYTE} MiB are free at {path}, less than STORAGE_RESERVE_MB")
    return f"{free // MEBIBYTE:,} MiB free at {path}"


async def _database(settings: Settings) -> str:
    await asyncio.to_thread(require_current_schema, settings)
    revision = await asyncio.to_thread(schema_revision, settings)
    with startup_errors("DATABASE_URL"):
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
        except (ServiceUnavailable, StartupError):
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
        await client.check(settings.cache.key_prefix)
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
    """A picture through the same walls as in a server."""
    (picture,) = demo_pictures(1)
    async with AsyncExitStack() as stack:
        codec = await start_codec(settings, stack, metrics=Metrics(), workers=1)
        with tempfile.TemporaryFile() as file:
            file.write(picture.data)
            file.flush()
            budget = replace(budget_of(settings), content_types=frozenset({"image/jpeg"}))
            made = await codec.ingest(file.fileno(), budget=budget)
    return f"makes {len(made.rendered.thumbnails)} thumbnails of a picture"
