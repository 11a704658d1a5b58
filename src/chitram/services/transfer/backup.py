"""A copy of everything while the server runs, and everything out of a copy.

The rows come first, all of one moment, the objects after them. Objects never change, and while the copy is made nothing
collects those that no image names any more: every row of the copy finds its object in the store, unless it was lost
before.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from chitram.domain.blobs import ERASING_HELD
from chitram.domain.errors import ChitramError, ReadOnly, ServiceUnavailable
from chitram.ports.archive import Archive, Manifest
from chitram.ports.blobs import BlobStore
from chitram.ports.cache import RecordCache
from chitram.ports.clock import Clock, Identifiers
from chitram.ports.repositories.rows import Row
from chitram.ports.staging import Staging
from chitram.ports.unit_of_work import Database, Repositories, UnitOfWork
from chitram.services.transfer.objects import Expected, ObjectMover, Transfer
from chitram.services.transfer.rows import PAGE, NotEmptyError, Progress

logger = logging.getLogger(__name__)

#: Prolonged while a copy is made; a process that dies holds the collector up for this long.
LEASE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Copy:
    """The backup that was made, or put back: how many rows and objects, and which objects are not in it."""

    manifest: Manifest
    transfer: Transfer


class Backup:
    """Makes a copy of `database` and `blobs`: rows into `archive`, objects into the store `copies`."""

    def __init__(
        self,
        *,
        database: Database,
        blobs: BlobStore,
        archive: Archive,
        copies: BlobStore,
        staging: Staging,
        clock: Clock,
        identifiers: Identifiers,
    ) -> None:
        self._database = database
        self._archive = archive
        self._mover = ObjectMover(source=blobs, target=copies, staging=staging)
        self._clock = clock
        self._holder = identifiers.generation()

    async def total(self) -> int:
        """How many objects there are, about: more may come before the copy begins."""
        async with self._database.read() as view:
            return (await view.blobs.counts()).live

    async def make(self, *, version: str, revision: str, progress: Progress) -> Copy:
        """Copy everything. What an earlier copy in the same place has of the objects is not copied again."""
        async with self._nothing_is_erased():
            await self._archive.begin()
            identity, made_at = await self._database.identity(), self._clock.now()
            tables, objects = await self._copy_rows()
            transfer = Transfer()
            for expected in objects:
                await self._mover.copy(expected, transfer=transfer)
                progress(1)
        manifest = Manifest(
            version=version,
            revision=revision,
            identity=identity,
            made_at=made_at,
            tables=tables,
            objects=len(objects),
            bytes=sum(expected.size for expected in objects),
            missing=[*transfer.missing, *transfer.damaged],
        )
        await self._archive.finish(manifest)
        return Copy(manifest, transfer)

    async def _copy_rows(self) -> tuple[dict[str, int], list[Expected]]:
        """Every table at one moment: table → rows, and the objects that the rows promise."""
        tables: dict[str, int] = {}
        objects: list[Expected] = []
        async with self._database.read() as view:
            for table in await view.rows.tables():
                tables[table] = 0
                async for rows in _all(view, table):
                    await self._archive.write(table, rows)
                    tables[table] += len(rows)
                    if table == "blobs":
                        objects += filter(None, map(Expected.of, rows))
        return tables, objects

    @asynccontextmanager
    async def _nothing_is_erased(self) -> AsyncIterator[None]:
        """Hold the lease that keeps the collector from erasing; a database that is read-only has no collector."""
        try:
            if not await self._hold():
                raise ServiceUnavailable("Another backup is being made.", retry_after=LEASE.total_seconds())
        except ReadOnly:
            yield
            return
        holding = asyncio.create_task(self._keep_holding())
        try:
            yield
        finally:
            holding.cancel()
            await asyncio.wait({holding})
            try:
                async with self._database.begin() as work:
                    await work.leases.release(ERASING_HELD, holder=self._holder)
            except ChitramError:
                # The copy is made; the lease ends by itself.
                logger.warning("the lease that keeps objects from being erased could not be given back")

    async def _hold(self) -> bool:
        now = self._clock.now()
        async with self._database.begin() as work:
            return await work.leases.acquire(ERASING_HELD, holder=self._holder, now=now, until=now + LEASE)

    async def _keep_holding(self) -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 3)
            try:
                held = await self._hold()
            except ChitramError:
                held = False
            if not held:
                # What would be collected now has rested for the whole grace period before: a short gap loses nothing.
                logger.warning("the lease that keeps objects from being erased could not be prolonged")


class Restore:
    """Puts a copy into an empty `database`, whose schema is the copy's, and the store `blobs` that belongs to it.

    `cache` may still know images of whatever was there before.
    """

    def __init__(
        self,
        *,
        database: Database,
        blobs: BlobStore,
        archive: Archive,
        copies: BlobStore,
        staging: Staging,
        cache: RecordCache,
    ) -> None:
        self._database = database
        self._cache = cache
        self._archive = archive
        self._mover = ObjectMover(source=copies, target=blobs, staging=staging)

    async def put_back(self, manifest: Manifest, *, progress: Progress) -> Copy:
        """Objects first, rows after them, all or none: a restore that is cut short leaves no image without its bytes.

        NotEmptyError when the database has rows already; ValueError when the copy does not have what it promises;
        ServiceUnavailable when the cache does not answer.
        """
        await require_empty(self._database)
        await self._cache.clear()
        transfer = Transfer()
        async for rows in self._archive.read("blobs"):
            for expected in filter(None, map(Expected.of, rows)):
                await self._mover.copy(expected, transfer=transfer)
                progress(1)
        async with self._database.begin() as work:
            tables = await work.rows.tables()
            if unknown := sorted(manifest.tables.keys() - tables):
                raise ValueError(f"the backup has rows of {', '.join(unknown)}, for which its schema has no table")
            for table in tables:
                await self._insert(work, table, promised=manifest.tables.get(table, 0))
            await work.rows.settle(identity=manifest.identity)
        missing = [*transfer.missing, *transfer.damaged]
        return Copy(replace(manifest, missing=missing), transfer)

    async def _insert(self, work: UnitOfWork, table: str, *, promised: int) -> None:
        found = 0
        async for rows in self._archive.read(table):
            await work.rows.add(table, rows)
            found += len(rows)
        if found != promised:
            raise ValueError(f"the backup has {found} rows of {table}, and should have {promised}")


async def take_over(database: Database, manifest: Manifest) -> None:
    """Make an empty database the one that the copy was made of, so that a store takes it for its owner.

    NotEmptyError when it has rows already.
    """
    await require_empty(database)
    async with database.begin() as work:
        await work.rows.settle(identity=manifest.identity)


async def require_empty(database: Database) -> None:
    """NotEmptyError when any table has rows."""
    async with database.read() as view:
        for table in await view.rows.tables():
            if await view.rows.count(table):
                raise NotEmptyError(f"The database has rows in {table} already.")


async def _all(view: Repositories, table: str) -> AsyncIterator[Sequence[Row]]:
    last: Row | None = None
    while rows := await view.rows.page(table, after=last, limit=PAGE):
        yield rows
        last = rows[-1]
