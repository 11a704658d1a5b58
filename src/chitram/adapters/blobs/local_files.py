"""Single files of a local store: how they are placed, read, walked over and removed."""

import errno
import os
import stat
from collections.abc import Generator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from chitram.adapters.blobs.failures import translated
from chitram.adapters.blobs.keys import is_key
from chitram.adapters.blobs.process_directory import ProcessDirectory
from chitram.adapters.blobs.threads import DiskThreads
from chitram.domain.errors import StorageUnavailable
from chitram.ports.blobs import ObjectInfo
from chitram.ports.staging import StagedFile

#: What a file system answers that has no hard links, no more of them, or none to another file system.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK, errno.ENOSYS})
_COPY_BLOCK = 1024 * 1024
_GONE = (FileNotFoundError, NotADirectoryError)


class LocalOpenBlob:
    """A file that is being read. Pages that are in memory are read at once, others in a thread."""

    def __init__(self, fd: int, *, size: int, threads: DiskThreads, inline: bool) -> None:
        self._fd = fd
        self._size = size
        self._threads = threads
        self._inline = inline

    @property
    def size(self) -> int:
        return self._size

    async def read(self, offset: int, length: int) -> bytes:
        if min(offset, length) < 0:
            # To the kernel, -1 means "where the descriptor stands".
            raise StorageUnavailable("the object does not have these bytes")
        with translated():
            data = self._read_cached(offset, length) if self._inline else b""
        if len(data) < length:
            rest = partial(self._read_rest, offset + len(data), length - len(data))
            data += await self._threads.run(rest)
        return data

    def cached_file(self, offset: int, length: int) -> int | None:
        if not self._inline or min(offset, length) < 0:
            return None
        # Files are read ahead from front to back, so the first and the last byte tell of those in between.
        with translated():
            cached = self._read_cached(offset, 1) and self._read_cached(offset + length - 1, 1)
        return self._fd if cached else None

    async def aclose(self) -> None:
        with translated():
            self.close()

    def close(self) -> None:
        """Give the descriptor up. Once is enough, twice is fine."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _read_cached(self, offset: int, length: int) -> bytes:
        """As much as is had without waiting for the disk."""
        buffer = bytearray(length)
        try:
            count = os.preadv(self._fd, [buffer], offset, os.RWF_NOWAIT)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            self._inline = False
            return b""
        return bytes(buffer) if count == length else bytes(memoryview(buffer)[:count])

    def _read_rest(self, offset: int, length: int) -> bytes:
        blocks: list[bytes] = []
        while length:
            block = os.pread(self._fd, length, offset)
            if not block:
                raise StorageUnavailable(f"the object ends before its byte {offset}")
            blocks.append(block)
            offset, length = offset + len(block), length - len(block)
        return b"".join(blocks)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write the whole of `data`, which one call need not do. Blocks."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def link_or_copy(staged: StagedFile, *, target: Path, incoming: ProcessDirectory) -> None:
    """Give the bytes of `staged`, which are on the disk, the new name `target`; FileExistsError when it is taken."""
    try:
        os.link(staged.path, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy(staged, target=target, incoming=incoming)


def _copy(staged: StagedFile, *, target: Path, incoming: ProcessDirectory) -> None:
    path, fd = incoming.create_file()
    try:
        try:
            _copy_bytes(staged, target=fd)
            os.fsync(fd)
        finally:
            os.close(fd)
        # Keys are new, so two never meet here; this is for the mistake that would otherwise destroy an object.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "there is an object with this key already")
        path.rename(target)
    finally:
        path.unlink(missing_ok=True)


def _copy_bytes(staged: StagedFile, *, target: int) -> None:
    offset = 0
    while offset < staged.size:
        block = os.pread(staged.fileno(), _COPY_BLOCK, offset)
        if not block:
            raise StorageUnavailable("the staged file does not have the length that was written")
        write_all(target, block)
        offset += len(block)


def describe(key: str, status: os.stat_result) -> ObjectInfo | None:
    """What `status` says about the object `key`; None when it is of no object but of a directory, say."""
    if not stat.S_ISREG(status.st_mode):
        return None
    return ObjectInfo(key=key, size=status.st_size, modified_at=datetime.fromtimestamp(status.st_mtime, UTC))


def walk(root: Path, *, prefix: str) -> Generator[ObjectInfo, None, None]:
    """Every object below `root` whose key begins with `prefix`. Blocks; what vanishes on the way is left out."""
    return _walk(root, directory=prefix.rpartition("/")[0], prefix=prefix)


def _walk(root: Path, *, directory: str, prefix: str) -> Generator[ObjectInfo, None, None]:
    try:
        entries = os.scandir(root / directory)
    except _GONE:
        return
    with entries:
        for entry in entries:
            key = f"{directory}/{entry.name}" if directory else entry.name
            if not is_key(key) or not (key.startswith(prefix) or prefix.startswith(f"{key}/")):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(root, directory=key, prefix=prefix)
                continue
            with suppress(FileNotFoundError):
                info = describe(key, entry.stat(follow_symlinks=False))
                if info is not None:
                    yield info


def remove_below(directory: Path) -> None:
    """Remove every file below `directory`, and it and its sub-directories where they are empty then. Blocks."""
    try:
        entries = os.scandir(directory)
    except _GONE:
        return
    with entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                remove_below(Path(entry.path))
                continue
            with suppress(FileNotFoundError):
                os.unlink(entry.path)  # noqa: PTH108  (a Path for each of many files is most of the cost)
    # Somebody may have put an object here meanwhile, or have removed the directory.
    with suppress(FileNotFoundError):
        try:
            directory.rmdir()
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
