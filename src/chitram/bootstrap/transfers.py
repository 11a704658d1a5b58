"""What moves and copies whole databases and stores: two of each, opened side by side."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import SecretStr, ValidationError

from chitram.adapters.archive.directory import DirectoryArchive
from chitram.adapters.blobs.local import LocalBlobStore
from chitram.adapters.blobs.staging import LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.db.read_only import ReadOnlyDatabase
from chitram.adapters.memory.clock import SystemClock, SystemIdentifiers
from chitram.bootstrap.databases import open_database
from chitram.bootstrap.preparation import (
    StartupError,
    keep_copy_of_secret,
    migrate_schema,
    put_back_secret,
    require_current_schema,
    require_known_revision,
    startup_errors,
)
from chitram.bootstrap.shared_state import open_shared_state
from chitram.bootstrap.stores import open_store
from chitram.observability import Metrics
from chitram.ports.archive import Manifest
from chitram.ports.patience import background
from chitram.ports.unit_of_work import Database
from chitram.services.transfer import Backup, ObjectMover, Restore, RowMover, take_over
from chitram.settings import Settings

#: Below a backup's directory.
OBJECTS, STAGING = "objects", ".staging"
#: Where the URL of a database to fill is from.
TARGET = "TARGET_DATABASE_URL"


@dataclass(frozen=True, slots=True)
class StoreMove:
    """The mover, and the database whose objects are to be moved."""

    mover: ObjectMover
    database: Database


@asynccontextmanager
async def moving_rows(settings: Settings, *, target_url: str) -> AsyncIterator[RowMover]:
    """From the database of the settings to the one at `target_url`, whose schema is brought up to date.

    StartupError unless the settings say that servers are read-only: what came while rows are copied would be lost.
    """
    _require_read_only(settings)
    try:
        target = with_database(settings, target_url)
    except ValidationError:
        raise StartupError(f"{TARGET}: it is no URL of a database") from None
    if target.database_url == settings.database_url:
        raise StartupError("DATABASE_URL: that is the database which is in use already")
    require_current_schema(settings)
    migrate_schema(target, variable=TARGET)
    async with AsyncExitStack() as stack:
        stack.enter_context(background())
        metrics = Metrics()
        with startup_errors("DATABASE_URL"):
            source = await open_database(settings, stack, metrics=metrics)
        with startup_errors(TARGET):
            opened = await open_database(target, stack, metrics=metrics, variable=TARGET)
        yield RowMover(source=source, target=opened)


@asynccontextmanager
async def moving_objects(settings: Settings, *, to: Literal["local", "minio"]) -> AsyncIterator[StoreMove]:
    """From the store of the settings to the other kind, of which the settings have the rest. StartupError as above."""
    _require_read_only(settings)
    if to == settings.storage.backend:
        raise StartupError(f"STORAGE_BACKEND: {to} is in use already")
    target = settings.model_copy(update={"storage": settings.storage.model_copy(update={"backend": to})}).checked()
    async with AsyncExitStack() as stack:
        stack.enter_context(background())
        metrics, threads = Metrics(), _threads(stack)
        with startup_errors("STORAGE_BACKEND"):
            database = await open_database(settings, stack, metrics=metrics)
            source = await open_store(settings, stack, metrics=metrics, threads=threads, database=database)
            opened = await open_store(target, stack, metrics=metrics, threads=threads, database=database, new=True)
        staging = _staging(target.staging_path, stack, threads)
        yield StoreMove(ObjectMover(source=source, target=opened, staging=staging), database)


@asynccontextmanager
async def backing_up(settings: Settings, directory: Path) -> AsyncIterator[Backup]:
    """A backup of what the settings name into `directory`, which is new, or has an earlier backup of the same."""
    with startup_errors(str(directory)):
        _make_private(directory)
    async with AsyncExitStack() as stack:
        stack.enter_context(background())
        metrics, threads = Metrics(), _threads(stack)
        require_current_schema(settings)
        with startup_errors("DATABASE_URL"):
            database = await open_database(settings, stack, metrics=metrics)
            blobs = await open_store(settings, stack, metrics=metrics, threads=threads, database=database)
            if settings.app.read_only:
                database = ReadOnlyDatabase(database)  # it may be one that takes no changes at all
        copies = LocalBlobStore(directory / OBJECTS, threads=threads)
        with startup_errors(str(directory)):
            await copies.prepare(owner=await database.identity(), expect_data=False)
            keep_copy_of_secret(settings, directory)
        stack.callback(copies.close)
        archive = DirectoryArchive(directory)
        stack.callback(archive.close)
        yield Backup(
            database=database,
            blobs=blobs,
            archive=archive,
            copies=copies,
            staging=_staging(directory / OBJECTS / STAGING, stack, threads),
            clock=SystemClock(),
            identifiers=SystemIdentifiers(),
        )


async def manifest_of(directory: Path) -> Manifest:
    """What the backup in `directory` holds. StartupError when there is no whole one."""
    with startup_errors(str(directory)):
        manifest = await DirectoryArchive(directory).manifest()
    if manifest is None:
        raise StartupError(f"{directory}: there is no whole backup here")
    return manifest


@asynccontextmanager
async def restoring(settings: Settings, directory: Path, manifest: Manifest) -> AsyncIterator[Restore]:
    """The backup in `directory` into the empty database and the empty store that the settings name."""
    async with AsyncExitStack() as stack:
        stack.enter_context(background())
        metrics, threads = Metrics(), _threads(stack)
        require_known_revision(manifest.revision, version=manifest.version)
        migrate_schema(settings, up_to=manifest.revision)
        with startup_errors("DATABASE_URL"):
            database = await open_database(settings, stack, metrics=metrics)
            await take_over(database, manifest)
            blobs = await open_store(settings, stack, metrics=metrics, threads=threads, database=database, new=True)
        copies = LocalBlobStore(directory / OBJECTS, threads=threads)
        with startup_errors(str(directory)):
            await copies.prepare(owner=manifest.identity, expect_data=True)
            put_back_secret(settings, directory)
        stack.callback(copies.close)
        # Each moment is another version: nothing is read here.
        shared = await open_shared_state(
            settings, stack, metrics=metrics, clock=SystemClock(), database=database, version=object
        )
        yield Restore(
            database=database,
            blobs=blobs,
            archive=DirectoryArchive(directory),
            copies=copies,
            staging=_staging(settings.staging_path, stack, threads),
            cache=shared.cache,
        )
    migrate_schema(settings)


def with_database(settings: Settings, url: str) -> Settings:
    """These settings with another database. ValidationError when the URL is none."""
    database = type(settings.database).model_validate({**settings.database.model_dump(), "url": SecretStr(url)})
    return settings.model_copy(update={"database": database})


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _require_read_only(settings: Settings) -> None:
    if not settings.app.read_only:
        raise StartupError(
            "READ_ONLY: set it to true and restart every server and worker first: what changed would be lost"
        )


def _threads(stack: AsyncExitStack) -> DiskThreads:
    threads = DiskThreads(workers=2)
    stack.callback(threads.close)
    return threads


def _staging(path: Path, stack: AsyncExitStack, threads: DiskThreads) -> LocalStaging:
    staging = LocalStaging(path, threads=threads, clock=SystemClock())
    stack.callback(staging.close)
    return staging
