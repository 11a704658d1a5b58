"""Between us and a service that may hang: a bounded number of operations, and none at all while it is gone."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from chitram.adapters.blobs.s3_failures import ANSWERS, FAILURES, is_beyond_end, is_full, storage_failure
from chitram.domain.errors import ChitramError, StorageUnavailable

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds, but for `operations`, which is how many may be under way at a time.

    slot: longest wait for one of these. stall: an operation that takes longer makes us ask whether the service is there
    at all. probe: longest wait for the answer to that. pause: between two such questions while it is not.
    operation: longest time of one, beside what its bytes take at `slowest` bytes a second.
    """

    operations: int = 64
    slot: float = 2.0
    stall: float = 0.5
    probe: float = 1.5
    pause: float = 1.0
    operation: float = 15.0
    slowest: int = 64 * 1024


class Circuit:
    """Runs operations while the service answers, and refuses them at once while it does not.

    What fails or takes long is no proof by itself: one object may be at fault, or much may be on its way. So a `probe`,
    which is small and raises when the service is gone, is sent then, one for everybody. If it fails the circuit is
    open: what is under way is given up, what comes is refused, and the probe is repeated until the service is back.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]], *, patience: Patience) -> None:
        self._probe = probe
        self._patience = patience
        self._slots = asyncio.Semaphore(patience.operations)
        self._probing: asyncio.Task[bool] | None = None
        self._recovering: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the service is gone as far as we know."""
        return self._recovering is not None

    async def run(self, operation: Callable[[], Awaitable[T]], *, size: int = 0) -> T:
        """The result of `operation`, which moves `size` bytes.

        Raises what it says about an object (FileNotFoundError, AlreadyExistsError, PreconditionError) as it is, and
        every other failure as StorageFull or StorageUnavailable.
        """
        self._require_closed()
        async with self._slot():
            self._require_closed()
            task = asyncio.ensure_future(operation())
            try:
                await self._watch(task, deadline=self._patience.operation + size / self._patience.slowest)
                return task.result()
            except ANSWERS:
                raise
            except FAILURES as error:
                if not (is_full(error) or is_beyond_end(error)):
                    await self._ask()
                raise storage_failure(error) from error
            finally:
                await _give_up(task)

    async def aclose(self) -> None:
        """Ask no more."""
        for task in (self._recovering, self._probing):
            if task is not None:
                await _give_up(task)

    def _require_closed(self) -> None:
        if self.is_open:
            raise StorageUnavailable

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience.slot):
                await self._slots.acquire()
        except TimeoutError:
            raise StorageUnavailable from None
        try:
            yield
        finally:
            self._slots.release()

    async def _watch(self, task: "asyncio.Future[T]", *, deadline: float) -> None:
        """Wait until `task` is through; StorageUnavailable when the service is gone or the time is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        while not task.done():
            await asyncio.wait({task}, timeout=max(0.0, min(self._patience.stall, end - loop.time())))
            if not task.done() and not self.is_open and loop.time() < end:
                pending: set[asyncio.Future[Any]] = {task, self._question()}
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and (self.is_open or loop.time() >= end):
                raise StorageUnavailable

    async def _ask(self) -> bool:
        """Whether the service is there. The circuit opens when it is not."""
        return await asyncio.shield(self._question())

    def _question(self) -> "asyncio.Task[bool]":
        """The question that is under way, or a new one."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._put_question())
        return self._probing

    async def _put_question(self) -> bool:
        answered = await self._answers()
        if not answered and self._recovering is None:
            self._recovering = asyncio.create_task(self._recover())
        return answered

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(self._patience.probe):
                await self._probe()
        except (*ANSWERS, *FAILURES, ChitramError) as error:
            if not self.is_open:
                logger.warning("the S3 service is gone: %s", _first_line(error))
            return False
        return True

    async def _recover(self) -> None:
        while True:
            await asyncio.sleep(self._patience.pause)
            if await self._answers():
                break
        logger.warning("the S3 service is back")
        self._recovering = None


async def _give_up(task: "asyncio.Future[Any]") -> None:
    """End `task` if it is not through. What it raised is looked at by nobody."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    with contextlib.suppress(asyncio.CancelledError, Exception):
        task.exception()


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]
