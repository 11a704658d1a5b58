"""Where uploads land before they are kept: local files that vanish by themselves."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from chitram.domain.media import Span


class StagedFile(Protocol):
    """A local file that is being filled, with its SHA-256 kept while it grows."""

    @property
    def path(self) -> Path: ...

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...

    @property
    def sha256(self) -> str:
        """The hash of everything written so far, hex. Call `flush` first."""
        ...

    def fileno(self) -> int:
        """A descriptor open for reading and writing. Readers must use positioned reads."""
        ...

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data`. StorageFull when the disk is. At most some 512 KiB are held in memory."""
        ...

    async def flush(self) -> None:
        """Hand what is held in memory to the file."""
        ...


class Staging(Protocol):
    """A directory of staged files on the local disk, on the blob store's file system where that is local."""

    def new(self) -> AbstractAsyncContextManager[StagedFile]:
        """An empty staged file, gone again when the context ends."""
        ...

    def copy(self, source: StagedFile, pieces: Sequence[Span | bytes]) -> AbstractAsyncContextManager[StagedFile]:
        """A staged file made of `pieces`: spans of `source` and new bytes, in order."""
        ...

    async def free_bytes(self) -> int:
        """Room left for ordinary writes on the file system of the staging directory, in bytes."""
        ...

    async def sweep(self, *, older_than: timedelta) -> int:
        """Remove files that dead processes left behind and any older than `older_than`; how many."""
        ...
