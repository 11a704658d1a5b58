"""The wired application inside the test's process: real SQLite, real local store or its twin, a clock that obeys."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from chitram.adapters.blobs.local import LocalBlobStore
from chitram.adapters.blobs.s3_client import S3Bucket
from chitram.adapters.blobs.s3_signing import S3Account
from chitram.adapters.blobs.staging import LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.codec.inline import InProcessCodec
from chitram.adapters.db.credentials import SqliteCredentialLookup
from chitram.adapters.db.lookup import SqliteLookup
from chitram.adapters.db.sqlite import open_sqlite
from chitram.adapters.memory.audit import MemoryAudit
from chitram.adapters.memory.cache import DisabledRecordCache, MemoryRecordCache
from chitram.adapters.memory.clock import ManualClock, SystemIdentifiers
from chitram.adapters.memory.limiter import DisabledLimiter, MemoryLimiter
from chitram.adapters.security.jwt import JwtSigner
from chitram.adapters.security.passwords import BcryptPasswords, read_blocklist
from chitram.bootstrap import Application, Foundation, direct_links, wire
from chitram.bootstrap.databases import Opened, open_with_lookups
from chitram.bootstrap.preparation import load_secrets
from chitram.bootstrap.shared_state import SharedState, open_shared_state
from chitram.bootstrap.stores import open_store
from chitram.domain.uploads import UploadDetails, Uploaded
from chitram.entrypoints.asgi import Server
from chitram.observability import Metrics
from chitram.ports.blobs import BlobStore
from chitram.ports.cache import RecordCache
from chitram.settings import AppSettings, Settings
from tests.factories.databases import copy_migrated, database_url
from tests.factories.objects import LocalObjects, Objects, S3Objects

Arrange = Callable[[Foundation], None]

#: The least that bcrypt knows: hashing costs a millisecond, and tests are about everything else.
ROUNDS = 4


@dataclass
class House:
    """A wired application with the parts that tests reach behind."""

    application: Application
    foundation: Foundation
    clock: ManualClock
    root: Path
    audit: MemoryAudit
    store: Objects

    async def upload(self, data: bytes, *, details: UploadDetails | None = None) -> Uploaded:
        """Upload `data` as the entry points do."""
        async with self.application.uploads.stage() as staged:
            await staged.write(data)
            return await self.application.uploads.keep(staged, details=details or UploadDetails())

    def objects(self) -> set[str]:
        """The keys of everything in the store."""
        return self.store.names()

    @asynccontextmanager
    async def client(self, *, address: str = "192.0.2.7", **options: Any) -> AsyncIterator[httpx.AsyncClient]:
        """A client of the whole ASGI application over this house, as if from `address`; `options` are httpx's."""
        with served(self.application) as server:
            transport = httpx.ASGITransport(server, client=(address, 4711))
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver", **options) as client:
                yield client


@contextmanager
def served(application: Application) -> Iterator[Server]:
    """The ASGI application over `application`: one that served an earlier test with the same settings, if there is any.

    To describe the API and to read the templates takes longer than most tests. Nothing of a server depends on where its
    data are, but for links to a bucket.
    """
    settings = application.settings
    if direct_links(settings) is None:
        app = settings.app.model_copy(update={"data_dir": Path()})
        idle = _idle_servers[repr((app, settings.storage.accel_prefix, settings.cache))]
    else:
        idle = []
    server = idle.pop() if idle else Server(settings)
    with server.serving(application):
        yield server
    idle.append(server)


