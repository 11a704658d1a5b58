"""The wired application inside the test's process: real SQLite, real local store or its twin, a clock that obeys."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from chitram.adapters.blobs.local import LocalBlobStore
from chitram.adapters.blobs.staging import LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.codec.inline import InProcessCodec
from chitram.adapters.db.lookup import SqliteLookup
from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.adapters.memory.cache import MemoryRecordCache
from chitram.adapters.memory.clock import ManualClock, SystemIdentifiers
from chitram.adapters.memory.limiter import DisabledLimiter, MemoryLimiter
from chitram.bootstrap import Application, Foundation, wire
from chitram.domain.uploads import UploadDetails, Uploaded
from chitram.entrypoints.asgi import Server
from chitram.observability import Metrics
from chitram.settings import AppSettings, Settings
from tests.factories.databases import copy_migrated, database_url

Arrange = Callable[[Foundation], None]


@dataclass
class House:
    """A wired application with the parts that tests reach behind."""

    application: Application
    foundation: Foundation
    clock: ManualClock
    root: Path

    async def upload(self, data: bytes, *, details: UploadDetails | None = None) -> Uploaded:
        """Upload `data` as the entry points do."""
        async with self.application.uploads.stage() as staged:
            await staged.write(data)
            return await self.application.uploads.keep(staged, details=details or UploadDetails())

    def objects(self) -> set[str]:
        """The keys of everything in the store."""
        found = {path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()}
        return {key for key in found if key.startswith(("blobs/", "thumbs/"))}

    @asynccontextmanager
    async def client(self, *, address: str = "192.0.2.7", **options: Any) -> AsyncIterator[httpx.AsyncClient]:
        """A client of the whole ASGI application over this house, as if from `address`; `options` are httpx's."""
        server = Server(self.application.settings)
        transport = httpx.ASGITransport(server, client=(address, 4711))
        with server.serving(self.application):
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver", **options) as client:
                yield client


@asynccontextmanager
async def house(
    directory: Path,
    *,
    settings: Settings | None = None,
    clock: ManualClock | None = None,
    arrange: Arrange = lambda _: None,
) -> AsyncIterator[House]:
    """A wired application over `directory`, new or used before; no job runs unless the test says so.

    `arrange` may put other parts into the foundation before the services are wired on it.
    """
    settings = settings or Settings(app=AppSettings(env="test", data_dir=directory))
    path = directory / "chitram.db"
    url = database_url(path) if path.exists() else copy_migrated(path)
    clock, identifiers, threads = clock or ManualClock(), SystemIdentifiers(), DiskThreads(workers=2)
    database = await SqlDatabase.open(url=url)
    lookup = SqliteLookup(url=url)
    root = directory / "storage"
    blobs = LocalBlobStore(root, threads=threads)
    staging = LocalStaging(directory / "staging", threads=threads, clock=clock)
    codec = InProcessCodec(strip_metadata=settings.uploads.strip_metadata)
    try:
        await blobs.prepare(owner=await database.identity(), expect_data=False)
        foundation = Foundation(
            settings=settings,
            metrics=Metrics(),
            database=database,
            lookup=lookup,
            blobs=blobs,
            staging=staging,
            codec=codec,
            cache=MemoryRecordCache(max_entries=1000, ttl=3600, clock=clock, version=lookup.version),
            limiter=MemoryLimiter(clock=clock) if settings.limits.enabled else DisabledLimiter(),
            clock=clock,
            identifiers=identifiers,
        )
        arrange(foundation)
        yield House(wire(foundation), foundation, clock, root)
    finally:
        await codec.aclose()
        staging.close()
        blobs.close()
        lookup.close()
        await database.aclose()
        threads.close()


@asynccontextmanager
async def client_of(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a whole server without a socket: lifespan, edge, door, API, decode sandbox, job runner."""
    app = Server(settings)
    async with app.lifespan(), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as c:
        yield c
