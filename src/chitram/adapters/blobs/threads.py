"""A small pool of threads for calls that wait for a disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._executor, function)
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait((future,))
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is None:
            with translated():
                return future.result()
        # Asking for the exception also tells asyncio that it was not forgotten.
        if future.exception() is None and undo is not None:
            result = future.result()
            await self.run(lambda: undo(result))
        raise cancelled

    def close(self) -> None:
        """Wait for what is running and end the threads. Nothing can be run any more."""
        self._executor.shutdown(wait=True)
