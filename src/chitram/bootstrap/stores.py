"""Where the bytes are."""

from contextlib import AsyncExitStack

from chitram.adapters.blobs.local import LocalBlobStore
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.observed import ObservedBlobStore, Timed
from chitram.observability import Metrics
from chitram.ports.blobs import BlobStore
from chitram.ports.unit_of_work import Database
from chitram.settings import Settings


async def open_store(
    settings: Settings, stack: AsyncExitStack, *, metrics: Metrics, threads: DiskThreads, database: Database
) -> BlobStore:
    """Open the store that belongs to `database`, which has to be the one that filled it; `stack` closes it."""
    blobs = LocalBlobStore(settings.storage_path, threads=threads)
    async with database.read() as repositories:
        expect_data = await repositories.images.count() > 0
    await blobs.prepare(owner=await database.identity(), expect_data=expect_data)
    stack.callback(blobs.close)
    return ObservedBlobStore(blobs, record=_storage_timer(metrics))


def _storage_timer(metrics: Metrics) -> Timed:
    def record(*, operation: str, seconds: float, outcome: str) -> None:
        metrics.storage_operated(operation, seconds=seconds, failed=outcome != "ok")

    return record
