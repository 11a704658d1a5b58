"""What every service stands on: one adapter a port, opened in order and closed in reverse."""

import os
from contextlib import AsyncExitStack
from dataclasses import dataclass

from chitram.adapters.blobs.staging import LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.db.read_only import ReadOnlyDatabase
from chitram.adapters.memory.clock import SystemClock, SystemIdentifiers
from chitram.adapters.security.jwt import JwtSigner
from chitram.adapters.security.passwords import BcryptPasswords, read_blocklist
from chitram.bootstrap.databases import open_database, open_with_lookups
from chitram.bootstrap.preparation import load_secrets, startup_errors
from chitram.bootstrap.purging import with_purge
from chitram.bootstrap.shared_state import open_shared_state
from chitram.bootstrap.stores import open_store
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
from chitram.ports.patience import background
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

    @property
    def caches(self) -> RecordCache:
        """`cache`, and whatever stands in front of us: for changes after which nobody is shown what was before."""
        return with_purge(self.cache, settings=self.settings, clock=self.clock)


async def rehearse(settings: Settings) -> None:
    """Open what a server would open and close it again. StartupError says what would keep the server from starting."""
    async with AsyncExitStack() as stack:
        stack.enter_context(background())
        threads, metrics = DiskThreads(workers=1), Metrics()
        stack.callback(threads.close)
        with startup_errors("DATABASE_URL"):
            database = await open_database(settings, stack, metrics=metrics)
        with startup_errors("LOCAL_STORAGE_PATH" if settings.storage.backend == "local" else "STORAGE_BACKEND"):
            await open_store(settings, stack, metrics=metrics, threads=threads, database=database)


async def lay_foundation(
    settings: Settings, stack: AsyncExitStack, *, metrics: Metrics, codec: Codec, serving: bool
) -> Foundation:
    """Open every adapter; `stack` closes them. `serving` says that this is a server, which others have to know of."""
    clock, identifiers = SystemClock(), SystemIdentifiers()
    threads = DiskThreads(workers=DISK_THREADS)
    stack.callback(threads.close)
    rows = await open_with_lookups(settings, stack, metrics=metrics, serving=serving)
    blobs = await open_store(settings, stack, metrics=metrics, threads=threads, database=rows.database)
    shared = await open_shared_state(
        settings, stack, metrics=metrics, clock=clock, database=rows.database, version=rows.version
    )
    passwords = _passwords(settings)
    stack.callback(passwords.close)
    secrets = load_secrets(settings)
    staging = LocalStaging(settings.staging_path, threads=threads, clock=clock)
    stack.callback(staging.close)
    return Foundation(
        settings=settings,
        metrics=metrics,
        database=ReadOnlyDatabase(rows.database) if settings.app.read_only else rows.database,
        lookup=rows.lookup,
        credentials=rows.credentials,
        blobs=blobs,
        staging=staging,
        codec=codec,
        cache=shared.cache,
        limiter=shared.limiter,
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
