"""A database that nothing can be written to, for as long as its rows are on their way to another one."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from chitram.domain.errors import ReadOnly
from chitram.ports.unit_of_work import Database, Repositories, UnitOfWork


class ReadOnlyDatabase:
    """ports.unit_of_work.Database over another one: reads pass, a transaction that could write never begins."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[UnitOfWork]:
        """ReadOnly, always."""
        raise ReadOnly
        yield  # type: ignore[unreachable]  # what makes it a context manager like the other one

    def read(self) -> AbstractAsyncContextManager[Repositories]:
        """As the inner one's."""
        return self._inner.read()

    async def check(self) -> None:
        """As the inner one's."""
        await self._inner.check()

    async def identity(self) -> str:
        """As the inner one's."""
        return await self._inner.identity()
