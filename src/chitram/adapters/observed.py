"""Ports that report what happens to them: wrapped around the real ones at wiring time."""

import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from chitram.domain.errors import ChitramError
from chitram.domain.images import ImageRecord
from chitram.ports.blobs import BlobStore, ObjectInfo, OpenBlob
from chitram.ports.cache import ByteCache, Miss, RecordCache
from chitram.ports.staging import StagedFile

logger = logging.getLogger(__name__)


class Timed(Protocol):
    """Takes note of one finished operation, its duration in seconds, and how it ended.

    `outcome` is "ok", the stable code of a ChitramError, or "ERROR" for everything else, cancellations included.
    """

    def __call__(self, *, operation: str, seconds: float, outcome: str) -> None: ...


class Counted(Protocol):
    """Takes note of one event of the kind `result`."""

    def __call__(self, *, result: str) -> None: ...


@contextmanager
def _timed(record: Timed, operation: str) -> Iterator[None]:
    begun = time.perf_counter()
    outcome = "ERROR"
    try:
        yield
        outcome = "ok"
    except ChitramError as error:
        outcome = error.code
        raise
    finally:
        record(operation=operation, seconds=time.perf_counter() - begun, outcome=outcome)


class _ObservedOpenBlob:
    def __init__(self, blob: OpenBlob, *, record: Timed) -> None:
        self._blob = blob
        self._record = record

    @property
    def size(self) -> int:
        return self._blob.size

    async def read(self, offset: int, length: int) -> bytes:
        with _timed(self._record, "read"):
            return await self._blob.read(offset, length)

    def cached_file(self, offset: int, length: int) -> int | None:
        return self._blob.cached_file(offset, length)

    async def aclose(self) -> None:
        await self._blob.aclose()


class ObservedBlobStore:
    """A blob store whose operations are timed. A list counts from its first object asked for to its last."""

    def __init__(self, store: BlobStore, *, record: Timed) -> None:
        self._store = store
        self._record = record

    @property
    def name(self) -> str:
        return self._store.name

    async def put(self, key: str, staged: StagedFile) -> None:
        with _timed(self._record, "put"):
            await self._store.put(key, staged)

    async def put_disposable(self, key: str, data: bytes) -> None:
        with _timed(self._record, "put_disposable"):
            await self._store.put_disposable(key, data)

    async def head(self, key: str) -> ObjectInfo | None:
        with _timed(self._record, "head"):
            return await self._store.head(key)

    async def open(self, key: str) -> OpenBlob | None:
        with _timed(self._record, "open"):
            blob = await self._store.open(key)
        return None if blob is None else _ObservedOpenBlob(blob, record=self._record)

    async def erase(self, key: str) -> None:
        with _timed(self._record, "erase"):
            await self._store.erase(key)

    async def erase_prefix(self, prefix: str) -> None:
        with _timed(self._record, "erase_prefix"):
            await self._store.erase_prefix(prefix)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        with _timed(self._record, "list"):
            async for info in self._store.list(prefix):
                yield info

    async def check(self) -> None:
        with _timed(self._record, "check"):
            await self._store.check()


class ObservedRecordCache:
    """A record cache whose hits and misses are counted: "hit", "miss", "disabled". `log`: each is logged too."""

    def __init__(self, cache: RecordCache, *, count: Counted, log: bool = False) -> None:
        self._cache = cache
        self._count = count
        self._log = log

    @property
    def enabled(self) -> bool:
        return self._cache.enabled

    @property
    def backend(self) -> str:
        return self._cache.backend

    async def get(self, image_id: str) -> ImageRecord | Miss:
        found = await self._cache.get(image_id)
        result = "disabled" if not self._cache.enabled else "miss" if isinstance(found, Miss) else "hit"
        self._count(result=result)
        if self._log:
            logger.info("cache %s: %s", result, image_id)
        return found

    async def fill(self, image_id: str, record: ImageRecord, *, ticket: object) -> None:
        await self._cache.fill(image_id, record, ticket=ticket)

    async def invalidate(self, image_ids: Iterable[str]) -> None:
        await self._cache.invalidate(image_ids)

    async def drop(self, image_ids: Iterable[str]) -> None:
        await self._cache.drop(image_ids)

    async def clear(self) -> None:
        await self._cache.clear()

    async def check(self) -> bool:
        return await self._cache.check()


class ObservedByteCache:
    """A byte cache whose hits and misses are counted: "hit", "miss"."""

    def __init__(self, cache: ByteCache, *, count: Counted) -> None:
        self._cache = cache
        self._count = count

    def get(self, key: str) -> bytes | None:
        data = self._cache.get(key)
        self._count(result="miss" if data is None else "hit")
        return data

    def put(self, key: str, data: bytes) -> None:
        self._cache.put(key, data)
