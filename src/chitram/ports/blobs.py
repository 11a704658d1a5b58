"""Where stored bytes live: objects under keys, written once and never changed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from chitram.ports.staging import StagedFile


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object in the store. `size` in bytes."""

    key: str
    size: int
    modified_at: datetime


class OpenBlob(Protocol):
    """An object that is being read, always of the same bytes.

    On a local disk it stays readable until closed, even when it is erased meanwhile. A remote store may not be able to
    read on then, nor when it is replaced: StorageUnavailable.
    """

    @property
    def size(self) -> int: ...

    async def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset` on; StorageUnavailable when they cannot be had."""
        ...

    def cached_file(self, offset: int, length: int) -> int | None:
        """A descriptor of a file with the same bytes at the same places, if those asked for can be sent from it without
        waiting for a disk. It is lent: for positioned reads, until the blob is closed.
        """
        ...

    async def aclose(self) -> None: ...


class BlobStore(Protocol):
    """A store of immutable objects. Keys are relative, `/`-separated and made by us, never by a user.

    Every method raises StorageUnavailable when the store cannot be reached, StorageFull when it has no room.
    """

    @property
    def name(self) -> str:
        """The backend's name as settings and `/health` show it."""
        ...

    async def put(self, key: str, staged: StagedFile) -> None:
        """Store a copy of `staged` under the new `key`; it then survives a power cut. `staged` stays usable.

        StorageUnavailable when there is an object already; a store may let it pass if that has the very same bytes.
        """
        ...

    async def put_disposable(self, key: str, data: bytes) -> None:
        """Store `data` under `key`, whole or not at all, replacing what is there; a power cut may lose it."""
        ...

    async def head(self, key: str) -> ObjectInfo | None:
        """What is stored under `key`, or None."""
        ...

    async def open(self, key: str) -> OpenBlob | None:
        """Open the object for reading, or None when there is none."""
        ...

    async def erase(self, key: str) -> None:
        """Erase the object; one that is not there is fine. When this returns it stays erased after a power cut."""
        ...

    async def erase_prefix(self, prefix: str) -> None:
        """Erase every object whose key begins with `prefix`, which ends in `/`."""
        ...

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Every object whose key begins with `prefix`, in no particular order."""
        ...

    async def check(self) -> None:
        """Raise StorageUnavailable unless objects can be written and read."""
        ...
