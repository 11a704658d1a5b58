"""Objects in memory: the twin of every other store, for tests and for trying things out."""

import asyncio
import os
from collections.abc import AsyncIterator
from functools import partial

from chitram.adapters.blobs.keys import require_directory_prefix, require_key, require_prefix
from chitram.domain.errors import StorageUnavailable
from chitram.ports.blobs import ObjectInfo, OpenBlob
from chitram.ports.clock import Clock
from chitram.ports.staging import StagedFile


class MemoryOpenBlob:
    """Bytes that are being read."""

    def __init__(self, data: bytes) -> None:
        self._data: bytes | None = data
        self._size = len(data)

    @property
    def size(self) -> int:
        return self._size

    async def read(self, offset: int, length: int) -> bytes:
        if self._data is None or min(offset, length) < 0 or offset + length > self._size:
            raise StorageUnavailable("the object does not have these bytes")
        return self._data[offset : offset + length]

    def cached_file(self, offset: int, length: int) -> int | None:  # noqa: ARG002  (the port has them)
        """There is no file."""
        return None

    async def aclose(self) -> None:
        self._data = None


class MemoryBlobStore:
    """The blob store in a dictionary. It survives nothing, and has room for all that memory has room for."""

    name = "memory"

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._objects: dict[str, tuple[bytes, ObjectInfo]] = {}

    async def put(self, key: str, staged: StagedFile) -> None:
        require_key(key)
        await staged.flush()
        data = await asyncio.to_thread(partial(os.pread, staged.fileno(), staged.size, 0))
        if len(data) != staged.size:
            raise StorageUnavailable("the staged file does not have the length that was written")
        if key in self._objects:
            raise StorageUnavailable("there is an object with this key already")
        self._keep(key, data)

    async def put_disposable(self, key: str, data: bytes) -> None:
        self._keep(require_key(key), bytes(data))

    async def head(self, key: str) -> ObjectInfo | None:
        found = self._objects.get(require_key(key))
        return None if found is None else found[1]

    async def open(self, key: str) -> OpenBlob | None:
        found = self._objects.get(require_key(key))
        return None if found is None else MemoryOpenBlob(found[0])

    async def erase(self, key: str) -> None:
        self._objects.pop(require_key(key), None)

    async def erase_prefix(self, prefix: str) -> None:
        require_directory_prefix(prefix)
        for key in [key for key in self._objects if key.startswith(prefix)]:
            del self._objects[key]

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        require_prefix(prefix)
        for key in [key for key in self._objects if key.startswith(prefix)]:
            if key in self._objects:
                yield self._objects[key][1]

    async def check(self) -> None:
        """Memory is always there."""

    def _keep(self, key: str, data: bytes) -> None:
        self._objects[key] = (data, ObjectInfo(key=key, size=len(data), modified_at=self._clock.now()))
