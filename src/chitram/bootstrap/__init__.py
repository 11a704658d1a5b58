"""Settings in, wired services out: the only place that knows which adapter stands behind which port."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from chitram.adapters.codec.sandbox import SandboxedCodec
from chitram.adapters.db import migrate
from chitram.bootstrap.foundation import Foundation, lay_foundation, rehearse
from chitram.bootstrap.preparation import (
    StartupError,
    load_secret,
    migrate_schema,
    prepare,
    schema_revision,
    startup_errors,
)
from chitram.bootstrap.wiring import Application, wire
from chitram.observability import Metrics
from chitram.settings import MEBIBYTE, Settings

__all__ = [
    "Application",
    "Foundation",
    "StartupError",
    "check_start",
    "load_secret",
    "migrate_schema",
    "operating",
    "prepare",
    "running",
    "schema_revision",
    "wire",
]

#: Running jobs get this long to end at shutdown, in seconds.
DRAIN_PATIENCE = 10.0


def check_start(settings: Settings) -> None:
    """Open what a server needs, for a moment. StartupError says in one line what would keep it from starting."""
    with startup_errors("LOCAL_STORAGE_PATH"):
        asyncio.run(rehearse(settings))


@asynccontextmanager
async def operating(settings: Settings) -> AsyncIterator[Application]:
    """The application for one command: nothing runs in the background."""
    async with AsyncExitStack() as stack:
        with startup_errors("DATABASE_URL"):
            if migrate.pending(settings.database_url):
                raise StartupError("DATABASE_URL: the schema is not up to date; run `chitram migrate`")
        # A server decodes in other processes only, so it need not carry the imaging libraries.
        from chitram.adapters.codec.inline import InProcessCodec  # noqa: PLC0415

        codec = InProcessCodec(strip_metadata=settings.uploads.strip_metadata)
        stack.push_async_callback(codec.aclose)
        yield wire(await lay_foundation(settings, stack, metrics=Metrics(), codec=codec, serving=False))


@asynccontextmanager
async def running(settings: Settings, *, metrics: Metrics) -> AsyncIterator[Application]:
    """The application of a server: decode sandbox, job runner and sweepers are at work until the context ends."""
    async with AsyncExitStack() as stack:
        codec = await _start_codec(settings)
        stack.push_async_callback(codec.aclose)
        metrics.watch_codec(codec.stats)
        application = wire(await lay_foundation(settings, stack, metrics=metrics, codec=codec, serving=True))
        stack.push_async_callback(application.thumbnails.aclose)
        await application.runner.start()
        stack.push_async_callback(application.runner.stop, patience=DRAIN_PATIENCE)
        yield application


async def _start_codec(settings: Settings) -> SandboxedCodec:
    decode = settings.decode
    return await SandboxedCodec.start(
        workers=decode.workers or os.cpu_count() or 1,
        memory_bytes=decode.memory_mb * MEBIBYTE,
        cpu_seconds=decode.cpu_seconds,
        wall_seconds=decode.timeout,
        recycle_after=decode.recycle_after,
        strip_metadata=settings.uploads.strip_metadata,
    )
