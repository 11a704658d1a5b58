"""Staged files on the local disk: filled while they are hashed, gone when their context ends or their process does."""

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

from chitram.adapters.blobs.failures import translated
from chitram.adapters.blobs.process_directory import ProcessDirectory
from chitram.adapters.blobs.threads import DiskThreads
from chitram.domain.errors import StorageUnavailable
from chitram.domain.media import Span
from chitram.ports.clock import Clock
from chitram.ports.staging import StagedFile

#: Hashing and writing this much takes 0.5 ms; the hop to a thread and back costs 0.08 ms each time.
BUFFER_SIZE = 512 * 1024

#: An original, its thumbnails, the database's log, and the directories of all of them.
INODES_PER_UPLOAD = 16


class LocalStagedFile:
    """The file behind the port. Written by one task at a time; after a failed write it refuses everything."""

    def __init__(self, path: Path, fd: int, *, threads: DiskThreads) -> None:
        self._path = path
        self._fd = fd
        self._threads = threads
        self._digest = hashlib.sha256()
        self._buffer: bytearray | None = None
        self._filled = 0
        self._size = 0
        self._broken = False

    @property
    def path(self) -> Path:
        return self._path

    @property
    def size(self) -> int:
        return self._size

    @property
    def sha256(self) -> str:
        """The hash of everything written, hex; RuntimeError while some of it is still in memory or was lost."""
        if self._filled or self._broken:
            raise RuntimeError("the hash of a staged file is known after flush() only")
        return self._digest.hexdigest()

    def fileno(self) -> int:
        return self._fd

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data).cast("B")
        self._size += len(view)
        while view:
            if not self._filled and len(view) >= BUFFER_SIZE:
                # Nothing to join it with, so it need not be copied: the thread is done with it when this returns.
                await self._threads.run(partial(self._drain, view))
                return
            view = view[self._take(view) :]
            if self._filled == BUFFER_SIZE:
                await self._threads.run(self._drain_buffer)

    async def flush(self) -> None:
        if self._filled or self._broken:
            await self._threads.run(self._drain_buffer)
        self._buffer = None

    def append(self, source: StagedFile, *, pieces: Sequence[Span | bytes]) -> None:
        """Append `pieces`: spans of `source` and new bytes. Blocks; OSError when they cannot be had or written."""
        for piece in pieces:
            if isinstance(piece, Span):
                self._append_span(source.fileno(), piece)
            else:
                self._append_bytes(memoryview(piece))
        self._drain_buffer()

    def dispose(self) -> None:
        """Close the file and remove its name. Blocks."""
        with suppress(FileNotFoundError):
            self._path.unlink()
        os.close(self._fd)

    def _append_bytes(self, view: memoryview) -> None:
        self._size += len(view)
        while view:
            view = view[self._take(view) :]
            if self._filled == BUFFER_SIZE:
                self._drain_buffer()

    def _append_span(self, fd: int, span: Span) -> None:
        offset, left = span.offset, span.length
        while left:
            room = self._room()[:left]
            count = os.preadv(fd, [room], offset)
            if count == 0:
                raise StorageUnavailable(f"the staged file ends before its byte {offset}")
            offset, left = offset + count, left - count
            self._size += count
            self._filled += count
            if self._filled == BUFFER_SIZE:
                self._drain_buffer()

    def _room(self) -> memoryview:
        if self._buffer is None:
            self._buffer = bytearray(BUFFER_SIZE)
        return memoryview(self._buffer)[self._filled :]

    def _take(self, view: memoryview) -> int:
        """Copy as much of `view` as fits into the buffer; how much that was."""
        room = self._room()
        count = min(len(room), len(view))
        room[:count] = view[:count]
        self._filled += count
        return count

    def _drain_buffer(self) -> None:
        if self._broken:
            raise OSError("an earlier write to this staged file has failed")
        if self._buffer is not None:
            self._drain(memoryview(self._buffer)[: self._filled])
            self._filled = 0

    def _drain(self, view: memoryview) -> None:
        """Hash `view` and write it, in one go, so that its bytes are fetched from memory once."""
        if self._broken:
            raise OSError("an earlier write to this staged file has failed")
        if os.fstat(self._fd).st_nlink > 1:
            # The store has linked this file: its bytes are an object now, and objects never change.
            raise RuntimeError("a staged file that was put into a store must not be written to")
        try:
            self._digest.update(view)
            while view:
                view = view[os.write(self._fd, view) :]
        except BaseException:
            self._broken = True
            raise


class LocalStaging:
    """Staged files below `directory`, each process's in a directory of its own."""

    def __init__(self, directory: Path, *, threads: DiskThreads, clock: Clock) -> None:
        self._directory = directory
        self._threads = threads
        self._clock = clock
        self._own = ProcessDirectory(directory)

    @asynccontextmanager
    async def new(self) -> AsyncIterator[StagedFile]:
        staged = await self._threads.run(self._create, undo=LocalStagedFile.dispose)
        try:
            yield staged
        finally:
            await self._threads.run(staged.dispose)

    def copy(self, source: StagedFile, pieces: Sequence[Span | bytes]) -> AbstractAsyncContextManager[StagedFile]:
        return self._copy(source, pieces=pieces)

    async def free_bytes(self) -> int:
        return await self._threads.run(self._free_bytes)

    async def sweep(self, *, older_than: timedelta) -> int:
        return await self._threads.run(partial(self._sweep, older_than=older_than))

    def close(self) -> None:
        """Remove this process's directory; nothing staged survives it."""
        with translated():
            self._own.close()

    @asynccontextmanager
    async def _copy(self, source: StagedFile, *, pieces: Sequence[Span | bytes]) -> AsyncIterator[StagedFile]:
        await source.flush()
        staged = await self._threads.run(self._create, undo=LocalStagedFile.dispose)
        try:
            await self._threads.run(partial(staged.append, source, pieces=pieces))
            yield staged
        finally:
            await self._threads.run(staged.dispose)

    def _create(self) -> LocalStagedFile:
        path, fd = self._own.create_file()
        return LocalStagedFile(path, fd, threads=self._threads)

    def _free_bytes(self) -> int:
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        room = os.statvfs(self._directory)
        # A file system that counts its inodes and has next to none left takes no upload, however many blocks are free.
        few_inodes = room.f_files > 0 and room.f_favail < INODES_PER_UPLOAD
        return 0 if few_inodes else room.f_bavail * room.f_frsize

    def _sweep(self, *, older_than: timedelta) -> int:
        limit = (self._clock.now() - older_than).timestamp()
        removed = self._own.sweep()
        for path in self._own.files():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < limit:
                    path.unlink()
                    removed += 1
        return removed
