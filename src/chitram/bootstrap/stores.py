"""Where the bytes are."""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from chitram.adapters.blobs.local import LocalBlobStore
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import SystemClock
from chitram.adapters.observed import ObservedBlobStore, Timed
from chitram.bootstrap.preparation import StartupError
from chitram.observability import Metrics
from chitram.ports.blobs import BlobStore
from chitram.ports.links import DirectLinks
from chitram.ports.unit_of_work import Database
from chitram.settings import Settings, StorageSettings

if TYPE_CHECKING:
    from chitram.adapters.blobs.s3_client import S3Bucket


async def open_store(
    settings: Settings,
    stack: AsyncExitStack,
    *,
    metrics: Metrics,
    threads: DiskThreads,
    database: Database,
    new: bool = False,
) -> BlobStore:
    """Open the store that belongs to `database`, which has to be the one that filled it; `stack` closes it.

    `new`: it is only about to be filled, so that it may be empty although images are recorded.
    """
    async with database.read() as repositories:
        expect_data = not new and await repositories.images.any()
    owner = await database.identity()
    if settings.storage.backend == "local":
        blobs: BlobStore = await _open_local(settings, stack, threads=threads, owner=owner, expect_data=expect_data)
    else:
        blobs = await _open_s3(settings.storage, stack, threads=threads, owner=owner, expect_data=expect_data)
    return ObservedBlobStore(blobs, record=_storage_timer(metrics))


def direct_links(settings: Settings) -> DirectLinks | None:
    """What makes links to the store itself; None where originals go through us."""
    storage = settings.storage
    if storage.backend == "local" or storage.minio_delivery == "proxy":
        return None
    from chitram.adapters.blobs.s3_links import S3Links, path_of  # noqa: PLC0415  # as below

    public = storage.minio_public_url or _endpoint(storage)
    return S3Links(_bucket(storage, base_url=public), clock=SystemClock(), prefix=path_of(public))


async def _open_local(
    settings: Settings, stack: AsyncExitStack, *, threads: DiskThreads, owner: str, expect_data: bool
) -> BlobStore:
    on_network = settings.storage.on_network
    blobs = LocalBlobStore(settings.storage_path, threads=threads, inline_reads=not on_network)
    await blobs.prepare(owner=owner, expect_data=expect_data)
    stack.callback(blobs.close)
    return blobs


async def _open_s3(
    storage: StorageSettings, stack: AsyncExitStack, *, threads: DiskThreads, owner: str, expect_data: bool
) -> BlobStore:
    # A server on a local disk need not carry the driver.
    from chitram.adapters.blobs.s3 import S3BlobStore  # noqa: PLC0415
    from chitram.adapters.blobs.s3_bucket import UnfitStore  # noqa: PLC0415

    blobs = S3BlobStore(_bucket(storage, base_url=_endpoint(storage)), threads=threads, clock=SystemClock())
    stack.push_async_callback(blobs.aclose)
    try:
        await blobs.prepare(owner=owner, expect_data=expect_data, within=storage.minio_startup_timeout)
    except UnfitStore as error:
        raise StartupError(str(error)) from error
    return blobs


def _bucket(storage: StorageSettings, *, base_url: str) -> "S3Bucket":
    from chitram.adapters.blobs.s3_client import S3Bucket, origin  # noqa: PLC0415  # as above
    from chitram.adapters.blobs.s3_signing import S3Account  # noqa: PLC0415  # as above

    secret = storage.minio_secret_key
    account = S3Account(
        origin(base_url),
        access_key=storage.minio_access_key,
        secret_key="" if secret is None else secret.get_secret_value(),
        region=storage.minio_region,
    )
    return S3Bucket(account, storage.minio_bucket)


def _endpoint(storage: StorageSettings) -> str:
    return f"{'https' if storage.minio_secure else 'http'}://{storage.minio_endpoint}"


def _storage_timer(metrics: Metrics) -> Timed:
    def record(*, operation: str, seconds: float, outcome: str) -> None:
        metrics.storage_operated(operation, seconds=seconds, failed=outcome != "ok")

    return record
