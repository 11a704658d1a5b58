"""The codec without a sandbox: the same pass in a thread of this process. For tests and trusted files."""

import asyncio
import threading

from chitram.adapters.codec import pipeline
from chitram.adapters.codec.jobs import mapped
from chitram.domain.media import Budget, Ingested, Inspected


class InProcessCodec:
    """`ports.codec.Codec`. A crash of a decoder is a crash of this process: never for files of strangers."""

    def __init__(self, *, strip_metadata: bool) -> None:
        self._strip_metadata = strip_metadata
        # One at a time: the decode silences warnings, which is a setting of the whole process.
        self._turn = threading.Lock()

    async def inspect(self, fd: int, *, budget: Budget) -> Inspected:
        return await asyncio.to_thread(self._inspect, fd, budget)

    async def ingest(self, fd: int, *, budget: Budget) -> Ingested:
        return await asyncio.to_thread(self._ingest, fd, budget)

    async def aclose(self) -> None:
        """Nothing is held."""

    def _inspect(self, fd: int, budget: Budget) -> Inspected:
        return pipeline.inspect(mapped(fd), budget=budget, strip_metadata=self._strip_metadata)

    def _ingest(self, fd: int, budget: Budget) -> Ingested:
        with self._turn:
            return pipeline.ingest(mapped(fd), budget=budget, strip_metadata=self._strip_metadata)
