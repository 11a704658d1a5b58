"""Telling whoever runs jobs that there are new ones."""

from typing import Protocol


class JobSignal(Protocol):
    async def wake(self) -> None:
        """Jobs were committed to the outbox. Losing this costs a delay, never a job."""
        ...
