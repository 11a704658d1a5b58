"""Settings in, wired services out: the only place that knows which adapter stands behind which port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from chitram.adapters.jobs.execution import WORK_SLICE
from chitram.adapters.jobs.sweeping import SWEEP_TIMEOUT
from chitram.adapters.jobs.work import Work
from chitram.bootstrap.decoding import start_codec
from chitram.bootstrap.foundation import Foundation, lay_foundation, rehearse
from chitram.bootstrap.preparation import (
    StartupError,
    load_secret,
    migrate_schema,
    prepare,
    require_current_schema,
    require_revision,
    schema_revision,
)
from chitram.bootstrap.stores import direct_links
from chitram.bootstrap.wiring import Application, wire
from chitram.bootstrap.working import job_timeout, make_work, open_dispatch, worker_app, worker_intervals
from chitram.observability import Metrics
from chitram.ports.patience import background
from chitram.settings import Settings

__all__ = [
    "SWEEP_TIMEOUT",
    "WORK_SLICE",
    "Application",
    "Foundation",
    "StartupError",
    "Work",
    "check_start",
    "direct_links",
    "job_timeout",
    "load_secret",
    "migrate_schema",
    "operating",
    "prepare",
    "require_revision",
    "running",
    "schema_revision",
    "wire",
    "worker_app",
    "worker_intervals",
    "working",
]

#: Running jobs get this long to end at shutdown, in seconds.
DRAIN_PATIENCE = 10.0


def check_start(settings: Settings) -> None:
    """Open what a server needs, for a moment. StartupError says in one line what would keep it from starting."""
    asyncio.run(rehearse(settings))


@asynccontextmanager
async def operating(settings: Settings) -> AsyncIterator[Application]:
    """The application for one command: nothing runs beside it, and no request waits for it."""
    async with AsyncExitStack() as stack:
        stack.enter_context(background())
        require_current_schema(settings)
        # A server decodes in other processes only, so it need not carry the imaging libraries.
        from chitram.adapters.codec.inline import InProcessCodec  # noqa: PLC0415

        codec = InProcessCodec(strip_metadata=settings.uploads.strip_metadata)
        stack.push_async_callback(codec.aclose)
        found = await lay_foundation(settings, stack, metrics=Metrics(), codec=codec, serving=False)
        yield _wired(found, stack, watch=False)


@asynccontextmanager
async def running(settings: Settings, *, metrics: Metrics) -> AsyncIterator[Application]:
    """The application of a server: decode sandbox, job runner and sweepers are at work until the context ends."""
    async with AsyncExitStack() as stack:
        codec = await start_codec(settings, stack, metrics=metrics, workers=settings.decode.workers)
        with background():
            found = await lay_foundation(settings, stack, metrics=metrics, codec=codec, serving=True)
        application = _wired(found, stack, watch=True)
        stack.push_async_callback(application.thumbnails.aclose)
        if not settings.app.read_only:
            with background():
                await application.runner.start()
        stack.push_async_callback(application.runner.stop, patience=DRAIN_PATIENCE)
        yield application


@asynccontextmanager
async def working(settings: Settings, *, metrics: Metrics) -> AsyncIterator[Work]:
    """What one process of a worker does: one thing at a time, each decode behind the same walls as in a server."""
    async with AsyncExitStack() as stack:
        stack.enter_context(background())
        codec = await start_codec(settings, stack, metrics=metrics, workers=1)
        # Others cache what jobs change, so they have to know that this process is there.
        found = await lay_foundation(settings, stack, metrics=metrics, codec=codec, serving=True)
        application = _wired(found, stack, watch=False)
        # A process before this one may have been killed in the middle of a job.
        await application.collector.clear_staging()
        yield make_work(found, stack, handlers=application.handlers, sweeps=application.sweeps)


def _wired(found: Foundation, stack: AsyncExitStack, *, watch: bool) -> Application:
    return wire(found, open_dispatch(found, stack, watch=watch))