_idle_servers: defaultdict[str, list[Server]] = defaultdict(list)


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
    clock, identifiers, threads = clock or ManualClock(), SystemIdentifiers(), DiskThreads(workers=2)
    audit, secrets, metrics = MemoryAudit(), load_secrets(settings), Metrics()
    async with AsyncExitStack() as stack:
        stack.callback(threads.close)
        furnish = _on_services if settings.on_postgresql else _embedded
        parts = await furnish(directory, settings, stack, clock=clock, threads=threads, metrics=metrics)
        staging = LocalStaging(directory / "staging", threads=threads, clock=clock)
        stack.callback(staging.close)
        codec = InProcessCodec(strip_metadata=settings.uploads.strip_metadata)
        stack.push_async_callback(codec.aclose)
        passwords = _passwords(settings)
        stack.callback(passwords.close)
        foundation = Foundation(
            settings=settings,
            metrics=metrics,
            database=parts.rows.database,
            lookup=parts.rows.lookup,
            credentials=parts.rows.credentials,
            blobs=parts.blobs,
            staging=staging,
            codec=codec,
            cache=parts.shared.cache,
            limiter=parts.shared.limiter,
            passwords=passwords,
            signer=JwtSigner(secrets[0], previous=secrets[1:]),
            audit=audit,
            secrets=secrets,
            clock=clock,
            identifiers=identifiers,
        )
        arrange(foundation)
        yield House(wire(foundation), foundation, clock, directory / "storage", audit, parts.store)


@dataclass(frozen=True)
class _Parts:
    """What differs between a house that stands alone and one on services."""

    rows: Opened
    blobs: BlobStore
    shared: SharedState
    store: Objects


async def _embedded(
    directory: Path,
    settings: Settings,
    stack: AsyncExitStack,
    *,
    clock: ManualClock,
    threads: DiskThreads,
    metrics: Metrics,  # nobody counts here
) -> _Parts:
    path = directory / "chitram.db"
    url = database_url(path) if path.exists() else copy_migrated(path)
    database = await open_sqlite(url=url)
    stack.push_async_callback(database.aclose)
    lookup, credentials = SqliteLookup(url=url), SqliteCredentialLookup(url=url)
    stack.callback(lookup.close)
    stack.callback(credentials.close)
    blobs = LocalBlobStore(directory / "storage", threads=threads)
    stack.callback(blobs.close)
    await blobs.prepare(owner=await database.identity(), expect_data=False)
    limiter = MemoryLimiter(clock=clock) if settings.limits.enabled else DisabledLimiter()
    return _Parts(
        Opened(database, lookup, credentials, version=lambda: None),
        blobs,
        SharedState(_cache(settings, clock), limiter),
        LocalObjects(directory / "storage"),
    )


async def _on_services(
    directory: Path,  # nothing lies there
    settings: Settings,
    stack: AsyncExitStack,
    *,
    clock: ManualClock,
    threads: DiskThreads,
    metrics: Metrics,
) -> _Parts:
    """As a server opens them."""
    rows = await open_with_lookups(settings, stack, metrics=metrics, serving=False)
    blobs = await open_store(settings, stack, metrics=metrics, threads=threads, database=rows.database, new=True)
    shared = await open_shared_state(
        settings, stack, metrics=metrics, clock=clock, database=rows.database, version=rows.version
    )
    storage = settings.storage
    assert storage.minio_secret_key is not None
    account = S3Account(
        f"http://{storage.minio_endpoint}",
        access_key=storage.minio_access_key,
        secret_key=storage.minio_secret_key.get_secret_value(),
        region=storage.minio_region,
    )
    return _Parts(rows, blobs, shared, S3Objects(S3Bucket(account, storage.minio_bucket)))


def _cache(settings: Settings, clock: ManualClock) -> RecordCache:
    if not settings.cache.enabled:
        return DisabledRecordCache()
    # As in a server that is alone: nothing but what the services say drops a record.
    return MemoryRecordCache(max_entries=1000, ttl=3600, clock=clock, version=lambda: None)


def _passwords(settings: Settings) -> BcryptPasswords:
    blocklist = settings.accounts.password_blocklist
    return BcryptPasswords(
        rounds=ROUNDS,
        threads=1,
        max_waiting=100,
        blocklist=read_blocklist(blocklist) if blocklist is not None else frozenset(),
    )


@asynccontextmanager
async def client_of(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a whole server without a socket: lifespan, edge, door, API, decode sandbox, job runner."""
    app = Server(settings)
    async with app.lifespan(), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as c:
        yield c
