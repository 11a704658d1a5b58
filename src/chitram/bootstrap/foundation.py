"""What every service stands on: one adapter a port, opened in order and closed in reverse."""

import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from chitram.adapters.blobs.local import LocalBlobStore
from chitram.adapters.blobs.staging import LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.db.credentials import SqliteCredentialLookup
from chitram.adapters.db.lookup import SqliteLookup
from chitram.adapters.db.neighbours import Neighbours
from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.adapters.memory.cache import DisabledRecordCache, MemoryRecordCache
from chitram.adapters.memory.clock import SystemClock, SystemIdentifiers
from chitram.adapters.memory.limiter import DisabledLimiter, MemoryLimiter
from chitram.adapters.observed import ObservedBlobStore, ObservedRecordCache, Timed
from chitram.adapters.security.jwt import JwtSigner
from chitram.adapters.security.passwords import BcryptPasswords, read_blocklist
from chitram.bootstrap.preparation import load_secrets, startup_errors
from chitram.observability import LogAudit, Metrics
from chitram.ports.audit import Audit
from chitram.ports.blobs import BlobStore
from chitram.ports.cache import RecordCache
from chitram.ports.clock import Clock, Identifiers
from chitram.ports.codec import Codec
from chitram.ports.credentials import CredentialLookup
from chitram.ports.limiter import Limiter
from chitram.ports.lookup import Lookup
from chitram.ports.passwords import Passwords
from chitram.ports.staging import Staging
from chitram.ports.tokens import TokenSigner
from chitram.ports.unit_of_work import Database
from chitram.settings import Settings

DISK_THREADS = 8
#: Sign-ins that may wait for their password's hash; a hash takes some 200 ms of a core.
MAX_WAITING_HASHES = 100


@dataclass(slots=True)
class Foundation:
    """What every service stands on."""

    settings: Settings
    metrics: Metrics
    database: Database
    lookup: Lookup
    credentials: CredentialLookup
    blobs: BlobStore
    staging: Staging
    codec: Codec
    cache: RecordCache
    limiter: Limiter
    passwords: Passwords
    signer: TokenSigner
    audit: Audit
    secrets: tuple[bytes, ...]
    clock: Clock
    identifiers: Identifiers


async def open_data(
    settings: Settings, stack: AsyncExitStack, *, metrics: Metrics, threads: DiskThreads
) -> tuple[SqlDatabase, LocalBlobStore]:
    """Open the database and the store that belongs to it; `stack` closes them."""
    database = await SqlDatabase.open(url=settings.database_url, on_effect_failure=metrics.effect_failed)
    stack.push_async_callback(database.aclose)
    blobs = LocalBlobStore(settings.storage_path, threads=threads)
    async with database.read() as repositories:
        expect_data = await repositories.images.count() > 0
    await blobs.prepare(owner=await database.identity(), expect_data=expect_data)
    stack.callback(blobs.close)
    return database, blobs


async def rehearse(settings: Settings) -> None:
    """Open what a server would open and close it again. Raises what would keep the server from starting."""
    async with AsyncExitStack() as stack:
        threads = DiskThreads(workers=1)
        stack.callback(threads.close)
        await open_data(settings, stack, metrics=Metrics(), threads=threads)


async def lay_foundation(
    settings: Settings, stack: AsyncExitStack, *, metrics: Metrics, codec: Codec, serving: bool
) -> Foundation:
    """Open every adapter; `stack` closes them. `serving` says that this is a server, which others have to know of."""
    clock, identifiers = SystemClock(), SystemIdentifiers()
    threads = DiskThreads(workers=DISK_THREADS)
    stack.callback(threads.close)
    database, blobs = await open_data(settings, stack, metrics=metrics, threads=threads)
    lookup = SqliteLookup(url=settings.database_url)
    stack.callback(lookup.close)
    credentials = SqliteCredentialLookup(url=settings.database_url)
    stack.callback(credentials.close)
    version: Callable[[], object] = lookup.version
    if serving:
        neighbours = Neighbours(url=settings.database_url)
        stack.callback(neighbours.close)
        version = _version(lookup, neighbours)
    passwords = _passwords(settings)
    stack.callback(passwords.close)
    secrets = load_secrets(settings)
    staging = LocalStaging(settings.storage_path / ".staging", threads=threads, clock=clock)
    stack.callback(staging.close)
    return Foundation(
        settings=settings,
        metrics=metrics,
        database=database,
        lookup=lookup,
        credentials=credentials,
        blobs=ObservedBlobStore(blobs, record=_storage_timer(metrics)),
        staging=staging,
        codec=codec,
        cache=_record_cache(settings, clock, version=version, metrics=metrics),
        limiter=MemoryLimiter(clock=clock) if settings.limits.enabled else DisabledLimiter(),
        passwords=passwords,
        signer=JwtSigner(secrets[0], previous=secrets[1:]),
        audit=LogAudit(metrics=metrics),
        secrets=secrets,
        clock=clock,
        identifiers=identifiers,
    )


def _passwords(settings: Settings) -> BcryptPasswords:
    path = settings.accounts.password_blocklist
    with startup_errors("PASSWORD_BLOCKLIST"):
        blocklist = read_blocklist(path) if path is not None else frozenset()
    return BcryptPasswords(
        rounds=settings.accounts.bcrypt_rounds,
        # One core is left to everybody else, or a wave of sign-ins would stop the pictures.
        threads=max(1, (os.cpu_count() or 1) - 1),
        max_waiting=MAX_WAITING_HASHES,
        blocklist=blocklist,
    )


def _record_cache(
    settings: Settings, clock: SystemClock, *, version: Callable[[], object], metrics: Metrics
) -> RecordCache:
    if not settings.cache.enabled:
        return DisabledRecordCache()
    cache = MemoryRecordCache(
        max_entries=settings.cache.max_entries, ttl=settings.cache.ttl_seconds, clock=clock, version=version
    )
    return ObservedRecordCache(cache, count=lambda result: metrics.record_cache_asked(hit=result == "hit"))


def _version(lookup: SqliteLookup, neighbours: Neighbours) -> Callable[[], object]:
    """The database's version while others may change it. Our own changes drop what they concern themselves."""
    return lambda: lookup.version() if neighbours.present() else None


def _storage_timer(metrics: Metrics) -> Timed:
    def record(*, operation: str, seconds: float, outcome: str) -> None:
        metrics.storage_operated(operation, seconds=seconds, failed=outcome != "ok")

    return record
