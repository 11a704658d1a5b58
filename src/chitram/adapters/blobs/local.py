"""Objects as files below a directory on the local disk."""

import os
import stat
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path

from chitram.adapters.blobs.directories import Directories, fsync_directory
from chitram.adapters.blobs.failures import translated
from chitram.adapters.blobs.keys import require_directory_prefix, require_key, require_prefix
from chitram.adapters.blobs.local_files import (
    LocalOpenBlob,
    describe,
    link_or_copy,
    remove_below,
    walk,
    write_all,
)
from chitram.adapters.blobs.marker import prepare_root, require_marker
from chitram.adapters.blobs.process_directory import ProcessDirectory
from chitram.adapters.blobs.threads import DiskThreads
from chitram.domain.errors import StorageUnavailable
from chitram.ports.blobs import ObjectInfo, OpenBlob
from chitram.ports.staging import StagedFile

_LIST_BATCH = 500
_MISSING = (FileNotFoundError, NotADirectoryError)
#: How often a directory may vanish between its making and its use before that is taken for a fault.
_ATTEMPTS = 50


class LocalBlobStore:
    """The blob store on a directory, `root`, which `prepare` makes or recognises.

    With `inline_reads` names are looked up and cached pages are read on the event loop: 3 to 20 µs beside the 100 µs of
    a hop to a thread. Turn it off where `root` is on a network, which may hang.
    """

    name = "local"

    def __init__(self, root: Path, *, threads: DiskThreads, inline_reads: bool = True) -> None:
        self._root = root
        self._threads = threads
        self._inline = inline_reads
        self._directories = Directories(root)
        self._incoming = ProcessDirectory(root / ".incoming")
        self._unsynced: weakref.WeakSet[StagedFile] = weakref.WeakSet()

    async def prepare(self, *, owner: str, expect_data: bool) -> None:
        """Make the store at its first start, and clear away what dead processes left half written.

        `owner` is the identity of the database that names the objects. `expect_data` says that images are recorded;
        StorageUnavailable when the root does not look as if it held them, holds something else or belongs to another
        database.
        """
        await self._threads.run(partial(self._prepare, owner=owner, expect_data=expect_data))

    def close(self) -> None:
        """Remove this process's half-written files."""
        with translated():
            self._incoming.close()

    async def put(self, key: str, staged: StagedFile) -> None:
        require_key(key)
        await staged.flush()
        await self._threads.run(partial(self._put, key, staged))

    async def put_disposable(self, key: str, data: bytes) -> None:
        require_key(key)
        await self._threads.run(partial(self._put_disposable, key, data))

    async def head(self, key: str) -> ObjectInfo | None:
        require_key(key)
        if self._inline:
            with translated():
                return self._head(key)
        return await self._threads.run(partial(self._head, key))

    async def open(self, key: str) -> OpenBlob | None:
        require_key(key)
        if self._inline:
            with translated():
                return self._open(key)
        return await self._threads.run(partial(self._open, key), undo=_close)

    async def erase(self, key: str) -> None:
        require_key(key)
        await self._threads.run(partial(self._erase, key))

    async def erase_prefix(self, prefix: str) -> None:
        require_directory_prefix(prefix)
        await self._threads.run(partial(self._erase_below, prefix.rstrip("/")))

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        require_prefix(prefix)
        await self._threads.run(partial(require_marker, self._root))
        walker = walk(self._root, prefix=prefix)
        try:
            while batch := await self._threads.run(lambda: tuple(islice(walker, _LIST_BATCH))):
                for info in batch:
                    yield info
        finally:
            walker.close()
        # A volume that went away meanwhile made the walk end early: that must not look like a whole list.
        await self._threads.run(partial(require_marker, self._root))

    async def check(self) -> None:
        await self._threads.run(self._check)

    def _prepare(self, *, owner: str, expect_data: bool) -> None:
        prepare_root(self._root, owner=owner, expect_data=expect_data)
        self._incoming.sweep()

    def _put(self, key: str, staged: StagedFile) -> None:
        """Sync the bytes, give them their name, sync the name, then the names of the directories above that are new."""
        require_marker(self._root)
        self._sync_bytes(staged)
        unsettled = self._place(key, staged)
        target = self._root / key
        try:
            _require_length(target, staged.size)
            fsync_directory(target.parent)
            self._directories.settle(unsettled)
        except BaseException:
            # Nobody will refer to this object: it must not lie about as if it were sound.
            with suppress(OSError):
                target.unlink()
            raise

    def _sync_bytes(self, staged: StagedFile) -> None:
        if staged in self._unsynced:
            # The kernel tells of lost pages once and forgets them: a second fsync that succeeds means nothing.
            raise StorageUnavailable("the staged file could not be brought to the disk before")
        try:
            os.fsync(staged.fileno())
        except OSError:
            self._unsynced.add(staged)
            raise
        if os.fstat(staged.fileno()).st_size != staged.size:
            raise StorageUnavailable("the staged file does not have the length that was written")

    def _place(self, key: str, staged: StagedFile) -> tuple[str, ...]:
        """Give the staged bytes their new name; returns the directories above it that are not settled yet."""
        directory = key.rpartition("/")[0]
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                unsettled = self._directories.make(directory)
                link_or_copy(staged, target=self._root / key, incoming=self._incoming)
                break
            except FileNotFoundError:
                # A directory was emptied and removed meanwhile, by us or by another process.
                if attempt == _ATTEMPTS:
                    raise
                self._directories.forget(directory.partition("/")[0])
        return unsettled

    def _put_disposable(self, key: str, data: bytes) -> None:
        require_marker(self._root)
        target = self._root / key
        with self._temporary(data, sync=True) as temporary:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    temporary.replace(target)
                    return
                except FileNotFoundError:
                    # Mostly the directory is there: three thumbnails share one.
                    if attempt == _ATTEMPTS:
                        raise
                    self._make_again(key)

    def _make_again(self, key: str) -> None:
        directory = key.rpartition("/")[0]
        self._directories.forget(directory.partition("/")[0])
        with suppress(FileNotFoundError):
            self._directories.make(directory)

    @contextmanager
    def _temporary(self, data: bytes, *, sync: bool = False) -> Iterator[Path]:
        path, fd = self._incoming.create_file()
        try:
            try:
                write_all(fd, data)
                if sync:
                    # A name may reach the disk before the bytes do: without this, a power cut leaves empty objects.
                    os.fdatasync(fd)
            finally:
                os.close(fd)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _head(self, key: str) -> ObjectInfo | None:
        try:
            status = (self._root / key).lstat()
        except _MISSING:
            require_marker(self._root)
            return None
        return describe(key, status)

    def _open(self, key: str) -> LocalOpenBlob | None:
        try:
            fd = os.open(self._root / key, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except _MISSING:
            require_marker(self._root)
            return None
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            return None
        return LocalOpenBlob(fd, size=status.st_size, threads=self._threads, inline=self._inline)

    def _erase(self, key: str) -> None:
        require_marker(self._root)
        target = self._root / key
        with suppress(*_MISSING):
            target.unlink()
        with suppress(*_MISSING):
            # Also when there was nothing: an earlier erase may have got no further than the unlink.
            fsync_directory(target.parent)

    def _erase_below(self, directory: str) -> None:
        require_marker(self._root)
        target = self._root / directory
        remove_below(target)
        self._directories.forget(directory)
        with suppress(*_MISSING):
            fsync_directory(target.parent)

    def _check(self) -> None:
        require_marker(self._root)
        probe = os.urandom(32)
        with self._temporary(probe) as path:
            if path.read_bytes() != probe:
                raise StorageUnavailable("the store does not give back what was written to it")


def _require_length(path: Path, size: int) -> None:
    if path.lstat().st_size != size:
        raise StorageUnavailable(f"{path.name} was stored with the wrong length")


def _close(blob: LocalOpenBlob | None) -> None:
    if blob is not None:
        blob.close()
