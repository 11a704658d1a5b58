"""Twins of the ports that let another actor in between two steps of a service, at a place that the test chooses."""

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from chitram.bootstrap import Foundation

Action = Callable[[], Awaitable[object]]


class Interposed:
    """Passes every call on to `real`. A call of `name` first takes an action from `before[name]` and runs it."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.before: defaultdict[str, deque[Action]] = defaultdict(deque)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.real, name)
        if not callable(attribute) or name == "list":
            return attribute

        async def call(*arguments: Any, **keywords: Any) -> Any:
            await self._let_in(name)
            return await attribute(*arguments, **keywords)

        return call

    async def _let_in(self, name: str) -> None:
        if self.before[name]:
            await self.before[name].popleft()()


class InterposedDatabase(Interposed):
    """The same for a database: `begin` and `read` are its steps."""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Any]:
        await self._let_in("begin")
        async with self.real.begin() as work:
            yield work

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Any]:
        await self._let_in("read")
        async with self.real.read() as view:
            yield view


def interpose(foundation: Foundation) -> None:
    """Put such twins in front of the store and the database; an `arrange` of `house`."""
    foundation.blobs = Interposed(foundation.blobs)
    foundation.database = InterposedDatabase(foundation.database)


def failing(error: BaseException) -> Action:
    """An action that raises `error`: the step that it stands before fails."""

    async def fail() -> None:
        raise error

    return fail
