"""Staged files on their way to an S3 service."""

import hashlib
import os
from functools import partial

from chitram.adapters.blobs.threads import DiskThreads
from chitram.domain.errors import StorageUnavailable
from chitram.ports.staging import StagedFile

#: Files up to this long are sent with one request, longer ones in parts of this length.
PART = 8 * 1024 * 1024


def read_whole(staged: StagedFile) -> bytes:
    """All bytes of a file no longer than a part. StorageUnavailable unless they are what was written. Blocks."""
    data = _read(staged, 0, PART)
    if len(data) != staged.size or os.fstat(staged.fileno()).st_size != staged.size:
        raise StorageUnavailable("the staged file does not have the length that was written")
    if hashlib.sha256(data).hexdigest() != staged.sha256:
        raise StorageUnavailable("the staged file does not have the bytes that were written")
    return data


class StagedParts:
    """The parts of a staged file, one after the other; fails before the last one is given when they are not right.

    An upload in parts is then not completed: what is stored is what was hashed while it arrived.
    """

    def __init__(self, staged: StagedFile, *, threads: DiskThreads) -> None:
        self._staged = staged
        self._threads = threads
        self._digest = hashlib.sha256()
        self._offset = 0

    def again(self) -> "StagedParts":
        """The same from the beginning, for another attempt."""
        return StagedParts(self._staged, threads=self._threads)

    def __aiter__(self) -> "StagedParts":
        return self

    async def __anext__(self) -> bytes:
        left = self._staged.size - self._offset
        if not left:
            raise StopAsyncIteration
        part = await self._threads.run(partial(self._next, min(PART, left)))
        self._offset += len(part)
        return part

    def _next(self, length: int) -> bytes:
        part = _read(self._staged, self._offset, length)
        self._digest.update(part)
        if len(part) != length:
            raise StorageUnavailable("the staged file does not have the length that was written")
        ends = self._offset + length == self._staged.size
        if ends and self._digest.hexdigest() != self._staged.sha256:
            raise StorageUnavailable("the staged file does not have the bytes that were written")
        return part


def _read(staged: StagedFile, offset: int, length: int) -> bytes:
    """At most `length` bytes from `offset` on, fewer only at the file's end."""
    blocks: list[bytes] = []
    while length:
        block = os.pread(staged.fileno(), length, offset)
        if not block:
            break
        blocks.append(block)
        offset, length = offset + len(block), length - len(block)
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)
