"""The invitations."""

from datetime import datetime

from sqlalchemy import delete, insert

from chitram.adapters.db.records import values_of
from chitram.adapters.db.statements import Statements
from chitram.adapters.db.tables import invites
from chitram.domain.invites import Invite


class SqlInviteRepository:
    """ports.repositories.invites.InviteRepository on one transaction."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def add(self, invite: Invite) -> None:
        await self._statements.change(insert(invites).values(values_of(invite)))

    async def redeem(self, code_hash: str, *, now: datetime) -> bool:
        # Whoever takes the row away has it: nobody can come in between.
        this = (invites.c.code_hash == code_hash, invites.c.expires_at > now)
        return await self._statements.change(delete(invites).where(*this)) > 0

    async def remove_expired(self, *, now: datetime) -> int:
        return await self._statements.change(delete(invites).where(invites.c.expires_at <= now))
