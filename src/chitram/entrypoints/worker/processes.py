"""One process of a worker: an event loop, and on it everything that a task needs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

from prometheus_client import start_http_server

from chitram.bootstrap import StartupError, Work, working
from chitram.domain.errors import ChitramError
from chitram.observability import Metrics
from chitram.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")


class WorkerProcess:
    """Opened when a process of the pool begins, closed when it ends. Made before the fork, so it holds nothing then.

    `metrics_address`: host and port of its metrics; None: nowhere.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.metrics_address: tuple[str, int] | None = None
        self._runner: asyncio.Runner | None = None
        self._stack = AsyncExitStack()
        self._work: Work | None = None

    def open(self) -> None:
        """Begin. A database that is away at this moment is no reason to end: the next task tries again."""
        try:
            self._opened()
        except (StartupError, ChitramError) as error:
            logger.warning("a process of the worker cannot begin yet: %s", error)

    def run(self, task: Callable[[Work], Awaitable[T]]) -> T:
        """Run `task` to its end on this process's event loop. StartupError or ChitramError when it cannot begin."""
        work = self._opened()
        assert self._runner is not None

        async def complete() -> T:
            return await task(work)

        return self._runner.run(complete())

    def close(self) -> None:
        """End, in order."""
        if self._runner is not None:
            self._runner.run(self._stack.aclose())
            self._runner.close()
        self._runner = self._work = None

    def _opened(self) -> Work:
        if self._work is None:
            self._runner = self._runner or asyncio.Runner()
            self._work = self._runner.run(self._enter())
        return self._work

    async def _enter(self) -> Work:
        # New for each attempt: those of one that failed have seen parts that are gone.
        metrics = Metrics()
        work = await self._stack.enter_async_context(working(self._settings, metrics=metrics))
        if self.metrics_address is not None:
            self._expose(metrics, *self.metrics_address)
        return work

    def _expose(self, metrics: Metrics, host: str, port: int) -> None:
        try:
            server, thread = start_http_server(port, addr=host, registry=metrics.registry)
        except OSError as error:
            logger.error("the metrics of this process cannot be had at %s:%d: %s", host, port, error.strerror)  # noqa: TRY400 - the reason is in the line
            return
        self._stack.callback(thread.join)
        self._stack.callback(server.server_close)
        self._stack.callback(server.shutdown)
