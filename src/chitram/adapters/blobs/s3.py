"""Objects in a bucket of a service that speaks the S3 API."""

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from obstore.exceptions import AlreadyExistsError, PreconditionError

from chitram.adapters.blobs.keys import is_key, require_directory_prefix, require_key, require_prefix
from chitram.adapters.blobs.s3_bucket import PROBES, BucketAtStart, NotAnswering, UnfitStore, require_bucket_name
from chitram.adapters.blobs.s3_circuit import Patience
from chitram.adapters.blobs.s3_client import S3Bucket
from chitram.adapters.blobs.s3_connection import S3Connection
from chitram.adapters.blobs.s3_failures import is_beyond_end
from chitram.adapters.blobs.s3_objects import FIRST_BLOCK, READ_AHEAD, S3OpenBlob
from chitram.adapters.blobs.s3_requests import S3Requests
from chitram.adapters.blobs.s3_staged import PART, StagedParts, read_whole
from chitram.adapters.blobs.s3_uploads import OpenUploads
from chitram.adapters.blobs.threads import DiskThreads
from chitram.domain.errors import StorageFull, StorageUnavailable
from chitram.ports.blobs import ObjectInfo, OpenBlob
from chitram.ports.clock import Clock
from chitram.ports.staging import StagedFile

if TYPE_CHECKING:
    from obstore import ObjectMeta

#: How often something is tried whose outcome got lost, and how often bytes are asked for that came short.
_ATTEMPTS = 2
#: What was written to within this time can be written to, in seconds.
_WRITE_STANDS = 30.0
#: Erasures of one prefix at a time, which leaves room for everybody else's operations.
_ERASURES = 16
#: Pause between two attempts to make sure of the bucket at the start, in seconds.
_START_PAUSE = 0.25
#: Uploads in parts that are older than this belong to nobody who lives.
_UPLOAD_LIFE = timedelta(days=1)

logger = logging.getLogger(__name__)


