"""The driver behind a circuit: single operations, each with a deadline."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

import obstore

from chitram.adapters.blobs.marker import MARKER
from chitram.adapters.blobs.s3_bucket import mark_of
from chitram.adapters.blobs.s3_circuit import Circuit, Patience
from chitram.adapters.blobs.s3_client import S3Bucket, open_client
from chitram.domain.errors import StorageUnavailable

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import S3Store

T = TypeVar("T")

_LIST_BATCH = 500
#: Parts of one upload that are on their way at a time; each is in memory.
_PARTS_AT_A_TIME = 2


class S3Connection:
    """Operations on objects in `bucket`, which has to be marked as that of `owner`.

    They raise what the service says about one object (FileNotFoundError, AlreadyExistsError, PreconditionError) as it
    is, and everything else as StorageFull or StorageUnavailable.
    """

    def __init__(self, bucket: S3Bucket, *, patience: Patience) -> None:
        self.owner = ""
        # The deadlines of the circuit are shorter, and are those that count.
        self._store = open_client(bucket, request_timeout=3600, patient=True)
        self._inquiries = open_client(bucket, request_timeout=patience.probe, patient=False)
        self._circuit = Circuit(self._inquire, patience=patience)

    async def aclose(self) -> None:
        """Ask the service no more."""
        await self._circuit.aclose()

    async def head(self, key: str) -> "ObjectMeta":
        """What is stored under `key`."""
        return await self._run(lambda: obstore.head_async(self._store, key))

    async def get(self, key: str, *, offset: int, length: int, etag: str | None = None) -> "tuple[ObjectMeta, bytes]":
        """The object, and its bytes from `offset` on, at most `length`; with `etag`, of the object that has this tag.

        StorageUnavailable when the service gives others than were asked for, or fewer.
        """

        async def fetch() -> "tuple[ObjectMeta, bytes]":
            options: GetOptions = {"range": (offset, offset + length)}
            if etag is not None:
                options["if_match"] = etag
            result = await obstore.get_async(self._store, key, options=options)
            return result.meta, bytes(await result.bytes_async())

        found, data = await self._run(fetch, size=length)
        if len(data) != min(length, found["size"] - offset) or etag not in (None, found["e_tag"]):
            raise StorageUnavailable("the S3 service gave other bytes than were asked for")
        return found, data

    async def put(self, key: str, data: bytes, *, mode: Literal["create", "overwrite"]) -> None:
        """Store `data`, with its checksum; AlreadyExistsError when something is there and `mode` is "create"."""

        async def put() -> None:
            await obstore.put_async(self._store, key, data, mode=mode, use_multipart=False)

        await self._run(put, size=len(data))

    async def put_parts(self, key: str, parts: AsyncIterable[bytes], *, part: int, size: int) -> None:
        """Store `parts`, `part` bytes each but for the last and `size` together; an object that is there is replaced.

        After a failure or a cancellation the upload may be left open.
        """

        async def put() -> None:
            await obstore.put_async(
                self._store, key, parts, use_multipart=True, chunk_size=part, max_concurrency=_PARTS_AT_A_TIME
            )

        await self._run(put, size=size)

    async def delete(self, key: str) -> None:
        """Erase the object. FileNotFoundError is for services that say so; most do not."""

        async def delete() -> None:
            await obstore.delete_async(self._store, key)

        await self._run(delete)

    async def list(self, directory: str) -> "AsyncIterator[Sequence[ObjectMeta]]":
        """Everything below `directory`, which is empty or ends without a slash, some at a time."""
        pages = obstore.list(self._store, directory or None, chunk_size=_LIST_BATCH)

        async def following() -> "Sequence[ObjectMeta] | None":
            # A task must not end with StopAsyncIteration.
            return await anext(pages, None)

        while (page := await self._run(following)) is not None:
            yield page

    async def vouch(self) -> None:
        """StorageUnavailable unless the bucket is there and is ours: then what is not found is really missing."""
        if not await self._run(lambda: self._is_ours(self._store)):
            raise StorageUnavailable("the bucket is not that of this database any more")

    async def _inquire(self) -> None:
        """What the circuit asks to see whether the service is there. Raises when not."""
        if not await self._is_ours(self._inquiries):
            raise StorageUnavailable("the bucket is not that of this database any more")

    async def _is_ours(self, store: "S3Store") -> bool:
        try:
            found = await obstore.get_async(store, MARKER)
            return bytes(await found.bytes_async()) == mark_of(self.owner)
        except FileNotFoundError:
            return False

    async def _run(self, operation: Callable[[], Awaitable[T]], *, size: int = 0) -> T:
        return await self._circuit.run(operation, size=size)
