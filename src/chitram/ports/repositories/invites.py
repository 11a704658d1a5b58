"""Invitations."""

from datetime import datetime
from typing import Protocol

from chitram.domain.invites import Invite


class InviteRepository(Protocol):
    async def add(self, invite: Invite) -> None: ...

    async def redeem(self, code_hash: str, *, now: datetime) -> bool:
        """Use an invitation up; False when there is none that is still valid. Of two that try, one succeeds."""
        ...

    async def remove_expired(self, *, now: datetime) -> int: ...
