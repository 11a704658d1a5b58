"""Turning untrusted bytes into facts about a picture, and into thumbnails."""

from typing import Protocol

from chitram.domain.media import Budget, Ingested, Inspected


class Codec(Protocol):
    """Every method reads the file behind a descriptor from its start, leaves the descriptor open, and raises
    InvalidFileFormat with the reason when the file is no picture within `budget`.
    """

    async def inspect(self, fd: int, *, budget: Budget) -> Inspected:
        """Structure only: type, size, budgets, end marker, which bytes to keep. Nothing is decoded."""
        ...

    async def ingest(self, fd: int, *, budget: Budget) -> Ingested:
        """Structure, then one scaled decode and everything that comes out of it."""
        ...

    async def aclose(self) -> None: ...
