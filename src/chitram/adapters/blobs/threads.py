"""A small pool of threads for calls that wait for a disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from chitram.adapters.blobs.failures import translated

T = TypeVar("T")


class DiskThreads:
    """At most `workers` threads of their own, so that a hanging disk cannot take the threads of everything else."""

    def __init__(self, *, workers: int, name: str = "disk") -> None:
        self._executor = ThreadPoolExecutor(max_workers=workers, thread_name_prefix=f"chitram-{name}")

    async def run(self, function: Callable[[], T], *, undo: Callable[[T], object] | None = None) -> T:
        """The result of `function`, called in a thread; OSErrors come out as StorageFull or StorageUnavailable.

        A cancellation is raised only after the thread is through: it may be using descriptors and buffers that the
        caller gives up next. `undo` then gets the result that nobody will see, and is run in a thread as well.
        """
        job = self._executor.submit(function)
        cancelled: asyncio.CancelledError | None = None
        while not job.done():
            try:
                await _finished(job)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is None:
            with translated():
                return job.result()
        if job.exception() is None and undo is not None:
            result = job.result()
            await self.run(lambda: undo(result))
        raise cancelled

    def close(self) -> None:
        """Wait for what is running and end the threads. Nothing can be run any more."""
        self._executor.shutdown(wait=True)


async def _finished(job: Future[T]) -> None:
    """Wait until `job` is through. Cancelling this leaves the job alone, which wrapping it in a future would not."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    job.add_done_callback(lambda _: loop.call_soon_threadsafe(wake))
    await waiter
