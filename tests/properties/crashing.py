"""Store and database that die at a chosen call, as a process does: nothing that would have come after it happens."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from chitram.bootstrap import Foundation
from chitram.ports.blobs import BlobStore
from chitram.ports.unit_of_work import Database, UnitOfWork


class Crash(BaseException):
    """The process is gone. No handler of the application catches it, because none would get to run."""


@dataclass(slots=True)
class Fuse:
    """Burns down with each call; `left` is None while nothing is to happen."""

    left: int | None = None

    def burn(self) -> None:
        """One more call. Crash when it was the last one."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Crash


class CrashingBlobs:
    """A store that dies before a call that changes something, or after it."""

    def __init__(self, inner: BlobStore, *, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)
        if name not in ("put", "put_disposable", "erase", "erase_prefix"):
            return call

        async def fused(*arguments: Any) -> None:
            self._fuse.burn()
            await call(*arguments)
            self._fuse.burn()

        return fused


class CrashingDatabase:
    """A database that dies before a transaction, before its commit, or after it and before its effects."""

    def __init__(self, inner: Database, *, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[UnitOfWork]:
        self._fuse.burn()
        async with self._inner.begin() as work:
            yield work
            work.after_commit(self._after_commit)
            self._fuse.burn()
        self._fuse.burn()

    async def _after_commit(self) -> None:
        self._fuse.burn()


def explosive(fuse: Fuse) -> Callable[[Foundation], None]:
    """Puts the two into a foundation; an `arrange` of `house`."""

    def arrange(foundation: Foundation) -> None:
        foundation.blobs = cast("BlobStore", CrashingBlobs(foundation.blobs, fuse=fuse))
        foundation.database = cast("Database", CrashingDatabase(foundation.database, fuse=fuse))

    return arrange
