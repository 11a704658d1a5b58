"""Who of many processes does a thing."""

from datetime import datetime
from typing import Protocol


class LeaseRepository(Protocol):
    """Named leases, so that of many processes one does a thing."""

    async def acquire(self, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
        """Take or prolong the lease unless somebody else holds it."""
        ...

    async def is_held(self, name: str, *, now: datetime) -> bool:
        """Whether anybody holds it."""
        ...

    async def release(self, name: str, *, holder: str) -> None: ...