class S3BlobStore:
    """The blob store in `bucket`, which `prepare` makes or recognises. Its methods are those of the port.

    Two things differ from a disk. An object that is erased or replaced while it is open cannot be read on:
    StorageUnavailable, never other bytes. And a `put` of the very bytes that are there already is fine.
    """

    name = "minio"

    def __init__(
        self, bucket: S3Bucket, *, threads: DiskThreads, clock: Clock, patience: Patience | None = None
    ) -> None:
        self._bucket = bucket
        self._threads = threads
        self._clock = clock
        self._requests = S3Requests(bucket.account)
        self._objects = S3Connection(bucket, patience=patience or Patience())
        self._uploads = OpenUploads(self._requests, bucket)
        self._reads_back = False
        self._written_at = float("-inf")

    async def prepare(self, *, owner: str, expect_data: bool, within: float) -> None:
        """Make the bucket at the first start, see that it is `owner`'s and that the service does what we need.

        `owner` is the identity of the database that names the objects, `expect_data` says that images are recorded.
        UnfitStore says in one line what is wrong; a service that does not answer has `within` seconds to begin. The
        driver is not used yet, so that the process may fork afterwards.
        """
        require_bucket_name(self._bucket.name)
        self._objects.owner = owner
        failure: Exception = TimeoutError("no answer")
        try:
            async with asyncio.timeout(within):
                while True:
                    try:
                        await self._prepare(owner=owner, expect_data=expect_data)
                        return
                    except NotAnswering as error:
                        failure = error
                    await asyncio.sleep(_START_PAUSE)
        except TimeoutError:
            raise UnfitStore(
                f"MINIO_ENDPOINT: the S3 service was not ready within {within:g} s (MINIO_STARTUP_TIMEOUT): {failure}"
            ) from failure

    async def aclose(self) -> None:
        """Leave the service alone from now on."""
        await self._uploads.aclose()
        await self._objects.aclose()

    async def put(self, key: str, staged: StagedFile) -> None:
        require_key(key)
        await staged.flush()
        if staged.size > PART:
            await self._put_large(key, staged)
            return
        data = await self._threads.run(partial(read_whole, staged))
        await self._put_surely(key, staged, lambda: self._objects.put(key, data, mode="create"))

    async def put_disposable(self, key: str, data: bytes) -> None:
        require_key(key)
        with _no_bucket():
            await self._objects.put(key, bytes(data), mode="overwrite")
        self._note_write()

    async def head(self, key: str) -> ObjectInfo | None:
        require_key(key)
        try:
            return _described(await self._objects.head(key))
        except FileNotFoundError:
            await self._objects.vouch()
            return None

    async def open(self, key: str) -> OpenBlob | None:
        require_key(key)
        try:
            found, first = await self._twice(lambda: self._objects.get(key, offset=0, length=FIRST_BLOCK))
        except FileNotFoundError:
            await self._objects.vouch()
            return None
        except StorageUnavailable as error:
            if error.__cause__ is None or not is_beyond_end(error.__cause__):
                raise
            # Of an object without bytes no range can be had.
            return await self._open_empty(key)
        return S3OpenBlob(partial(self._fetch, key, found["e_tag"]), size=found["size"], first=first)

    async def erase(self, key: str) -> None:
        require_key(key)
        try:
            await self._objects.delete(key)
        except FileNotFoundError:
            await self._objects.vouch()
        self._note_write()

    async def erase_prefix(self, prefix: str) -> None:
        require_directory_prefix(prefix)
        async for page in self._objects.list(prefix.rstrip("/")):
            keys = [found["path"] for found in page if is_key(found["path"])]
            for start in range(0, len(keys), _ERASURES):
                await asyncio.gather(*map(self.erase, keys[start : start + _ERASURES]))

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        require_prefix(prefix)
        await self._objects.vouch()
        # The driver knows whole directories only.
        async for page in self._objects.list(prefix.rpartition("/")[0]):
            for found in page:
                if found["path"].startswith(prefix) and is_key(found["path"]):
                    yield _described(found)

    async def check(self) -> None:
        await self._objects.vouch()
        if self._clock.monotonic() - self._written_at > _WRITE_STANDS:
            with _no_bucket():
                await self._objects.put(PROBES, os.urandom(16), mode="overwrite")
            self._note_write()

    async def _prepare(self, *, owner: str, expect_data: bool) -> None:
        bucket = BucketAtStart(self._requests, self._bucket)
        await asyncio.to_thread(bucket.make)
        await asyncio.to_thread(bucket.claim, owner=owner, expect_data=expect_data)
        self._reads_back = not await asyncio.to_thread(bucket.probe)
        if self._reads_back:
            logger.warning("the S3 service does not check what it gets: every file is read back after it was stored")
        await self._uploads.abort_older(begun_before=self._clock.now() - _UPLOAD_LIFE)

    async def _put_large(self, key: str, staged: StagedFile) -> None:
        """The service is asked before whether there is an object already: the driver cannot make it a condition here.

        Keys are new, so two writers never meet under one.
        """
        if await self.head(key) is not None:
            await self._require_same(key, staged)
            return
        parts, begun = StagedParts(staged, threads=self._threads), 0

        async def put() -> None:
            nonlocal begun
            begun += 1
            await self._objects.put_parts(key, parts.again(), part=PART, size=staged.size)

        try:
            await self._put_surely(key, staged, put)
        except BaseException:
            self._uploads.abort(key)
            raise
        if begun > 1:
            # What failed at first may still be open. An upload that was completed is not listed any more.
            self._uploads.abort(key)

    async def _put_surely(self, key: str, staged: StagedFile, put: Callable[[], Awaitable[None]]) -> None:
        """Put until it is known that the bytes are there. A failure may mean that only the answer got lost."""
        for attempt in range(1, _ATTEMPTS + 1):
            failure: Exception
            try:
                with _no_bucket():
                    await put()
                if self._reads_back:
                    await self._require_same(key, staged)
                self._note_write()
                return
            except StorageFull:
                raise
            except (AlreadyExistsError, StorageUnavailable) as error:
                failure = error
            # Raises while the service is gone; says None of a key that neither has an object nor gets one.
            if await self._holds(key, staged):
                return
            if attempt == _ATTEMPTS:
                raise StorageUnavailable from failure

    async def _require_same(self, key: str, staged: StagedFile) -> None:
        if not await self._holds(key, staged):
            raise StorageUnavailable("what the S3 service has is not what was sent")

    async def _holds(self, key: str, staged: StagedFile) -> bool:
        """Whether the bytes of `staged` are stored under `key`; StorageUnavailable when others are."""
        blob = await self.open(key)
        if blob is None:
            return False
        digest = hashlib.sha256()
        try:
            if blob.size == staged.size:
                for offset in range(0, blob.size, READ_AHEAD):
                    digest.update(await blob.read(offset, min(READ_AHEAD, blob.size - offset)))
        finally:
            await blob.aclose()
        if blob.size != staged.size or digest.hexdigest() != staged.sha256:
            raise StorageUnavailable("there is an object with this key already")
        return True

    async def _fetch(self, key: str, etag: str | None, offset: int, length: int) -> bytes:
        try:
            return (await self._twice(lambda: self._objects.get(key, offset=offset, length=length, etag=etag)))[1]
        except (FileNotFoundError, PreconditionError) as error:
            raise StorageUnavailable("the object was erased or replaced while it was read") from error

    async def _twice(self, get: "Callable[[], Awaitable[tuple[ObjectMeta, bytes]]]") -> "tuple[ObjectMeta, bytes]":
        """What `get` gives, at a second try if need be: an answer may be cut short."""
        try:
            return await get()
        except StorageUnavailable as error:
            if error.__cause__ is not None and is_beyond_end(error.__cause__):
                raise
            return await get()

    async def _open_empty(self, key: str) -> OpenBlob | None:
        info = await self.head(key)
        if info is None:
            return None
        if info.size:
            raise StorageUnavailable("the S3 service does not give the bytes of an object that has some")
        return S3OpenBlob(partial(self._fetch, key, None), size=0, first=b"")

    def _note_write(self) -> None:
        self._written_at = self._clock.monotonic()


def _described(found: "ObjectMeta") -> ObjectInfo:
    return ObjectInfo(key=found["path"], size=found["size"], modified_at=found["last_modified"])


@contextmanager
def _no_bucket() -> Iterator[None]:
    """To a writer, "not found" is of the bucket."""
    try:
        yield
    except FileNotFoundError as error:
        raise StorageUnavailable from error
